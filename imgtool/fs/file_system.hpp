// Looking into file systems on disks, without mounting them. All of it only reads.
#pragma once

#include "imgtool/disk.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace img::fs {

using base::Result;
using base::Status;
using base::u16;
using base::u32;
using base::u64;
using base::u8;

/// A part of a disk, such as a partition. What lies past its end cannot be read.
class Volume {
public:
    explicit Volume(Disk& disk) : disk_{&disk}, start_{0}, size_{disk.size()} {}
    /// Cut off where the disk ends.
    Volume(Disk& disk, u64 start, u64 size)
        : disk_{&disk}, start_{start < disk.size() ? start : disk.size()},
          size_{size < disk.size() - start_ ? size : disk.size() - start_}
    {}

    u64 size() const { return size_; } // bytes

    Status read(u64 offset, std::span<u8> into) const
    {
        if (offset > size_ || into.size() > size_ - offset) {
            return base::fail(base::Errc::corrupt,
                              "the file system refers to bytes past the end of its disk");
        }
        return disk_->read(start_ + offset, into);
    }

private:
    Disk* disk_;
    u64 start_; // bytes
    u64 size_;  // bytes
};

enum class Kind : u8 { file, folder, link, special };

/// Nanoseconds are left out: not all file systems have them.
using UnixTime = std::int64_t;

/// A file, folder or link.
struct Node {
    u64 id = 0; // tells folders of one file system apart; and where it is, for the file system
    Kind kind = Kind::file;
    u64 size = 0; // bytes
    u32 mode = 0; // permissions, as of chmod(2)
    u32 user = 0, group = 0;
    std::optional<UnixTime> modified = {};
    std::string link_target = {}; // where folders have it
    std::vector<std::pair<u64, u64>> runs =
        {};                   // ISO 9660: offsets and lengths on the volume, bytes
    std::string refusal = {}; // why the content cannot be read; empty: it can
};

struct Entry {
    std::string name; // UTF-8, or whatever bytes the folder has
    Node node;
};

/// What is in a folder, as far as it can be told: what is damaged does not hide the rest. An entry
/// whose file is of no use has the reason in its node's `refusal`.
struct Listing {
    std::vector<Entry> entries = {};
    std::string problem = {}; // why entries may be missing; empty: they are not
};

/// Something on a CD that a firmware can start.
struct BootEntry {
    std::string platform = {};  // "x86", "EFI", ...
    std::string emulation = {}; // "none", "floppy", "hard disk"
    bool bootable = false;
    u64 start = 0; // bytes
    u64 size = 0;  // bytes
};

/// Folders with more entries are refused.
inline constexpr std::size_t kMaxEntries = 500'000;

/// One per volume; not safe for use by several threads. Volumes are untrusted.
class FileSystem {
public:
    virtual ~FileSystem() = default;

    virtual std::string_view type() const = 0; // "fat32"
    virtual std::string label() const = 0;
    /// What the user should know about what is shown; empty: nothing.
    virtual std::string note() const { return {}; }
    /// Whether "Name" is found as "NAME".
    virtual bool ignores_case() const { return false; }

    virtual Result<Node> root() = 0;
    /// Without "." and "..".
    virtual Result<Listing> list(const Node& folder) = 0;
    /// Fills `into`, which lies within the file's size.
    virtual Status read(const Node& file, u64 offset, std::span<u8> into) = 0;
    virtual Result<std::string> target(const Node& link) { return link.link_target; }

    /// What a firmware finds beside the files.
    virtual Result<std::vector<BootEntry>> boot_entries() { return std::vector<BootEntry>{}; }
};

/// Errors: `wrong_format` when there is none that we know, `unsupported` when we know no more of it
/// than its name.
Result<std::unique_ptr<FileSystem>> open_file_system(const Volume& volume);

/// Follows a path from the root; links are followed inside of the file system, but not a last one
/// unless `follow_last`.
Result<Node> find(FileSystem& file_system, std::string_view path, bool follow_last);

/// Whether an entry can be made under this name in a folder of the host: no "..", no "/".
bool is_safe_name(std::string_view name);

} // namespace img::fs
