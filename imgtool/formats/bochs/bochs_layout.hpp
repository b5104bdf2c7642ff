// The header of Bochs' redolog files.
//
// Source: Bochs User Manual, "Disk Image Modes", "growing", and the Developers Guide on redolog
// files. Numbers are little-endian. A catalog says where each extent of the disk is; an extent in
// the file is a bitmap of its sectors that are there, and the sectors.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <span>

namespace img::bochs {

using base::u32;
using base::u64;
using base::u8;

inline constexpr u64 kSector = 512;             // bytes
inline constexpr std::size_t kHeaderSize = 512; // bytes
inline constexpr u32 kMaxCatalog = 0x10'0000;   // entries; QEMU's limit too
inline constexpr u32 kMaxExtent = 0x80'0000;    // bytes; likewise
inline constexpr u32 kNoExtent = 0xffff'ffff;   // catalog entry of an extent that is not there

struct Header {
    u32 header_size = 0; // bytes; the catalog follows
    u32 catalog = 0;     // entries
    u32 bitmap = 0;      // bytes
    u32 extent = 0;      // bytes
    u64 disk = 0;        // bytes

    u64 bitmap_sectors() const { return (bitmap + kSector - 1) / kSector; }
    u64 extent_sectors() const { return (extent + kSector - 1) / kSector; }
    u64 data_at() const { return header_size + u64{catalog} * sizeof(u32); }
    /// Where the extent with catalog entry `entry` begins in the file, with its bitmap.
    u64 extent_at(u32 entry) const
    {
        return data_at() + kSector * entry * (bitmap_sectors() + extent_sectors());
    }
};

/// Whether a file begins as a growing image does.
bool is_growing(std::span<const u8> start);

/// Parses and checks the header. Errors: `wrong_format`, `corrupt`.
base::Result<Header> parse_header(std::span<const u8> start);

} // namespace img::bochs
