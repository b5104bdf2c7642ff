// The on-disk structures of Microsoft's VHD format, and their checks.
//
// Source: "Virtual Hard Disk Image Format Specification", version 1.0, Microsoft, October 11, 2006
// ("VHD 1.0" below). All numbers are big-endian. Sector numbers count 512-byte sectors.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <array>
#include <span>
#include <string>
#include <vector>

namespace img::vpc {

using base::Result;
using base::u16;
using base::u32;
using base::u64;
using base::u8;

inline constexpr u64 kSectorSize = 512;                    // bytes
inline constexpr std::size_t kFooterSize = 512;            // bytes
inline constexpr std::size_t kDynamicHeaderSize = 1024;    // bytes
inline constexpr u32 kUnallocated = 0xffff'ffff;           // BAT entry of a block never written
inline constexpr u64 kNoOffset = 0xffff'ffff'ffff'ffff;    // "Data Offset" of fixed disks
inline constexpr u32 kBlockSize = 2u << 20;                // bytes, of new images
inline constexpr u64 kMaxSize = 0xff00'0000 * kSectorSize; // 2040 GiB: sector numbers have 32 bits

/// The largest table we load: 8 Mi entries map 16 TiB of 2 MiB blocks, eight times VHD's limit.
/// It keeps a hostile header from making us take memory without bound.
inline constexpr u64 kMaxTableEntries = u64{8} << 20;

using Uuid = std::array<u8, 16>;

enum class DiskType : u32 { fixed = 2, dynamic = 3, differencing = 4 };

/// VHD 1.0, "CHS Calculation": the geometry that a BIOS would give the disk.
struct Geometry {
    u16 cylinders = 0;
    u8 heads = 0;
    u8 sectors = 0; // a track
    bool operator==(const Geometry&) const = default;

    u64 bytes() const { return u64{cylinders} * heads * sectors * kSectorSize; }
};

/// What disks too large for a geometry have.
inline constexpr Geometry kLargestGeometry{65535, 16, 255};

/// The geometry of a disk of that many sectors; it may have fewer.
Geometry geometry_for(u64 sectors);

/// VHD 1.0, "Hard Disk Footer Format". Fields we do not use are not kept.
struct Footer {
    u64 header_offset = kNoOffset; // "Data Offset", bytes: where the dynamic disk header is
    u32 timestamp = 0;             // seconds since 2000-01-01 00:00 UTC
    std::array<char, 4> creator{}; // "Creator Application"
    u64 size = 0;                  // "Current Size", bytes
    Geometry geometry;
    DiskType type = DiskType::fixed;
    Uuid uuid{};
};

/// Seconds from 1970 to the year 2000, when VHD's clock starts.
inline constexpr u64 kEpoch = 946'684'800;

/// VHD 1.0, "Dynamic Disk Header Format", "Parent Locator Entry".
struct ParentLocator {
    u32 code = 0;   // "Platform Code"
    u32 space = 0;  // bytes kept for it in the file
    u32 length = 0; // bytes of it
    u64 offset = 0; // in the file
};
inline constexpr std::size_t kLocators = 8;

/// VHD 1.0, "Parent Locator", platform codes that are in use today.
namespace platform {
inline constexpr u32 relative = 0x57327275; // "W2ru": Windows path from the image, UTF-16LE
inline constexpr u32 absolute = 0x57326b75; // "W2ku": Windows path, UTF-16LE
inline constexpr u32 url = 0x4d616358;      // "MacX": file URL, UTF-8
} // namespace platform

/// VHD 1.0, "Dynamic Disk Header Format".
struct DynamicHeader {
    u64 table_offset = 0; // bytes: where the block allocation table (BAT) is
    u32 table_entries = 0;
    u32 block_size = 0; // bytes of guest data per block; a power of two
    Uuid parent_uuid{};
    u32 parent_timestamp = 0;     // as Footer::timestamp
    std::string parent_name = {}; // UTF-8
    std::array<ParentLocator, kLocators> locators{};

    /// VHD 1.0, "Block Allocation Table and Data Blocks": a bit per sector, in whole sectors.
    u64 bitmap_size() const // bytes
    {
        const u64 bytes = block_size / kSectorSize / 8;
        return bytes < kSectorSize ? kSectorSize : (bytes + kSectorSize - 1) & ~(kSectorSize - 1);
    }
};

/// The one's complement of the sum of all bytes, leaving out the checksum field itself.
u32 checksum(std::span<const u8> structure, std::size_t checksum_field);

bool has_footer_cookie(std::span<const u8> bytes);
Result<Footer> parse_footer(std::span<const u8, kFooterSize> bytes);
std::array<u8, kFooterSize> encode_footer(const Footer& footer);

Result<DynamicHeader> parse_dynamic_header(std::span<const u8, kDynamicHeaderSize> bytes);
std::array<u8, kDynamicHeaderSize> encode_dynamic_header(const DynamicHeader& header);

/// The file name in a parent locator, as a path on this host; empty where it has none.
std::string parent_path(u32 code, std::span<const u8> bytes);
/// What parent_path() reads back.
std::vector<u8> locator_bytes(u32 code, const std::string& path);

} // namespace img::vpc
