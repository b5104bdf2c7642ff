// The writing half of SparseExtent.
//
// A kill or power cut is harmless because of the order in which flush() lets things reach the disk:
// grains and empty tables, then entries of tables, then entries of the directory. A grain that
// nothing refers to any more is not given back: the format has no list of free grains.
#include "base/endian.hpp"
#include "imgtool/formats/vmdk/sparse_extent.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::vmdk {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kMaxFreshBytes = u64{2} << 20; // placed at once

u64 round_up(u64 value, u64 step)
{
    return (value + step - 1) / step * step;
}

} // namespace

Status SparseExtent::check_can_write() const
{
    if (const std::string why = why_read_only(); !why.empty()) {
        return fail(Errc::unsupported, why);
    }
    if (geometry_.has_footer) {
        return fail(Errc::unsupported, "a stream that ends with its tables cannot be written to");
    }
    return base::ok();
}

/// Sectors behind all that the file has.
Result<u64> SparseExtent::take_sectors(u64 count)
{
    if (next_sector_ > kMaxSectors || count > kMaxSectors - next_sector_) {
        return fail(Errc::unsupported, "the extent's file cannot become larger than 2 TiB");
    }
    const u64 first = next_sector_;
    next_sector_ += count;
    return first;
}

/// A table that is to be written must not be the header, nor lie where the file has nothing.
Status SparseExtent::check_table(u64 table) const
{
    const u64 end = (table + geometry_.table_sectors()) * kSector;
    if (table == 0 || end > std::max(file_.size(), next_sector_ * kSector)) {
        return fail(Errc::corrupt,
                    fmt::format("the grain table at {:#x} is outside the file", table * kSector));
    }
    return base::ok();
}

Status SparseExtent::store(SliceCache& cache, u64 table, u64 index, u32 value)
{
    const u64 at = table * kSector + index * sizeof(u32);
    auto slice = cache.get_for_write(at / kSector * kSector);
    if (!slice) {
        return std::move(slice).error();
    }
    base::store_le<u32>(slice.value(), at % kSector, value);
    return base::ok();
}

/// Makes the empty table, and its copy, that directory entry `index` has not yet.
Status SparseExtent::make_table(u64 index)
{
    const u64 sectors = geometry_.table_sectors();
    const bool two = geometry_.redundant_directory != 0;
    const u64 needed = sectors * (two ? 2 : 1);
    auto first = take_sectors(geometry_.packed ? needed : round_up(needed, geometry_.grain));
    if (!first) {
        return std::move(first).error();
    }
    if (auto done = file_.zero(FileOffset{first.value() * kSector}, needed * kSector); !done) {
        return done;
    }
    tables_.drop(first.value() * kSector, needed * kSector);
    if (two) {
        const auto copy = static_cast<u32>(first.value() + sectors);
        if (auto done = store(directory_, geometry_.redundant_directory, index, copy); !done) {
            return done;
        }
    }
    return store(directory_, geometry_.directory, index, static_cast<u32>(first.value()));
}

Result<SparseExtent::Place> SparseExtent::find_for_write(u64 grain)
{
    auto at = find(grain);
    if (at && at.value().table == 0) {
        if (auto made = make_table(grain / geometry_.table_entries); !made) {
            return std::move(made).error();
        }
        at = find(grain);
    }
    if (!at) {
        return at;
    }
    if (auto good = check_table(at.value().table); !good) {
        return std::move(good).error();
    }
    return at;
}

/// Entries of `count` grains: `first_sector`, and `step` more for each.
Status SparseExtent::set_entries(u64 grain, u64 count, u64 first_sector, u64 step)
{
    for (u64 i = 0; i < count; ++i) {
        const u64 index = (grain + i) % geometry_.table_entries;
        const u64 directory_index = (grain + i) / geometry_.table_entries;
        const auto value = static_cast<u32>(first_sector + i * step);
        auto at = find_for_write(grain + i);
        if (!at) {
            return std::move(at).error();
        }
        if (auto done = store(tables_, at.value().table, index, value); !done) {
            return done;
        }
        if (geometry_.redundant_directory == 0) {
            continue;
        }
        auto copy = load(directory_, geometry_.redundant_directory, directory_index);
        if (!copy) {
            return std::move(copy).error();
        }
        // A copy that is missing or out of the way is for check to find.
        if (check_table(copy.value())) {
            if (auto done = store(tables_, copy.value(), index, value); !done) {
                return done;
            }
        }
    }
    return base::ok();
}

Result<Placement> SparseExtent::place(u64 from, u64 length)
{
    if (auto good = check_can_write(); !good) {
        return std::move(good).error();
    }
    if (geometry_.packed) {
        return fail(Errc::unsupported,
                    "a streamOptimized image is written in whole compressed grains only");
    }
    length = std::min(length, size() - from);
    const u64 bytes = geometry_.grain_bytes();
    const u64 grain = from / bytes;
    const u64 within = from % bytes;
    auto at = find_for_write(grain);
    if (!at) {
        return std::move(at).error();
    }
    auto first = load(tables_, at.value().table, at.value().index);
    if (!first) {
        return std::move(first).error();
    }
    const bool stored = kind_of(first.value()) == Kind::stored;
    u64 wanted = std::min<u64>(at.value().left, (within + length + bytes - 1) / bytes);
    wanted = stored ? wanted : std::min(wanted, std::max<u64>(1, kMaxFreshBytes / bytes));
    u64 count = 1;
    for (; count < wanted; ++count) {
        auto next = load(tables_, at.value().table, at.value().index + count);
        if (!next) {
            return std::move(next).error();
        }
        const bool alike = kind_of(next.value()) == Kind::stored
                               ? stored && next.value() == first.value() + count * geometry_.grain
                               : !stored;
        if (!alike) {
            break;
        }
    }
    u64 sector = first.value();
    if (!stored) {
        auto taken = take_sectors(count * geometry_.grain);
        if (!taken) {
            return std::move(taken).error();
        }
        sector = taken.value();
    }
    Placement placement{.from = GuestOffset{from},
                        .at = FileOffset{sector * kSector + within},
                        .length = std::min(length, count * bytes - within),
                        .fresh = !stored,
                        .in = &file_};
    if (!stored) {
        placement.block = GuestOffset{grain * bytes};
        placement.block_length = std::min(count * bytes, size() - grain * bytes);
        if (placement.block_length < count * bytes) { // the last grain reaches past the extent
            const u64 end = sector * kSector + placement.block_length;
            const u64 slack = count * bytes - placement.block_length;
            if (auto done = file_.zero(FileOffset{end}, slack); !done) {
                return std::move(done).error();
            }
        }
    }
    return placement;
}

Status SparseExtent::publish(const Placement& p)
{
    if (!p.fresh) {
        return base::ok();
    }
    const u64 bytes = geometry_.grain_bytes();
    const u64 count = (p.block_length + bytes - 1) / bytes;
    const u64 first = (p.at.bytes - (p.from.bytes - p.block.bytes)) / kSector;
    return set_entries(p.block.bytes / bytes, count, first, geometry_.grain);
}

void SparseExtent::abandon(const Placement& p)
{
    const u64 bytes = geometry_.grain_bytes();
    const u64 first = (p.at.bytes - (p.from.bytes - p.block.bytes)) / kSector;
    const u64 sectors = (p.block_length + bytes - 1) / bytes * geometry_.grain;
    if (p.fresh && first + sectors == next_sector_) {
        next_sector_ = first;
    }
}

Result<u64> SparseExtent::place_zeroes(u64 from, u64 length, bool reads_zero)
{
    if (auto good = check_can_write(); !good) {
        return std::move(good).error();
    }
    length = std::min(length, size() - from);
    const u64 bytes = geometry_.grain_bytes();
    auto extent = map(from, length);
    if (!extent) {
        return std::move(extent).error();
    }
    const Extent& e = extent.value();
    if (e.kind == Extent::Kind::zero || (e.kind == Extent::Kind::backing && reads_zero)) {
        return e.length;
    }
    const bool to_end = from + length == size();
    const u64 whole = from % bytes != 0 ? 0 : (to_end ? length + bytes - 1 : length) / bytes;
    if (geometry_.zeroed_grain && whole != 0) {
        const u64 in_table = from / bytes % geometry_.table_entries;
        const u64 count = std::min<u64>(whole, geometry_.table_entries - in_table);
        if (auto done = set_entries(from / bytes, count, kZeroedGrain, 0); !done) {
            return std::move(done).error();
        }
        return std::min(length, count * bytes);
    }
    if (e.kind != Extent::Kind::data) {
        return u64{0};
    }
    if (auto done = file_.zero(e.at, e.length); !done) {
        return std::move(done).error();
    }
    return e.length;
}

/// VDF, "Stream-Optimized Compressed Sparse Extents": a marker, the data, and zeroes to the end of
/// the sector.
Status SparseExtent::write_packed(u64 block, std::span<const u8> packed)
{
    if (auto good = check_can_write(); !good) {
        return good;
    }
    const u64 grain = block / geometry_.grain_bytes();
    if (!geometry_.packed || block % geometry_.grain_bytes() != 0 || block >= size() ||
        packed.size() > geometry_.grain_bytes() * 2) {
        return fail(Errc::invalid_argument, "this is not a grain to be compressed");
    }
    auto at = find_for_write(grain);
    if (!at) {
        return std::move(at).error();
    }
    auto entry = load(tables_, at.value().table, at.value().index);
    if (!entry) {
        return std::move(entry).error();
    }
    if (kind_of(entry.value()) == Kind::stored) {
        return fail(Errc::unsupported, "Could not write to allocated cluster for streamOptimized");
    }
    const std::size_t header = geometry_.markers ? kMarkerHeader : 0;
    std::vector<u8> bytes(round_up(header + packed.size(), kSector));
    if (geometry_.markers) {
        base::store_le<u64>(bytes, 0, block / kSector);
        base::store_le<u32>(bytes, 8, static_cast<u32>(packed.size()));
    }
    std::ranges::copy(packed, bytes.begin() + static_cast<std::ptrdiff_t>(header));
    auto first = take_sectors(bytes.size() / kSector);
    if (!first) {
        return std::move(first).error();
    }
    if (auto done = file_.write(FileOffset{first.value() * kSector}, bytes); !done) {
        return done;
    }
    return set_entries(grain, 1, first.value(), 0);
}

Status SparseExtent::flush()
{
    if (auto done = file_.flush(); !done) {
        return done;
    }
    if (!dirty()) {
        return base::ok();
    }
    const bool new_tables = directory_.dirty();
    if (auto done = tables_.write_dirty(); !done) {
        return done;
    }
    if (new_tables) {
        if (auto done = file_.flush(); !done) {
            return done;
        }
        if (auto done = directory_.write_dirty(); !done) {
            return done;
        }
    }
    return file_.flush();
}

} // namespace img::vmdk
