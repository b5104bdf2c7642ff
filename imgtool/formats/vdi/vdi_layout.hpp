// What is where in a VDI file.
//
// Source: VirtualBox, "VDI - VirtualBox Core Disk Image" (header version 1.1, VDICore.h's
// VDIHEADER1) as described in the forum's reference "All about VDIs" (t8046), sections "Static
// files" and "Dynamic files". All numbers are little-endian.
//
//   0x000  64 bytes of text
//   0x040  the header
//   header.map_at   a 32-bit entry for each block of the disk: the number of the block in the file,
//                   0xffffffff for one that is not there, 0xfffffffe for one that was given up
//   header.data_at  the blocks, of 1 MiB
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <array>
#include <span>
#include <string_view>

namespace img::vdi {

inline constexpr u64 kHeaderBytes = 512;        // text and header
inline constexpr u64 kBlockSize = u64{1} << 20; // bytes; the only size in use
inline constexpr u64 kMaxBlocks = 0x1fff'ff80;  // a map of 2 GiB
inline constexpr u64 kMaxSize = kMaxBlocks * kBlockSize;
inline constexpr u64 kFieldAllocated = 0x184; // file offset of Header::allocated
inline constexpr u32 kNoBlock = 0xffff'ffff;
inline constexpr u32 kGivenUp = 0xffff'fffe;

enum class Type : u32 { dynamic = 1, fixed = 2 };

struct Header {
    u32 signature = 0xbeda'107f;
    u32 version = 0x0001'0001; // 1.1
    u32 header_size = 0x180;   // bytes from `header_size` on
    u32 type = 1;              // Type
    u32 map_at = kHeaderBytes; // file offset
    u32 data_at = 0;           // file offset
    u32 sector_size = 512;
    u64 disk_size = 0; // bytes
    u32 block_size = kBlockSize;
    u32 blocks = 0;    // entries of the map
    u32 allocated = 0; // blocks in the file
    std::array<u8, 16> image_id = {};
    std::array<u8, 16> snapshot_id = {}; // of the last one
    std::array<u8, 16> link_id = {};     // of what a differencing image is based on
    std::array<u8, 16> parent_id = {};

    u64 map_end() const { return map_at + u64{blocks} * sizeof(u32); }
};

bool has_signature(std::span<const u8> start);

/// Parses the first kHeaderBytes of a file and checks them. The map may lie past the file's end.
Result<Header> parse_header(std::span<const u8> start);

std::array<u8, kHeaderBytes> encode_header(const Header& header);

} // namespace img::vdi
