#include "imgtool/fs/ext_layout.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace img::fs::ext {

namespace {

using base::Errc;
using base::fail;
using base::load_le;

constexpr u16 kMagic = 0xef53;
constexpr u64 kMaxBlocks = u64{1} << 48; // an extent can say no more

// Byte offsets of fields.
constexpr std::size_t kInodes = 0;
constexpr std::size_t kBlocksLow = 4;
constexpr std::size_t kFirstDataBlock = 20;
constexpr std::size_t kLogBlockSize = 24;
constexpr std::size_t kBlocksPerGroup = 32;
constexpr std::size_t kInodesPerGroup = 40;
constexpr std::size_t kMagicAt = 56;
constexpr std::size_t kRevision = 76;
constexpr std::size_t kInodeSize = 88;
constexpr std::size_t kCompatible = 92;
constexpr std::size_t kIncompatible = 96;
constexpr std::size_t kReadOnlyCompatible = 100;
constexpr std::size_t kLabel = 120;
constexpr std::size_t kDescriptorSize = 254;
constexpr std::size_t kFirstMetaGroup = 260;
constexpr std::size_t kBlocksHigh = 336;
constexpr std::size_t kBackupGroups = 588;

constexpr u32 kHasJournal = 0x4;     // of s_feature_compat
constexpr u32 kSparseSuper2 = 0x200; // of s_feature_compat
constexpr u32 kSparseSuper = 0x1;    // of s_feature_ro_compat
/// sparse_super, large_file and btree_dir, which ext3 has too.
constexpr u32 kReadOnlyOfExt3 = 0x7;
constexpr u32 kIncompatOfExt3 = incompat::compression | incompat::filetype | incompat::recover |
                                incompat::journal_dev | incompat::meta_bg;

/// What s_feature_incompat may have. The others change where things are in ways we do not know.
struct Feature {
    u32 bit;
    std::string_view name;
    bool known;
};
constexpr std::array kFeatures{
    Feature{incompat::compression, "compression", true},
    Feature{incompat::filetype, "filetype", true},
    Feature{incompat::recover, "needs_recovery", true},
    Feature{incompat::journal_dev, "journal_dev", false},
    Feature{incompat::meta_bg, "meta_bg", true},
    Feature{incompat::extents, "extents", true},
    Feature{incompat::wide, "64bit", true},
    Feature{incompat::mmp, "mmp", true},
    Feature{incompat::flex_bg, "flex_bg", true},
    Feature{incompat::ea_inode, "ea_inode", true},
    Feature{incompat::dirdata, "dirdata", false},
    Feature{incompat::csum_seed, "metadata_csum_seed", true},
    Feature{incompat::largedir, "large_dir", true},
    Feature{incompat::inline_data, "inline_data", true},
    Feature{incompat::encrypt, "encrypt", true},
    Feature{incompat::casefold, "casefold", true},
};

/// The names of the features that are not known; empty when all are.
std::string unknown_features(u32 incompatible)
{
    std::string names;
    for (unsigned bit = 0; bit < 32; ++bit) {
        const u32 mask = u32{1} << bit;
        const auto feature = std::ranges::find(kFeatures, mask, &Feature::bit);
        if ((incompatible & mask) == 0 || (feature != kFeatures.end() && feature->known)) {
            continue;
        }
        names += names.empty() ? "" : ", ";
        names += feature != kFeatures.end() ? std::string{feature->name}
                                            : fmt::format("incompat bit {}", bit);
    }
    return names;
}

bool is_power_of(u64 n, u64 base)
{
    while (n % base == 0) {
        n /= base;
    }
    return n == 1;
}

/// Whether a group begins with a copy of the superblock: the ext4 pages, "Sparse Super Blocks".
bool has_super(const Super& s, u64 group)
{
    if (group == 0) {
        return true;
    }
    if ((s.compatible & kSparseSuper2) != 0) {
        return std::ranges::find(s.backup_groups, group) != s.backup_groups.end();
    }
    return (s.read_only_compatible & kSparseSuper) == 0 || group == 1 || is_power_of(group, 3) ||
           is_power_of(group, 5) || is_power_of(group, 7);
}

bool is_plausible(const Super& s, u32 log_block_size)
{
    return log_block_size <= 6 && s.inodes_per_group != 0 && s.blocks_per_group != 0 &&
           s.inodes >= kRootInode && s.blocks > s.first_data_block && s.blocks <= kMaxBlocks &&
           std::has_single_bit(s.inode_size) && s.inode_size >= 128 &&
           s.inode_size <= (u32{1024} << log_block_size) &&
           std::has_single_bit(s.descriptor_size) && s.descriptor_size >= 32 &&
           s.descriptor_size <= 1024;
}

} // namespace

std::string_view Super::type() const
{
    if ((incompatible & ~kIncompatOfExt3) != 0 || (read_only_compatible & ~kReadOnlyOfExt3) != 0) {
        return "ext4";
    }
    return (compatible & kHasJournal) != 0 ? "ext3" : "ext2";
}

bool is_super(std::span<const u8> bytes)
{
    return load_le<u16>(bytes, kMagicAt) == kMagic;
}

Result<Super> parse_super(std::span<const u8> b)
{
    Super s{.first_data_block = load_le<u32>(b, kFirstDataBlock),
            .inodes = load_le<u32>(b, kInodes),
            .inodes_per_group = load_le<u32>(b, kInodesPerGroup),
            .blocks_per_group = load_le<u32>(b, kBlocksPerGroup)};
    if (load_le<u32>(b, kRevision) != 0) { // else all that follows does not exist
        const auto label = b.subspan(kLabel, 16);
        s.label = {label.begin(), std::ranges::find(label, u8{0})};
        s.inode_size = load_le<u16>(b, kInodeSize);
        s.compatible = load_le<u32>(b, kCompatible);
        s.incompatible = load_le<u32>(b, kIncompatible);
        s.read_only_compatible = load_le<u32>(b, kReadOnlyCompatible);
        s.first_meta_group = load_le<u32>(b, kFirstMetaGroup);
        s.backup_groups = {load_le<u32>(b, kBackupGroups), load_le<u32>(b, kBackupGroups + 4)};
    }
    if (const std::string unknown = unknown_features(s.incompatible); !unknown.empty()) {
        return fail(Errc::unsupported,
                    fmt::format("not supported: an ext file system with {}", unknown));
    }
    const bool wide = s.has(incompat::wide);
    s.blocks = load_le<u32>(b, kBlocksLow) | (wide ? u64{load_le<u32>(b, kBlocksHigh)} << 32 : 0);
    s.descriptor_size = wide ? load_le<u16>(b, kDescriptorSize) : 32;
    const u32 log = load_le<u32>(b, kLogBlockSize);
    if (!is_plausible(s, log)) {
        return fail(Errc::corrupt, "the ext file system's superblock is damaged");
    }
    s.block_size = u64{1024} << log;
    s.groups = (s.blocks - s.first_data_block + s.blocks_per_group - 1) / s.blocks_per_group;
    return s;
}

u64 descriptor_at(const Super& super, u64 group)
{
    const u64 per_block = super.block_size / super.descriptor_size;
    const u64 meta = group / per_block;
    // Blocks of 1 KiB: the superblock is block 1, which is the first data block unless there are
    // clusters (bigalloc); then that is 0, and the first group has a block more before its copy.
    const u64 super_block = kSuperBlockAt / super.block_size;
    u64 block = super_block + 1 + meta;
    if (super.has(incompat::meta_bg) && meta >= super.first_meta_group) {
        const u64 first = meta * per_block;
        const u64 begin = super.first_data_block + first * super.blocks_per_group;
        const u64 offset = first == 0 ? super_block - super.first_data_block : 0;
        block = begin + offset + (has_super(super, first) ? 1 : 0);
    }
    return block * super.block_size + group % per_block * super.descriptor_size;
}

} // namespace img::fs::ext
