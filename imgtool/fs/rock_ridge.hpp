// What POSIX knows of files beside ISO 9660: System Use Sharing Protocol (IEEE P1281, SUSP 1.12)
// and Rock Ridge Interchange Protocol (IEEE P1282, RRIP 1.12).
#pragma once

#include "imgtool/fs/file_system.hpp"

namespace img::fs {

/// What the system use field of a directory record says; unset where it says nothing.
struct RockRidgeFacts {
    std::string name = {};
    std::optional<u32> mode = {}; // with the type of file
    u32 user = 0, group = 0;
    std::optional<UnixTime> modified = {};
    std::string link_target = {};
    std::optional<u64> child = {}; // block: where a folder is that was moved
    bool relocated = false;        // the folder is shown elsewhere
    bool packed = false;           // the content is compressed (zisofs)
};

class RockRidge {
public:
    /// `skip` bytes of each system use field are another's.
    RockRidge(const Volume& volume, u64 block_size, std::size_t skip)
        : volume_{volume}, block_size_{block_size}, skip_{skip}
    {}

    Result<RockRidgeFacts> read(std::span<const u8> record) const;

private:
    Volume volume_;
    u64 block_size_; // bytes
    std::size_t skip_;
};

/// Whether the root folder at `root` (bytes) says that Rock Ridge is there (SUSP 5.3); then how
/// many bytes are to be skipped.
std::optional<std::size_t> find_rock_ridge(const Volume& volume, u64 root);

void apply(const RockRidgeFacts& facts, u64 block_size, std::string& name, Node& node);

} // namespace img::fs
