#include "imgtool/formats/vhdx/layout.hpp"

#include "base/endian.hpp"
#include "imgtool/filter/crc32c.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <optional>
#include <string_view>

namespace img::vhdx {

namespace {

using base::Errc;
using base::fail;
using base::load_le;
using base::store_le;

constexpr std::size_t kChecksumAt = 4; // in headers and region tables

// Byte offsets within a header.
constexpr std::size_t kHeaderSequence = 8;
constexpr std::size_t kHeaderFileWrite = 16;
constexpr std::size_t kHeaderDataWrite = 32;
constexpr std::size_t kHeaderLog = 48;
constexpr std::size_t kHeaderLogVersion = 64;
constexpr std::size_t kHeaderVersion = 66;
constexpr std::size_t kHeaderLogLength = 68;
constexpr std::size_t kHeaderLogOffset = 72;

// Region tables and metadata tables: entries of 32 bytes behind a head.
constexpr std::size_t kEntrySize = 32;
constexpr std::size_t kRegionsHead = 16;
constexpr std::size_t kMetadataHead = 32;
constexpr u32 kMaxEntries = 2047;
constexpr u32 kRequiredRegion = 1;
constexpr u32 kVirtualDisk = 2; // metadata entry flags
constexpr u32 kRequiredItem = 4;
constexpr u32 kItemsAt = 64 << 10; // the least offset of an item
constexpr u32 kMaxItem = 1 << 20;  // bytes, 2.6.1.2

/// A GUID as it is written, in the byte order of the file (its first three numbers little-endian).
constexpr Guid guid(u32 a, u16 b, u16 c, std::array<u8, 8> rest)
{
    Guid bytes{};
    for (std::size_t i = 0; i < 4; ++i) {
        bytes[i] = static_cast<u8>(a >> (8 * i));
    }
    for (std::size_t i = 0; i < 2; ++i) {
        bytes[4 + i] = static_cast<u8>(b >> (8 * i));
        bytes[6 + i] = static_cast<u8>(c >> (8 * i));
    }
    for (std::size_t i = 0; i < 8; ++i) {
        bytes[8 + i] = rest[i];
    }
    return bytes;
}

// MS-VHDX 2.2.3.2, "Region Table Entry".
constexpr Guid kBatRegion =
    guid(0x2dc27766, 0xf623, 0x4200, {0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08});
constexpr Guid kMetadataRegion =
    guid(0x8b7ca206, 0x4790, 0x4b9a, {0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e});

using Kind = MetadataItem::Kind;
struct KnownItem {
    Guid id;
    Kind kind;
    u32 size; // bytes
    u32 flags;
};
// MS-VHDX 2.6.2, "Known Metadata Items", those that every disk has. Behind them comes the parent
// locator of differencing disks.
constexpr std::array kItems{
    KnownItem{guid(0xcaa16737, 0xfa36, 0x4d43, {0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b}),
              Kind::file_parameters, 8, kRequiredItem},
    KnownItem{guid(0x2fa54224, 0xcd1b, 0x4876, {0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8}),
              Kind::size, 8, kVirtualDisk | kRequiredItem},
    KnownItem{guid(0xbeca12ab, 0xb2e6, 0x4523, {0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46}),
              Kind::page_83, 16, kVirtualDisk | kRequiredItem},
    KnownItem{guid(0x8141bf1d, 0xa96f, 0x4709, {0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f}),
              Kind::logical_sector, 4, kVirtualDisk | kRequiredItem},
    KnownItem{guid(0xcda348c7, 0x445d, 0x4471, {0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56}),
              Kind::physical_sector, 4, kVirtualDisk | kRequiredItem},
};
constexpr Guid kParentLocator =
    guid(0xa8d35f2d, 0xb30b, 0x454d, {0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c});

Guid load_guid(std::span<const u8> bytes, std::size_t at)
{
    Guid id{};
    std::ranges::copy(bytes.subspan(at, id.size()), id.begin());
    return id;
}

void store_guid(std::span<u8> bytes, std::size_t at, const Guid& id)
{
    std::ranges::copy(id, bytes.begin() + static_cast<std::ptrdiff_t>(at));
}

bool starts_with(std::span<const u8> bytes, std::string_view signature)
{
    return std::ranges::equal(bytes.first(signature.size()), signature,
                              [](u8 byte, char c) { return byte == static_cast<u8>(c); });
}

void sign(std::span<u8> bytes, std::string_view signature)
{
    std::ranges::copy(signature, bytes.begin());
}

u32 checksum(std::span<const u8> bytes)
{
    constexpr std::array<u8, 4> kZero{};
    const u32 start = crc32c(bytes.first(kChecksumAt));
    return crc32c(bytes.subspan(kChecksumAt + 4), crc32c(kZero, start));
}

bool aligned_region(u64 at, u64 length)
{
    return at % kMiB == 0 && length % kMiB == 0 && at >= kMiB && length != 0 && at < kMaxFileSize &&
           length < kMaxFileSize;
}

} // namespace

Result<Header> parse_header(std::span<const u8, kHeaderSize> bytes)
{
    if (!starts_with(bytes, "head") || load_le<u32>(bytes, kChecksumAt) != checksum(bytes)) {
        return fail(Errc::corrupt, "No valid VHDX header found");
    }
    return Header{.sequence = load_le<u64>(bytes, kHeaderSequence),
                  .file_write_guid = load_guid(bytes, kHeaderFileWrite),
                  .data_write_guid = load_guid(bytes, kHeaderDataWrite),
                  .log_guid = load_guid(bytes, kHeaderLog),
                  .version = load_le<u16>(bytes, kHeaderVersion),
                  .log_version = load_le<u16>(bytes, kHeaderLogVersion),
                  .log_length = load_le<u32>(bytes, kHeaderLogLength),
                  .log_offset = load_le<u64>(bytes, kHeaderLogOffset)};
}

Status check_header(const Header& header)
{
    if (header.version != 1) {
        return fail(Errc::unsupported, fmt::format("VHDX image of version {}", header.version));
    }
    if (header.log_version != 0 && header.log_guid != kNoGuid) {
        return fail(Errc::unsupported, "VHDX log of an unknown version");
    }
    if (header.log_offset % kMiB != 0 || header.log_offset < kMiB ||
        header.log_offset >= kMaxFileSize || header.log_length % 4096 != 0) {
        return fail(Errc::corrupt, fmt::format("VHDX log of {} bytes at {:#x}", header.log_length,
                                               header.log_offset));
    }
    return base::ok();
}

std::array<u8, kHeaderSize> encode_header(const Header& header)
{
    std::array<u8, kHeaderSize> bytes{};
    sign(bytes, "head");
    store_le<u64>(bytes, kHeaderSequence, header.sequence);
    store_guid(bytes, kHeaderFileWrite, header.file_write_guid);
    store_guid(bytes, kHeaderDataWrite, header.data_write_guid);
    store_guid(bytes, kHeaderLog, header.log_guid);
    store_le<u16>(bytes, kHeaderVersion, 1);
    store_le<u32>(bytes, kHeaderLogLength, header.log_length);
    store_le<u64>(bytes, kHeaderLogOffset, header.log_offset);
    store_le<u32>(bytes, kChecksumAt, checksum(bytes));
    return bytes;
}

Result<Regions> parse_regions(std::span<const u8, kRegionsSize> bytes)
{
    if (!starts_with(bytes, "regi") || load_le<u32>(bytes, kChecksumAt) != checksum(bytes)) {
        return fail(Errc::corrupt, "No valid VHDX region table found");
    }
    const u32 count = load_le<u32>(bytes, 8);
    if (count > kMaxEntries) {
        return fail(Errc::corrupt, fmt::format("VHDX region table of {} entries", count));
    }
    Regions regions;
    for (u32 i = 0; i < count; ++i) {
        const auto entry = bytes.subspan(kRegionsHead + i * kEntrySize, kEntrySize);
        const Guid id = load_guid(entry, 0);
        const Region region{load_le<u64>(entry, 16), load_le<u32>(entry, 24)};
        Region* known = id == kBatRegion        ? &regions.bat
                        : id == kMetadataRegion ? &regions.metadata
                                                : nullptr;
        if (known == nullptr) {
            if ((load_le<u32>(entry, 28) & kRequiredRegion) != 0) {
                return fail(Errc::unsupported, "VHDX image needs an unknown region");
            }
            continue;
        }
        if (known->length != 0 || !aligned_region(region.at, region.length)) {
            return fail(Errc::corrupt,
                        fmt::format("VHDX region of {} bytes at {:#x}", region.length, region.at));
        }
        *known = region;
    }
    if (regions.bat.length == 0 || regions.metadata.length == 0) {
        return fail(Errc::corrupt, "VHDX image without a BAT or metadata region");
    }
    return regions;
}

std::vector<u8> encode_regions(const Regions& regions)
{
    std::vector<u8> bytes(kRegionsSize);
    sign(bytes, "regi");
    store_le<u32>(bytes, 8, 2);
    const std::array<std::pair<Guid, Region>, 2> entries{
        {{kBatRegion, regions.bat}, {kMetadataRegion, regions.metadata}}};
    std::size_t at = kRegionsHead;
    for (const auto& [id, region] : entries) {
        store_guid(bytes, at, id);
        store_le<u64>(bytes, at + 16, region.at);
        store_le<u32>(bytes, at + 24, static_cast<u32>(region.length));
        store_le<u32>(bytes, at + 28, kRequiredRegion);
        at += kEntrySize;
    }
    store_le<u32>(bytes, kChecksumAt, checksum(bytes));
    return bytes;
}

Result<std::vector<MetadataItem>> parse_metadata_table(std::span<const u8, kMetadataSize> bytes,
                                                       u64 region_length)
{
    const u16 count = load_le<u16>(bytes, 10);
    if (!starts_with(bytes, "metadata") || count > kMaxEntries) {
        return fail(Errc::corrupt, "No valid VHDX metadata table found");
    }
    std::vector<MetadataItem> items;
    for (std::size_t i = 0; i < count; ++i) {
        const auto entry = bytes.subspan(kMetadataHead + i * kEntrySize, kEntrySize);
        const Guid id = load_guid(entry, 0);
        const auto known = std::ranges::find(kItems, id, &KnownItem::id);
        if (known == kItems.end() && id != kParentLocator) {
            if ((load_le<u32>(entry, 24) & kRequiredItem) != 0) {
                return fail(Errc::unsupported, "VHDX image needs unknown metadata");
            }
            continue;
        }
        const bool fixed = known != kItems.end();
        const MetadataItem item{.kind = fixed ? known->kind : Kind::parent_locator,
                                .offset = load_le<u32>(entry, 16),
                                .length = fixed ? known->size : load_le<u32>(entry, 20)};
        const auto same = [&](const MetadataItem& other) { return other.kind == item.kind; };
        if (item.offset < kItemsAt || item.length > kMaxItem ||
            u64{item.offset} + item.length > region_length || std::ranges::any_of(items, same)) {
            return fail(Errc::corrupt,
                        fmt::format("VHDX metadata item {} at {:#x}", i, item.offset));
        }
        items.push_back(item);
    }
    const auto is_there = [&](const KnownItem& known) {
        return std::ranges::find(items, known.kind, &MetadataItem::kind) != items.end();
    };
    if (!std::ranges::all_of(kItems, is_there)) {
        return fail(Errc::corrupt, "VHDX image without all required metadata");
    }
    return items;
}

Status parse_item(Kind kind, std::span<const u8> bytes, DiskParameters& disk)
{
    switch (kind) {
    case Kind::file_parameters:
        disk.block_size = load_le<u32>(bytes, 0);
        disk.leave_allocated = (load_le<u32>(bytes, 4) & 1) != 0;
        disk.has_parent = (load_le<u32>(bytes, 4) & 2) != 0;
        return base::ok();
    case Kind::size:
        disk.size = load_le<u64>(bytes, 0) / 512 * 512;
        return base::ok();
    case Kind::page_83:
        disk.page_83 = load_guid(bytes, 0);
        return base::ok();
    case Kind::logical_sector:
        disk.logical_sector = load_le<u32>(bytes, 0);
        return base::ok();
    case Kind::physical_sector:
        disk.physical_sector = load_le<u32>(bytes, 0);
        return base::ok();
    case Kind::parent_locator:
        return base::ok();
    }
    return base::ok();
}

Status check_disk(const DiskParameters& disk)
{
    if (!std::has_single_bit(disk.block_size) || disk.block_size < kMinBlockSize ||
        disk.block_size > kMaxBlockSize) {
        return fail(Errc::corrupt, fmt::format("VHDX block size {}", disk.block_size));
    }
    if (disk.logical_sector != 512 && disk.logical_sector != 4096) {
        return fail(Errc::unsupported,
                    fmt::format("VHDX logical sector size {}", disk.logical_sector));
    }
    if (disk.size > kMaxDiskSize) {
        return fail(Errc::corrupt, fmt::format("VHDX disk of {} bytes", disk.size));
    }
    return base::ok();
}

std::vector<u8> encode_metadata(const DiskParameters& disk)
{
    std::vector<u8> bytes(kMetadataSize + 64);
    sign(bytes, "metadata");
    store_le<u16>(bytes, 10, static_cast<u16>(kItems.size()));
    std::size_t entry = kMetadataHead;
    u32 at = kItemsAt;
    for (const KnownItem& item : kItems) {
        store_guid(bytes, entry, item.id);
        store_le<u32>(bytes, entry + 16, at);
        store_le<u32>(bytes, entry + 20, item.size);
        store_le<u32>(bytes, entry + 24, item.flags);
        entry += kEntrySize;
        switch (item.kind) {
        case Kind::file_parameters:
            store_le<u32>(bytes, at, disk.block_size);
            store_le<u32>(bytes, at + 4, disk.leave_allocated ? 1 : 0);
            break;
        case Kind::size:
            store_le<u64>(bytes, at, disk.size);
            break;
        case Kind::page_83:
            store_guid(bytes, at, disk.page_83);
            break;
        case Kind::logical_sector:
            store_le<u32>(bytes, at, disk.logical_sector);
            break;
        case Kind::physical_sector:
            store_le<u32>(bytes, at, disk.physical_sector);
            break;
        case Kind::parent_locator:
            break; // differencing disks are not made
        }
        at += item.size;
    }
    return bytes;
}

} // namespace img::vhdx
