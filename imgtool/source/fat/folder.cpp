#include "imgtool/source/fat/folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <dirent.h>
#include <filesystem>
#include <memory>
#include <sys/stat.h>

namespace img::fat {

namespace {

using base::Errc;
using base::fail;

constexpr int kMaxDepth = 40;               // folders in folders
constexpr std::size_t kMaxEntries = 100000; // in all; a volume of 500 MiB holds little more
constexpr u64 kMaxFile = 0xffffffff;        // bytes (Microsoft's FAT specification, 6.2)

struct DirCloser {
    void operator()(DIR* dir) const { ::closedir(dir); }
};

class Reader {
public:
    explicit Reader(const std::string& root)
    {
        std::error_code ignored;
        root_ = std::filesystem::canonical(root, ignored);
    }

    base::Status read(Entry& folder, int depth)
    {
        const std::unique_ptr<DIR, DirCloser> dir{::opendir(folder.path.c_str())};
        if (!dir) {
            return fail(Errc::io, fmt::format("Could not read directory {}", folder.path));
        }
        if (depth == kMaxDepth) {
            return fail(Errc::unsupported,
                        fmt::format("the folders in {} are nested too deeply", folder.path));
        }
        while (const dirent* found = ::readdir(dir.get())) {
            const std::string name = found->d_name;
            if (name == "." || name == "..") {
                continue;
            }
            if (auto taken = take(folder, name, depth); !taken) {
                return taken;
            }
        }
        std::ranges::sort(folder.members, {}, &Entry::name);
        return base::ok();
    }

private:
    base::Status take(Entry& folder, const std::string& name, int depth)
    {
        Entry entry{.name = name, .path = folder.path + '/' + name};
        struct stat st = {};
        if (::lstat(entry.path.c_str(), &st) != 0) {
            return base::ok(); // it has just gone
        }
        if (S_ISLNK(st.st_mode) && !(leads_inside(entry.path) &&
                                     ::stat(entry.path.c_str(), &st) == 0 && S_ISREG(st.st_mode))) {
            return base::ok();
        }
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
            return base::ok();
        }
        if (++count_ > kMaxEntries) {
            return fail(Errc::unsupported, "the folder holds too many files");
        }
        entry.is_folder = S_ISDIR(st.st_mode);
        entry.size = entry.is_folder ? 0 : static_cast<u64>(st.st_size);
        entry.modified = st.st_mtime;
        entry.device = st.st_dev;
        entry.inode = st.st_ino;
        if (entry.size > kMaxFile) {
            return fail(Errc::unsupported, fmt::format("File {} is larger than 4GB", entry.path));
        }
        if (entry.is_folder) {
            if (auto read_it = read(entry, depth + 1); !read_it) {
                return read_it;
            }
        }
        folder.members.push_back(std::move(entry));
        return base::ok();
    }

    bool leads_inside(const std::string& path) const
    {
        std::error_code error;
        const auto real = std::filesystem::canonical(path, error);
        return !error &&
               std::mismatch(root_.begin(), root_.end(), real.begin(), real.end()).first ==
                   root_.end();
    }

    std::filesystem::path root_;
    std::size_t count_ = 0;
};

} // namespace

Result<Entry> read_folder(const std::string& path)
{
    Entry root{.name = "", .path = path, .is_folder = true};
    struct stat st = {};
    if (::stat(path.c_str(), &st) == 0) {
        root.modified = st.st_mtime;
    }
    if (auto read = Reader{path}.read(root, 0); !read) {
        return std::move(read).error();
    }
    return root;
}

} // namespace img::fat
