// The on-disk structures of Microsoft's VHDX format, and their checks.
//
// Source: "[MS-VHDX]: Virtual Hard Disk v2 (VHDX) File Format", Microsoft, 2.1 and following
// ("MS-VHDX" below). All numbers are little-endian.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <array>
#include <span>
#include <vector>

namespace img::vhdx {

using base::Result;
using base::Status;
using base::u16;
using base::u32;
using base::u64;
using base::u8;

using Guid = std::array<u8, 16>; // as its bytes are in the file
inline constexpr Guid kNoGuid{};

inline constexpr u64 kMiB = u64{1} << 20;

// MS-VHDX 2.2, "Header Section": the first MiB.
inline constexpr std::size_t kIdentifierSize = u64{64} << 10;
inline constexpr std::array<u64, 2> kHeaderAt{u64{64} << 10, u64{128} << 10};
inline constexpr std::array<u64, 2> kRegionsAt{u64{192} << 10, u64{256} << 10};
inline constexpr std::size_t kHeaderSize = 4096;
inline constexpr std::size_t kRegionsSize = 64 << 10;
inline constexpr std::size_t kMetadataSize = 64 << 10; // the table at the region's beginning

inline constexpr u64 kMinBlockSize = kMiB;
inline constexpr u64 kMaxBlockSize = 256 * kMiB;
inline constexpr u64 kMaxDiskSize = u64{64} << 40;
/// What we allow a file to be: four times what a disk can need.
inline constexpr u64 kMaxFileSize = u64{1} << 48;

/// MS-VHDX 2.2.2, "Headers".
struct Header {
    u64 sequence = 0;
    Guid file_write_guid{}; // changes whenever the file does
    Guid data_write_guid{}; // changes whenever the disk's content does
    Guid log_guid{};        // of the log's entries; none: the log is empty
    u16 version = 1;
    u16 log_version = 0;
    u32 log_length = 0; // bytes
    u64 log_offset = 0; // bytes
};
/// What has the right signature and checksum is a header, whatever it says.
Result<Header> parse_header(std::span<const u8, kHeaderSize> bytes);
/// Whether an image with this header can be looked at: of two headers, only the newer one counts.
Status check_header(const Header& header);
std::array<u8, kHeaderSize> encode_header(const Header& header);

/// A range of the file.
struct Region {
    u64 at = 0; // bytes
    u64 length = 0;

    u64 end() const { return at + length; }
    bool overlaps(u64 begin, u64 bytes) const { return begin < end() && at < begin + bytes; }
};

/// MS-VHDX 2.2.3, "Region Table".
struct Regions {
    Region bat;
    Region metadata;
};
Result<Regions> parse_regions(std::span<const u8, kRegionsSize> bytes);
std::vector<u8> encode_regions(const Regions& regions);

/// MS-VHDX 2.6, "Metadata Region": what it says of the disk.
struct DiskParameters {
    u32 block_size = 0;           // bytes
    bool leave_allocated = false; // a fixed disk
    bool has_parent = false;      // a differencing disk
    u64 size = 0;                 // bytes
    Guid page_83{};               // the disk's identity
    u32 logical_sector = 512;     // bytes
    u32 physical_sector = 512;    // bytes

    /// MS-VHDX 2.5, "BAT": how many payload blocks there are between two bitmap blocks.
    u64 chunk_ratio() const { return (u64{logical_sector} << 23) / block_size; }
    u64 blocks() const { return (size + block_size - 1) / block_size; }
    /// The table entry of a block.
    u64 bat_index(u64 block) const { return block + block / chunk_ratio(); }
    u64 bat_entries() const
    {
        if (blocks() == 0) {
            return 0;
        }
        return has_parent ? bitmap_index(blocks() - 1) + 1 : bat_index(blocks() - 1) + 1;
    }
    /// The table entry of the sector bitmap that a block's bits are in: of a differencing disk.
    u64 bitmap_index(u64 block) const
    {
        return (block / chunk_ratio() + 1) * (chunk_ratio() + 1) - 1;
    }
};

/// Where the items are, relative to the metadata region.
struct MetadataItem {
    enum class Kind : u8 {
        file_parameters,
        size,
        page_83,
        logical_sector,
        physical_sector,
        parent_locator // is read by formats/vhdx/parent.hpp
    };
    Kind kind;
    u32 offset; // bytes
    u32 length; // bytes
};
Result<std::vector<MetadataItem>> parse_metadata_table(std::span<const u8, kMetadataSize> bytes,
                                                       u64 region_length);
Status parse_item(MetadataItem::Kind kind, std::span<const u8> bytes, DiskParameters& disk);
Status check_disk(const DiskParameters& disk);
/// The table, and the items 64 KiB behind its beginning.
std::vector<u8> encode_metadata(const DiskParameters& disk);

/// MS-VHDX 2.5.1, "BAT Entries".
enum class BlockState : u8 {
    not_present = 0,
    undefined = 1,
    zero = 2,
    unmapped = 3,
    unmapped_once = 5, // of drafts of the format
    fully_present = 6,
    partially_present = 7
};
struct BatEntry {
    u8 state;
    u64 offset; // bytes: a whole number of MiB

    bool is(BlockState s) const { return state == static_cast<u8>(s); }
    bool present() const { return is(BlockState::fully_present); }
    /// Some of its sectors are in the file, others in the parent.
    bool partial() const { return is(BlockState::partially_present); }
    bool reads_zero() const { return state <= 3 || state == 5; }
};
constexpr BatEntry decode_entry(u64 entry)
{
    return {static_cast<u8>(entry & 7), entry & ~(kMiB - 1)};
}
constexpr u64 encode_entry(BlockState state, u64 offset)
{
    return static_cast<u64>(state) | offset;
}

} // namespace img::vhdx
