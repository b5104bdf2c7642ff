#include "imgtool/formats/vmdk/layout.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img::vmdk {

namespace {

using base::Errc;
using base::fail;
using base::load_le;
using base::store_le;

// VDF, "Stream-Optimized Compressed Sparse Extents": kinds of markers.
constexpr u32 kMarkerEndOfStream = 0;
constexpr u32 kMarkerFooter = 3;

constexpr u16 kDeflate = 1;

struct Marker {
    u64 value; // sectors
    u32 size;  // 0: metadata
    u32 kind;
};

Marker parse_marker(std::span<const u8> sector)
{
    return {load_le<u64>(sector, 0), load_le<u32>(sector, 8), load_le<u32>(sector, 12)};
}

base::Status check_directory(const Geometry& g)
{
    if (g.grain > kMaxGrain) {
        return fail(Errc::corrupt, "Invalid granularity, image may be corrupt");
    }
    if (g.directory_entries > kMaxDirectory) {
        return fail(Errc::corrupt, "L1 size too big");
    }
    if (g.capacity > kMaxCapacity) {
        return fail(Errc::corrupt, "the extent is too large");
    }
    if (g.packed && g.grain > kMaxPackedGrain) {
        return fail(Errc::unsupported,
                    fmt::format("compressed grains of {} sectors are too large", g.grain));
    }
    return base::ok();
}

} // namespace

bool has_magic(std::span<const u8> start, u32 magic)
{
    return start.size() >= sizeof(u32) && load_le<u32>(start, 0) == magic;
}

Result<HostedHeader> parse_hosted(std::span<const u8> sector)
{
    if (sector.size() < kSector || !has_magic(sector, kHostedMagic)) {
        return fail(Errc::wrong_format, "Image not in VMDK format");
    }
    HostedHeader h{.version = load_le<u32>(sector, 4),
                   .flags = load_le<u32>(sector, 8),
                   .capacity = load_le<u64>(sector, 12),
                   .grain = load_le<u64>(sector, 20),
                   .descriptor_at = load_le<u64>(sector, 28),
                   .descriptor_sectors = load_le<u64>(sector, 36),
                   .table_entries = load_le<u32>(sector, 44),
                   .redundant_directory = load_le<u64>(sector, 48),
                   .directory = load_le<u64>(sector, 56),
                   .overhead = load_le<u64>(sector, 64),
                   .compression = load_le<u16>(sector, 77)};
    if (h.version > 3) {
        return fail(Errc::unsupported, fmt::format("Unsupported VMDK version {}", h.version));
    }
    return h;
}

std::array<u8, kSector> encode_hosted(const HostedHeader& h)
{
    std::array<u8, kSector> sector{};
    store_le<u32>(sector, 0, kHostedMagic);
    store_le<u32>(sector, 4, h.version);
    store_le<u32>(sector, 8, h.flags);
    store_le<u64>(sector, 12, h.capacity);
    store_le<u64>(sector, 20, h.grain);
    store_le<u64>(sector, 28, h.descriptor_at);
    store_le<u64>(sector, 36, h.descriptor_sectors);
    store_le<u32>(sector, 44, h.table_entries);
    store_le<u64>(sector, 48, h.redundant_directory);
    store_le<u64>(sector, 56, h.directory);
    store_le<u64>(sector, 64, h.overhead);
    // The line ends that a transfer as text would change.
    sector[73] = '\n';
    sector[74] = ' ';
    sector[75] = '\r';
    sector[76] = '\n';
    store_le<u16>(sector, 77, h.compression);
    return sector;
}

Result<HostedHeader> parse_footer(std::span<const u8> last_sectors)
{
    if (last_sectors.size() != kFooterSectors * kSector) {
        return fail(Errc::corrupt, "Invalid footer");
    }
    const Marker before = parse_marker(last_sectors);
    const Marker after = parse_marker(last_sectors.subspan(2 * kSector));
    const auto footer = last_sectors.subspan(kSector, kSector);
    if (before.size != 0 || before.kind != kMarkerFooter || !has_magic(footer, kHostedMagic) ||
        after.value != 0 || after.size != 0 || after.kind != kMarkerEndOfStream) {
        return fail(Errc::corrupt, "Invalid footer");
    }
    auto header = parse_hosted(footer);
    if (header && header.value().directory == kDirectoryAtEnd) {
        return fail(Errc::corrupt, "Invalid footer");
    }
    return header;
}

Result<Geometry> hosted_geometry(const HostedHeader& h, u64 file_size)
{
    if (h.table_entries > kMaxTableEntries) {
        return fail(Errc::corrupt, "L2 table size too big");
    }
    if (h.table_entries == 0 || h.grain == 0) {
        return fail(Errc::corrupt, "L1 entry size is invalid");
    }
    Geometry g{.capacity = h.capacity,
               .grain = h.grain,
               .table_entries = h.table_entries,
               .directory = h.directory,
               .overhead = h.overhead,
               .version = h.version,
               .packed = h.compression == kDeflate,
               .markers = (h.flags & flags::markers) != 0,
               .zeroed_grain = (h.flags & flags::zero_grain) != 0};
    if ((h.flags & flags::redundant_table) != 0) {
        g.redundant_directory = h.redundant_directory;
    }
    if (h.grain <= kMaxGrain) {
        const u64 reach = h.grain * h.table_entries;
        g.directory_entries = h.capacity / reach + (h.capacity % reach != 0);
    }
    if (auto good = check_directory(g); !good) {
        return std::move(good).error();
    }
    if (h.overhead > file_size / kSector + (file_size % kSector != 0)) {
        return fail(Errc::corrupt, h.overhead > kMaxCapacity
                                       ? std::string{"File truncated"}
                                       : fmt::format("File truncated, expecting at least {} bytes",
                                                     h.overhead * kSector));
    }
    if (h.directory > kMaxCapacity || g.redundant_directory > kMaxCapacity) {
        return fail(Errc::corrupt, "the grain directory is beyond the end of the file");
    }
    return g;
}

Result<Geometry> parse_esx(std::span<const u8> sector)
{
    if (sector.size() < kSector || !has_magic(sector, kEsxMagic)) {
        return fail(Errc::wrong_format, "Image not in VMDK format");
    }
    const u32 version = load_le<u32>(sector, 4);
    if (version != 1) {
        return fail(Errc::unsupported, fmt::format("Unsupported VMDK version {}", version));
    }
    Geometry g{.capacity = load_le<u32>(sector, 12),
               .grain = load_le<u32>(sector, 16),
               .table_entries = kEsxTableEntries,
               .directory_entries = load_le<u32>(sector, 24),
               .directory = load_le<u32>(sector, 20)};
    if (g.grain == 0) {
        return fail(Errc::corrupt, "L1 entry size is invalid");
    }
    if (auto good = check_directory(g); !good) {
        return std::move(good).error();
    }
    const u64 reach = g.grain * g.table_entries;
    if (g.directory_entries < g.capacity / reach + (g.capacity % reach != 0)) {
        return fail(Errc::corrupt, "the grain directory is too small for the extent");
    }
    const u64 directory_sectors = (g.directory_entries * sizeof(u32) + kSector - 1) / kSector;
    g.overhead = g.directory + directory_sectors;
    return g;
}

} // namespace img::vmdk
