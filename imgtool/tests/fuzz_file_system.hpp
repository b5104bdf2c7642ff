// What fuzz targets of file systems do: everything that ls, cat and extract do, to any bytes at
// all.
#pragma once

#include "imgtool/fs/extract.hpp"
#include "imgtool/tests/memory_disk.hpp"

#include <set>

namespace img::test {

/// Lists all folders and reads the ends of all files, as far as is affordable.
class FuzzWalk {
public:
    explicit FuzzWalk(fs::FileSystem& file_system) : file_system_{file_system} {}

    void walk(const fs::Node& folder, int depth = 0)
    {
        if (depth > 20 || !seen_.insert(folder.id).second) {
            return;
        }
        auto listing = file_system_.list(folder);
        if (!listing) {
            return;
        }
        for (const fs::Entry& entry : listing.value().entries) {
            if (++visited_ > 500) {
                return;
            }
            (void)fs::is_safe_name(entry.name);
            if (entry.node.kind == fs::Kind::link) {
                (void)file_system_.target(entry.node);
                (void)fs::find(file_system_, entry.name + "/x", true);
            } else if (entry.node.kind == fs::Kind::file) {
                read_ends(entry.node);
            } else if (entry.node.kind == fs::Kind::folder) {
                walk(entry.node, depth + 1);
            }
        }
    }

private:
    void read_ends(const fs::Node& file)
    {
        std::vector<base::u8> bytes(std::min<base::u64>(file.size, 16 << 10));
        (void)file_system_.read(file, 0, bytes);
        (void)file_system_.read(file, file.size - bytes.size(), bytes);
    }

    fs::FileSystem& file_system_;
    std::set<base::u64> seen_;
    int visited_ = 0;
};

using OpenFileSystem = base::Result<std::unique_ptr<fs::FileSystem>> (*)(const fs::Volume&);

inline void fuzz_file_system(OpenFileSystem open, std::span<const base::u8> bytes)
{
    MemoryDisk disk{{bytes.begin(), bytes.end()}};
    auto opened = open(fs::Volume{disk});
    if (!opened) {
        return;
    }
    (void)opened.value()->label();
    (void)opened.value()->boot_entries();
    if (auto root = opened.value()->root()) {
        FuzzWalk{*opened.value()}.walk(root.value());
    }
}

} // namespace img::test
