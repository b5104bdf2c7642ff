#include "imgtool/formats/vmdk/sparse_extent.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::vmdk {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kMaxEmptyTables = 4096; // looked through at once

Result<Geometry> read_geometry(ByteSource& file)
{
    std::array<u8, kSector> sector{};
    if (auto read = read_padded(file, FileOffset{0}, sector); !read) {
        return std::move(read).error();
    }
    if (has_magic(sector, kEsxMagic)) {
        return parse_esx(sector);
    }
    auto header = parse_hosted(sector);
    if (!header) {
        return std::move(header).error();
    }
    const bool at_end = header.value().directory == kDirectoryAtEnd;
    if (at_end) {
        std::array<u8, kFooterSectors * kSector> last{};
        if (file.size() < last.size()) {
            return fail(Errc::corrupt, "Invalid footer");
        }
        if (auto read = file.read(FileOffset{file.size() - last.size()}, last); !read) {
            return std::move(read).error();
        }
        header = parse_footer(last);
        if (!header) {
            return std::move(header).error();
        }
    }
    auto geometry = hosted_geometry(header.value(), file.size());
    if (geometry) {
        geometry.value().has_footer = at_end;
    }
    return geometry;
}

u64 round_up(u64 value, u64 step)
{
    return (value + step - 1) / step * step;
}

} // namespace

SparseExtent::SparseExtent(ByteSource& file, const Geometry& geometry, std::size_t cache_slices)
    : file_{file}, geometry_{geometry}, directory_{file, kSector, cache_slices}, tables_{
                                                                                     file, kSector,
                                                                                     cache_slices}
{
    const u64 used = std::max(round_up(file.size(), kSector) / kSector, geometry.overhead);
    next_sector_ = geometry.packed ? used : round_up(used, geometry.grain);
}

Result<std::unique_ptr<SparseExtent>> SparseExtent::open(ByteSource& file, std::size_t cache_slices)
{
    auto geometry = read_geometry(file);
    if (!geometry) {
        return std::move(geometry).error();
    }
    std::unique_ptr<SparseExtent> extent{new SparseExtent{file, geometry.value(), cache_slices}};
    if (file.fixed_size() && !file.read_only()) {
        if (auto found = extent->find_end(); !found) {
            return std::move(found).error();
        }
    }
    return extent;
}

std::string SparseExtent::why_read_only() const
{
    if (geometry_.version == 3 && !geometry_.packed) {
        return "VMDK version 3 must be read only"; // its change tracking would not be kept up
    }
    return "";
}

SparseExtent::Kind SparseExtent::kind_of(u32 entry) const
{
    if (entry == 0) {
        return Kind::absent;
    }
    return entry == kZeroedGrain && geometry_.zeroed_grain ? Kind::zeroed : Kind::stored;
}

/// Entry `index` of the table that begins at sector `table`.
Result<u32> SparseExtent::load(SliceCache& cache, u64 table, u64 index)
{
    const u64 at = table * kSector + index * sizeof(u32);
    auto slice = cache.get(at / kSector * kSector);
    if (!slice) {
        return std::move(slice).error().in("Could not read a grain table");
    }
    return base::load_le<u32>(slice.value(), at % kSector);
}

Result<SparseExtent::Place> SparseExtent::find(u64 grain)
{
    const u64 in_table = grain % geometry_.table_entries;
    auto table = load(directory_, geometry_.directory, grain / geometry_.table_entries);
    if (!table) {
        return std::move(table).error();
    }
    return Place{table.value(), static_cast<u32>(in_table),
                 static_cast<u32>(geometry_.table_entries - in_table)};
}

/// How many of the `wanted` grains from `grain` on have no table; `grain` has none.
Result<u64> SparseExtent::empty_grains(u64 grain, u64 wanted)
{
    u64 count = 0;
    for (u64 tables = 0; count < wanted && tables < kMaxEmptyTables; ++tables) {
        auto at = find(grain + count);
        if (!at) {
            return std::move(at).error();
        }
        if (at.value().table != 0) {
            break;
        }
        count += at.value().left;
    }
    return std::min(count, wanted);
}

/// A compressed grain is as long as its marker says; where the next grain begins tells that as well
/// and needs no reading.
Result<Extent> SparseExtent::packed_extent(u64 grain, u32 entry, const Place& at)
{
    const u64 bytes = geometry_.grain_bytes();
    const u64 start = entry * kSector;
    Extent extent{.kind = Extent::Kind::compressed,
                  .length = bytes,
                  .packed = {.at = FileOffset{start},
                             .packed_length = bytes * 2,
                             .block = GuestOffset{grain * bytes},
                             .block_length = bytes,
                             .codec = Codec::zlib}};
    // The grain at the extent's end may have been packed without what lies beyond.
    if (size() - grain * bytes < bytes) {
        extent.packed.least = size() - grain * bytes;
    }
    if (!geometry_.markers) {
        return extent;
    }
    extent.packed.at.bytes += kMarkerHeader;
    if (at.left > 1) {
        auto next = load(tables_, at.table, at.index + 1);
        if (!next) {
            return std::move(next).error();
        }
        if (next.value() > entry && (next.value() - entry) * kSector <= bytes * 2) {
            extent.packed.packed_length = (next.value() - entry) * kSector - kMarkerHeader;
            return extent;
        }
    }
    std::array<u8, kMarkerHeader> marker{};
    if (auto read = read_padded(file_, FileOffset{start}, marker); !read) {
        return std::move(read).error();
    }
    extent.packed.packed_length = base::load_le<u32>(marker, 8);
    if (extent.packed.packed_length == 0 || extent.packed.packed_length > bytes * 2) {
        return fail(Errc::corrupt,
                    fmt::format("the marker of the grain at {:#x} is invalid", start));
    }
    return extent;
}

Result<Extent> SparseExtent::map(u64 from, u64 limit)
{
    limit = std::min(limit, size() - from);
    const u64 bytes = geometry_.grain_bytes();
    const u64 grain = from / bytes;
    const u64 within = from % bytes;
    const u64 wanted = (within + limit + bytes - 1) / bytes;
    auto at = find(grain);
    if (!at) {
        return std::move(at).error();
    }
    if (at.value().table == 0) {
        auto count = empty_grains(grain, wanted);
        if (!count) {
            return std::move(count).error();
        }
        return Extent{.kind = Extent::Kind::backing,
                      .length = std::min(limit, count.value() * bytes - within)};
    }
    auto first = load(tables_, at.value().table, at.value().index);
    if (!first) {
        return std::move(first).error();
    }
    const Kind kind = kind_of(first.value());
    if (kind == Kind::stored && geometry_.packed) {
        auto extent = packed_extent(grain, first.value(), at.value());
        if (extent) {
            extent.value().length = std::min(limit, bytes - within);
        }
        return extent;
    }
    u64 count = 1;
    while (count < wanted && count < at.value().left) {
        auto next = load(tables_, at.value().table, at.value().index + count);
        if (!next) {
            return std::move(next).error();
        }
        if (kind_of(next.value()) != kind ||
            (kind == Kind::stored && next.value() != first.value() + count * geometry_.grain)) {
            break;
        }
        ++count;
    }
    Extent extent{.kind = Extent::Kind::backing, .length = std::min(limit, count * bytes - within)};
    if (kind == Kind::zeroed) {
        extent.kind = Extent::Kind::zero;
    } else if (kind == Kind::stored) {
        extent.kind = Extent::Kind::data;
        extent.at = FileOffset{first.value() * kSector + within};
    }
    return extent;
}

} // namespace img::vmdk
