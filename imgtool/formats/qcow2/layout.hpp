// The on-disk structures of qcow2, versions 2 and 3, and their checks.
//
// Source: "Qcow2 Image File Format" (docs/interop/qcow2.txt of the QEMU project; "qcow2.txt"
// below). All numbers are big-endian.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"
#include "imgtool/image.hpp"

#include <span>
#include <string>
#include <vector>

namespace img::qcow2 {

using base::u16;
using base::u32;
using base::u64;
using base::u8;

inline constexpr u32 kMagic = 0x5146'49fb; // "QFI\xfb"
inline constexpr u32 kMinClusterBits = 9;
inline constexpr u32 kMaxClusterBits = 21;
inline constexpr std::size_t kHeaderV2Size = 72;       // bytes
inline constexpr std::size_t kHeaderV3Size = 104;      // bytes
inline constexpr std::size_t kHeaderWithCodec = 112;   // bytes, with the compression type
inline constexpr u64 kMaxL1Bytes = u64{32} << 20;      // what QEMU takes too
inline constexpr u64 kMaxReftableBytes = u64{8} << 20; // likewise
inline constexpr u32 kMaxSnapshots = 65536;
inline constexpr u64 kMaxSnapshotTableBytes = u64{64} << 20;
inline constexpr u32 kMaxBackingName = 1023;         // bytes
inline constexpr u64 kMaxLuksHeader = u64{64} << 20; // bytes

// qcow2.txt, "Header": bits of incompatible_features, compatible_features, autoclear_features.
namespace incompatible {
inline constexpr u64 dirty = 1 << 0;
inline constexpr u64 corrupt = 1 << 1;
inline constexpr u64 data_file = 1 << 2;
inline constexpr u64 compression_type = 1 << 3;
inline constexpr u64 extended_l2 = 1 << 4;
} // namespace incompatible
namespace compatible {
inline constexpr u64 lazy_refcounts = 1 << 0;
} // namespace compatible
namespace autoclear {
inline constexpr u64 bitmaps = 1 << 0;
inline constexpr u64 raw_data_file = 1 << 1;
} // namespace autoclear

// qcow2.txt, "Header extensions".
namespace extension {
inline constexpr u32 end = 0;
inline constexpr u32 backing_format = 0xe279'2aca;
inline constexpr u32 feature_names = 0x6803'f857;
inline constexpr u32 bitmaps = 0x2385'2875;
inline constexpr u32 encryption = 0x0537'be77;
inline constexpr u32 data_file_name = 0x4441'5441;
inline constexpr u32 gap = 0x4d47'4150; // ours: nothing up to where the extensions go on
} // namespace extension

// qcow2.txt, "Header": crypt_method.
namespace encryption_method {
inline constexpr u32 none = 0;
inline constexpr u32 aes = 1;
inline constexpr u32 luks = 2;
} // namespace encryption_method

// Byte offsets of header fields that are changed in place.
inline constexpr u64 kFieldL1Size = 36;
inline constexpr u64 kFieldReftable = 48; // offset (8 bytes) and clusters (4)
inline constexpr u64 kFieldIncompatible = 72;
inline constexpr u64 kFieldAutoclear = 88;

// qcow2.txt, "Cluster mapping". Both levels of tables.
namespace entry {
inline constexpr u64 offset_mask = 0x00ff'ffff'ffff'fe00;
inline constexpr u64 copied = u64{1} << 63; // refcount is exactly one
inline constexpr u64 compressed = u64{1} << 62;
inline constexpr u64 zero = u64{1} << 0;
inline constexpr u64 l1_reserved = 0x7f00'0000'0000'01ff;
inline constexpr u64 l2_reserved = 0x3f00'0000'0000'01fe;
} // namespace entry

// qcow2.txt, "Extended L2 Entries": a cluster is made of 32 subclusters. In the second word of an
// entry the low half says which of them are in the file, the high half which read as zero.
inline constexpr u32 kSubclusters = 32;
inline constexpr u32 kMinExtendedClusterBits = 14;
inline constexpr u64 kReftableReserved = 0x1ff;

/// Sizes that follow from the header.
struct Geometry {
    u32 cluster_bits = 16;
    u32 refcount_order = 4;
    bool extended_l2 = false;

    u64 cluster_size() const { return u64{1} << cluster_bits; }
    u64 l2_entry_size() const { return extended_l2 ? 2 * sizeof(u64) : sizeof(u64); } // bytes
    u64 l2_entries() const { return cluster_size() / l2_entry_size(); }
    u32 subclusters() const { return extended_l2 ? kSubclusters : 1; } // of a cluster
    u64 subcluster_size() const { return cluster_size() / subclusters(); }
    u64 l2_reach() const { return cluster_size() * l2_entries(); } // guest bytes of an L2 table
    u32 refcount_bits() const { return u32{1} << refcount_order; }
    u64 refcount_max() const { return ~u64{0} >> (64 - refcount_bits()); }
    u64 refblock_entries() const { return cluster_size() * 8 >> refcount_order; }
    u64 clusters(u64 bytes) const { return (bytes >> cluster_bits) + ((bytes & within()) != 0); }
    u64 within() const { return cluster_size() - 1; } // mask
    u64 l1_entries(u64 disk) const { return disk / l2_reach() + (disk % l2_reach() != 0); }
};

struct Extension {
    u32 type;
    std::vector<u8> data;
};

struct Header {
    u32 version = 3;
    u64 backing_offset = 0; // of the name in the file
    u32 cluster_bits = 16;
    u64 size = 0; // bytes of the virtual disk
    u32 encryption = 0;
    u32 l1_size = 0; // entries
    u64 l1_offset = 0;
    u64 reftable_offset = 0;
    u32 reftable_clusters = 0;
    u32 snapshot_count = 0;
    u64 snapshots_offset = 0;
    u64 incompatible_features = 0;
    u64 compatible_features = 0;
    u64 autoclear_features = 0;
    u32 refcount_order = 4;
    u32 header_length = kHeaderV2Size; // bytes
    u8 compression_type = 0;           // 0 zlib, 1 zstd

    std::string backing_name;
    std::string backing_format;
    std::vector<Extension> extensions; // all but backing_format
    u64 end = 0;                       // file offset behind all this, when it was parsed or encoded

    Geometry geometry() const
    {
        return {cluster_bits, refcount_order,
                (incompatible_features & incompatible::extended_l2) != 0};
    }
    /// Where the LUKS header is, when that is the encryption method (qcow2.txt, "Full disk
    /// encryption header pointer").
    struct Place {
        u64 at = 0;     // in the file
        u64 length = 0; // bytes
    };
    Place luks_place() const;
    /// Guest data is in another file, each cluster at its guest offset.
    bool has_data_file() const { return (incompatible_features & incompatible::data_file) != 0; }
    /// That file is a raw image of the disk at all times.
    bool data_file_is_raw() const
    {
        return has_data_file() && (autoclear_features & autoclear::raw_data_file) != 0;
    }
    /// The name of that file; empty when the image does not have it.
    std::string data_file_name() const;
    Codec codec() const { return compression_type == 1 ? Codec::zstd : Codec::raw_deflate; }
};

bool has_magic(std::span<const u8> start);

/// Parses and checks the header, its extensions and the backing file's name. `start` is the first
/// cluster of the file, or all of it when that is shorter.
/// Errors: `wrong_format`, `corrupt`, `unsupported` (names the feature).
base::Result<Header> parse_header(std::span<const u8> start);

/// How many bytes of the file parse_header() needs, from its first kHeaderV3Size bytes.
base::Result<u64> header_bytes_needed(std::span<const u8> start);

/// The first bytes of an image: header, extensions, backing name. Fails if that is more than a
/// cluster; sets backing_offset and header_length in `header`.
base::Result<std::vector<u8>> encode_header(Header& header);

inline constexpr std::size_t kHeaderSector = 512; // bytes that disks write whole

/// A header that says the same but for the names of features. What does not fit into the first
/// sector is elsewhere in the first cluster.
struct InterimHeader {
    std::vector<u8> start;
    u64 rest_at = 0; // file offset
    std::vector<u8> rest = {};
};
/// `free_from`: nothing that is needed lies in the rest of the first cluster. Fails if there is too
/// little of that.
base::Result<InterimHeader> encode_interim_header(Header header, u64 free_from);

/// Where the bytes of a compressed cluster are (qcow2.txt, "Compressed Clusters Descriptor").
struct PackedRange {
    u64 at;
    u64 length;
};
PackedRange packed_range(const Geometry& geometry, u64 l2_entry);
u64 packed_entry(const Geometry& geometry, PackedRange range);

/// An internal snapshot (qcow2.txt, "Snapshots").
struct Snapshot {
    SnapshotInfo info = {};
    u64 l1_offset = 0;
    u32 l1_size = 0;                    // entries
    std::vector<u8> unknown_extra = {}; // extra data after what we know of it
    bool complete = true;               // its extra data has all that version 3 asks for
};
struct SnapshotTable {
    std::vector<Snapshot> snapshots;
    u64 bytes = 0; // its length in the file
};

inline constexpr u32 kMaxSnapshotExtra = 1024; // bytes, as QEMU takes

/// What a check does about a table that is too large in some way: says so and leaves it out.
struct SnapshotRepair {
    u32 discarded = 0;                      // snapshots at the end that are too many
    u32 oversized = 0;                      // snapshots with too much extra data
    std::vector<std::string> problems = {}; // what was left out, a line each
    std::vector<u32> incomplete = {};       // snapshots that lack extra data
    bool needed() const { return !problems.empty() || !incomplete.empty(); }
};

/// Errors: `corrupt`. With `repair` oversized tables are cut instead.
base::Result<SnapshotTable> read_snapshot_table(ByteSource& file, const Header& header,
                                                SnapshotRepair* repair = nullptr);
/// The bytes of a table, each entry with the extra data of version 3.
std::vector<u8> encode_snapshot_table(const std::vector<Snapshot>& snapshots);

/// Whether a snapshot's L1 table is where and what it can be. Error: `corrupt`.
base::Status check_snapshot_l1(const Geometry& geometry, const Snapshot& snapshot);

} // namespace img::qcow2
