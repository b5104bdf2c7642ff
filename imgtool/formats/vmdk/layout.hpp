// The on-disk structures of VMDK's sparse extents, and their checks.
//
// Sources: VMware, "Virtual Disk Format 5.0" (technical note; "VDF" below), sections "Hosted Sparse
// Extents", "Stream-Optimized Compressed Sparse Extents" and "ESX Server Sparse Extents". All
// numbers are little-endian; offsets and lengths are in sectors of 512 bytes.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <array>
#include <span>

namespace img::vmdk {

using base::Result;
using base::u16;
using base::u32;
using base::u64;
using base::u8;

inline constexpr u64 kSector = 512;                 // bytes
inline constexpr u32 kHostedMagic = 0x564d'444b;    // "KDMV" in the file
inline constexpr u32 kEsxMagic = 0x4457'4f43;       // "COWD" in the file
inline constexpr u64 kMaxGrain = 0x20'0000;         // sectors; QEMU's limit too
inline constexpr u64 kMaxPackedGrain = 0x8000;      // sectors of a grain that is unpacked whole
inline constexpr u32 kMaxTableEntries = 512;        // VDF: "always 512"
inline constexpr u32 kEsxTableEntries = 4096;       // VDF, "ESX Server Sparse Extents"
inline constexpr u64 kMaxDirectory = u64{32} << 20; // entries; QEMU's limit too
inline constexpr u64 kMaxCapacity = u64{1} << 54;   // sectors
inline constexpr u64 kMaxSectors = u64{1} << 32;    // what a grain table entry can name
inline constexpr u64 kDescriptorAt = 1;             // sector, where QEMU and VMware put it
inline constexpr u64 kDescriptorSectors = 20;       // likewise
inline constexpr u64 kMaxDescriptorSectors = 2047;  // just under 1 MiB
inline constexpr u64 kDirectoryAtEnd = ~u64{0};     // gdOffset: the footer says where
inline constexpr u64 kFooterSectors = 3;            // marker, footer, end-of-stream marker
inline constexpr std::size_t kMarkerHeader = 12;    // bytes before a compressed grain's data
inline constexpr u32 kZeroedGrain = 1;              // a grain table entry, with flags::zero_grain

// VDF, "Hosted Sparse Extent Header": flags.
namespace flags {
inline constexpr u32 newline_test = 1 << 0;
inline constexpr u32 redundant_table = 1 << 1;
inline constexpr u32 zero_grain = 1 << 2;
inline constexpr u32 compressed = 1 << 16;
inline constexpr u32 markers = 1 << 17;
} // namespace flags

/// VDF, "Hosted Sparse Extent Header": SparseExtentHeader.
struct HostedHeader {
    u32 version = 1;
    u32 flags = flags::newline_test | flags::redundant_table;
    u64 capacity = 0; // sectors
    u64 grain = 128;  // sectors
    u64 descriptor_at = kDescriptorAt;
    u64 descriptor_sectors = kDescriptorSectors;
    u32 table_entries = kMaxTableEntries;
    u64 redundant_directory = 0; // sector
    u64 directory = 0;           // sector
    u64 overhead = 0;            // sectors of metadata at the beginning
    u16 compression = 0;         // 0 none, 1 deflate
};

/// What a sparse extent's tables look like, in either of the formats.
struct Geometry {
    u64 capacity = 0; // sectors
    u64 grain = 0;    // sectors, at least 1
    u32 table_entries = kMaxTableEntries;
    u64 directory_entries = 0;
    u64 directory = 0;           // sector
    u64 redundant_directory = 0; // sector; 0: there is none
    u64 overhead = 0;            // sectors that hold no grains
    u32 version = 1;
    bool packed = false;       // grains are compressed
    bool markers = false;      // each has a marker before it
    bool zeroed_grain = false; // entries of 1 are grains of zeroes
    bool has_footer = false;   // tables and footer are behind the grains

    u64 grain_bytes() const { return grain * kSector; }
    u64 table_sectors() const { return (table_entries * sizeof(u32) + kSector - 1) / kSector; }
};

bool has_magic(std::span<const u8> start, u32 magic);

/// Parses and checks the header in `sector`, the first or the footer's. Errors: `corrupt`,
/// `unsupported`.
Result<HostedHeader> parse_hosted(std::span<const u8> sector);
std::array<u8, kSector> encode_hosted(const HostedHeader& header);

/// The header in the footer, the last three sectors of a stream. Error: `corrupt`.
Result<HostedHeader> parse_footer(std::span<const u8> last_sectors);

/// What follows from a header in a file of `file_size` bytes. Error: `corrupt`.
Result<Geometry> hosted_geometry(const HostedHeader& header, u64 file_size);

/// Parses and checks a COWD header. Errors: `corrupt`, `unsupported`.
Result<Geometry> parse_esx(std::span<const u8> sector);

} // namespace img::vmdk
