// What is where in a Parallels image.
//
// Source: "Parallels Expandable Image File Format" (QEMU's documentation, docs/interop/
// parallels.txt), sections "Header", "BAT", "Data Area" and "Format Extension". All numbers are
// little-endian.
//
//   0   the header
//   64  the BAT: a 32-bit entry for each cluster of the disk; 0: not there
//   header.data_off  the clusters
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <array>
#include <span>

namespace img::parallels {

inline constexpr u64 kSector = 512;     // bytes
inline constexpr u64 kHeaderBytes = 64; // the BAT follows
inline constexpr u64 kFieldInUse = 44;  // file offset of Header::in_use
inline constexpr u64 kFieldExtension = 56;
inline constexpr u32 kInUse = 0x746f'6e59;
inline constexpr u32 kMaxTracks = 0x7fff'ffff / 513; // sectors of a cluster; QEMU's limit
inline constexpr u32 kMaxEntries = 0x7fff'ffff / 4;  // likewise

struct Header {
    bool extended = true; // "WithouFreSpacExt": BAT entries count clusters rather than sectors
    u32 version = 2;
    u32 heads = 16;
    u32 cylinders = 0;
    u32 tracks = 0; // sectors of a cluster
    u32 entries = 0;
    u64 sectors = 0; // of the disk
    u32 in_use = 0;
    u32 data_off = 0; // sectors; 0: behind the BAT
    u32 flags = 0;
    u64 extension = 0; // sectors; 0: none

    u64 cluster_size() const { return tracks * kSector; }
    u64 table_end() const { return kHeaderBytes + u64{entries} * sizeof(u32); }
    /// Bytes for each unit of a BAT entry.
    u64 unit() const { return extended ? cluster_size() : kSector; }
    /// File offset of the data area.
    u64 data_at() const
    {
        return data_off != 0 ? data_off * kSector : (table_end() + kSector - 1) / kSector * kSector;
    }
};

bool has_signature(std::span<const u8> start);

/// Parses the first kHeaderBytes of a file of `file_size` bytes and checks them.
Result<Header> parse_header(std::span<const u8> start, u64 file_size);

std::array<u8, kHeaderBytes> encode_header(const Header& header);

/// What the features of a Format Extension ask of a program that knows none of them.
struct Extension {
    bool necessary = false; // the file must not be changed
    bool transit = false;   // all of them stay as they are
};

/// Looks at the feature sections of a Format Extension cluster.
Result<Extension> parse_extension(std::span<const u8> cluster);

} // namespace img::parallels
