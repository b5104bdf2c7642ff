// The superblock of ext2, ext3 and ext4, and where it says that things are.
//
// Source: "ext4 Data Structures and Algorithms" of the Linux kernel's documentation ("the ext4
// pages"), "Super Block", "Block Group Descriptors" and "Meta Block Groups".
#pragma once

#include "imgtool/fs/file_system.hpp"

#include <array>

namespace img::fs::ext {

inline constexpr u64 kSuperBlockAt = 1024; // bytes, whatever the block size
inline constexpr std::size_t kSuperBlockSize = 1024;
inline constexpr u32 kRootInode = 2;

// Of s_feature_incompat.
namespace incompat {
inline constexpr u32 compression = 0x1;
inline constexpr u32 filetype = 0x2;
inline constexpr u32 recover = 0x4;
inline constexpr u32 journal_dev = 0x8;
inline constexpr u32 meta_bg = 0x10;
inline constexpr u32 extents = 0x40;
inline constexpr u32 wide = 0x80; // 64bit
inline constexpr u32 mmp = 0x100;
inline constexpr u32 flex_bg = 0x200;
inline constexpr u32 ea_inode = 0x400;
inline constexpr u32 dirdata = 0x1000;
inline constexpr u32 csum_seed = 0x2000;
inline constexpr u32 largedir = 0x4000;
inline constexpr u32 inline_data = 0x8000;
inline constexpr u32 encrypt = 0x10000;
inline constexpr u32 casefold = 0x20000;
} // namespace incompat

/// "Super Block".
struct Super {
    u64 block_size = 0; // bytes
    u64 blocks = 0;
    u64 first_data_block = 0;
    u32 inodes = 0;
    u32 inodes_per_group = 0;
    u64 blocks_per_group = 0;
    u64 groups = 0;
    u32 inode_size = 128;     // bytes
    u32 descriptor_size = 32; // bytes
    u32 first_meta_group = 0;
    u32 compatible = 0, incompatible = 0, read_only_compatible = 0;
    std::array<u32, 2> backup_groups{}; // of sparse_super2
    std::string label = {};

    bool has(u32 feature) const { return (incompatible & feature) != 0; }
    std::string_view type() const; // "ext4"
};

bool is_super(std::span<const u8> bytes);

/// Errors: `unsupported`, with the features' names, and `corrupt`.
Result<Super> parse_super(std::span<const u8> bytes);

/// Where a group's descriptor is on the volume, bytes.
u64 descriptor_at(const Super& super, u64 group);

} // namespace img::fs::ext
