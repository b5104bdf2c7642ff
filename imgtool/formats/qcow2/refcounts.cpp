#include "imgtool/formats/qcow2/refcounts.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;
using base::load_be;
using base::store_be;

constexpr u64 kSliceSize = 4096;          // bytes
constexpr std::size_t kCachedSlices = 64; // 256 KiB: counts of 8 GiB at the default sizes

/// How far past the end of the file leaked clusters are believed. A refcount table whose entries
/// all name the same full block must not make us search for a free cluster for hours.
constexpr u64 kSlackClusters = 65536;

} // namespace

u64 load_refcount(std::span<const u8> block, u64 index, u32 order)
{
    switch (order) {
    case 3:
        return block[index];
    case 4:
        return load_be<u16>(block, index * 2);
    case 5:
        return load_be<u32>(block, index * 4);
    case 6:
        return load_be<u64>(block, index * 8);
    default: { // several to a byte, the lowest bits first
        const u32 bits = 1u << order;
        const u32 shift = static_cast<u32>(index % (8 / bits)) * bits;
        return block[index / (8 / bits)] >> shift & ((1u << bits) - 1);
    }
    }
}

void store_refcount(std::span<u8> block, u64 index, u32 order, u64 value)
{
    switch (order) {
    case 3:
        block[index] = static_cast<u8>(value);
        return;
    case 4:
        return store_be<u16>(block, index * 2, static_cast<u16>(value));
    case 5:
        return store_be<u32>(block, index * 4, static_cast<u32>(value));
    case 6:
        return store_be<u64>(block, index * 8, value);
    default: {
        const u32 bits = 1u << order;
        const u32 shift = static_cast<u32>(index % (8 / bits)) * bits;
        u8& byte = block[index / (8 / bits)];
        const u32 mask = ((1u << bits) - 1) << shift;
        byte = static_cast<u8>((byte & ~mask) | (value << shift & mask));
        return;
    }
    }
}

Refcounts::Refcounts(ByteSource& file, const Header& header, std::function<bool(u64)> is_metadata)
    : file_{file}, geometry_{header.geometry()}, is_metadata_{std::move(is_metadata)},
      cache_{file, std::min(kSliceSize, geometry_.cluster_size()), kCachedSlices},
      table_offset_{header.reftable_offset}, table_clusters_{header.reftable_clusters}
{
    cache_.announce(DebugEvent::refblock_load, DebugEvent::refblock_update_part);
}

Status Refcounts::load()
{
    std::vector<u8> bytes(table_clusters_ << geometry_.cluster_bits); // bounded by parse_header
    file_.announce(DebugEvent::reftable_load);
    if (auto read = read_padded(file_, FileOffset{table_offset_}, bytes); !read) {
        return std::move(read).error().in("Could not read the refcount table");
    }
    std::vector<u64> entries(bytes.size() / sizeof(u64));
    for (std::size_t i = 0; i < entries.size(); ++i) {
        entries[i] = load_be<u64>(bytes, i * sizeof(u64));
    }
    table_.replace(std::move(entries));
    table_.trim();
    last_sane_ = geometry_.clusters(file_.size()) + kSlackClusters;
    return base::ok();
}

Result<Refcounts::Place> Refcounts::place_of(u64 cluster)
{
    const u64 table_index = cluster / geometry_.refblock_entries();
    const u64 block = table_index < table_.size() ? table_[table_index] : 0;
    if (block == 0) {
        return Place{0, 0};
    }
    if ((block & geometry_.within()) != 0 || (block & ~entry::offset_mask) != 0) {
        return fail(Errc::corrupt, fmt::format("Refblock offset {:#x} unaligned (reftable index: "
                                               "{:#x})",
                                               block, table_index));
    }
    const u64 index = cluster % geometry_.refblock_entries();
    return Place{block + index / counts_per_slice() * cache_.slice_size(),
                 index % counts_per_slice()};
}

Result<u64> Refcounts::get(u64 cluster)
{
    auto place = place_of(cluster);
    if (!place) {
        return std::move(place).error();
    }
    if (place.value().slice == 0) {
        return u64{0};
    }
    auto slice = cache_.get(place.value().slice);
    if (!slice) {
        return std::move(slice).error();
    }
    return load_refcount(slice.value(), place.value().index, geometry_.refcount_order);
}

Status Refcounts::set(u64 cluster, u64 value)
{
    if (auto block = add_block(cluster / geometry_.refblock_entries()); !block) {
        return block;
    }
    auto place = place_of(cluster);
    if (!place) {
        return std::move(place).error();
    }
    auto slice = cache_.get_for_write(place.value().slice);
    if (!slice) {
        return std::move(slice).error();
    }
    store_refcount(slice.value(), place.value().index, geometry_.refcount_order, value);
    if (value == 0) {
        hint_ = std::min(hint_, cluster);
    }
    return base::ok();
}

Status Refcounts::each(const ClusterRun& run,
                       const std::function<Status(u64 cluster, u64 count)>& look)
{
    for (u64 c = run.first; c < run.first + run.count;) {
        auto place = place_of(c);
        if (!place) {
            return std::move(place).error();
        }
        const u64 end =
            std::min(run.first + run.count, (c / counts_per_slice() + 1) * counts_per_slice());
        std::span<const u8> slice;
        if (place.value().slice != 0) {
            auto read = cache_.get(place.value().slice);
            if (!read) {
                return std::move(read).error();
            }
            slice = read.value();
        }
        for (u64 index = place.value().index; c < end; ++c, ++index) {
            const u64 count =
                slice.empty() ? 0 : load_refcount(slice, index, geometry_.refcount_order);
            if (auto done = look(c, count); !done) {
                return done;
            }
        }
    }
    return base::ok();
}

Status Refcounts::change(const ClusterRun& run, bool up)
{
    if (!up && run.count != 0) {
        file_.announce(DebugEvent::cluster_free);
    }
    for (u64 c = run.first; c < run.first + run.count;) {
        const auto uncounted = [&c] {
            return fail(Errc::corrupt,
                        fmt::format("cluster {} is in use, but its refcount is 0", c));
        };
        if (up) {
            if (auto block = add_block(c / geometry_.refblock_entries()); !block) {
                return block;
            }
        }
        auto place = place_of(c);
        if (!place) {
            return std::move(place).error();
        }
        if (place.value().slice == 0) {
            return uncounted();
        }
        auto slice = cache_.get_for_write(place.value().slice);
        if (!slice) {
            return std::move(slice).error();
        }
        const u64 end =
            std::min(run.first + run.count, (c / counts_per_slice() + 1) * counts_per_slice());
        for (u64 index = place.value().index; c < end; ++c, ++index) {
            const u64 old = load_refcount(slice.value(), index, geometry_.refcount_order);
            if (up && old == geometry_.refcount_max()) {
                return fail(Errc::unsupported, "the refcount width of the image is too small for "
                                               "one more reference");
            }
            if (!up && old == 0) {
                return uncounted();
            }
            store_refcount(slice.value(), index, geometry_.refcount_order, up ? old + 1 : old - 1);
            if (!up && old == 1) {
                hint_ = std::min(hint_, c);
            }
        }
    }
    return base::ok();
}

Status Refcounts::increase(const ClusterRun& run)
{
    return change(run, true);
}

Status Refcounts::decrease(const ClusterRun& run)
{
    return change(run, false);
}

Result<bool> Refcounts::is_free(u64 cluster)
{
    auto count = get(cluster);
    if (!count) {
        return std::move(count).error();
    }
    return count.value() == 0;
}

/// The first free cluster from `cluster` on, or the first that another slice counts.
Result<u64> Refcounts::skip_used(u64 cluster)
{
    auto place = place_of(cluster);
    if (!place) {
        return std::move(place).error();
    }
    if (place.value().slice == 0) {
        return cluster;
    }
    auto slice = cache_.get(place.value().slice);
    if (!slice) {
        return std::move(slice).error();
    }
    u64 index = place.value().index;
    while (index < counts_per_slice() &&
           load_refcount(slice.value(), index, geometry_.refcount_order) != 0) {
        ++index;
    }
    return cluster + (index - place.value().index);
}

Status Refcounts::check_takeable(u64 cluster) const
{
    if (cluster > entry::offset_mask >> geometry_.cluster_bits) {
        return fail(Errc::io, "File too large");
    }
    if (is_metadata_(cluster)) {
        return fail(Errc::corrupt,
                    fmt::format("cluster {} holds metadata, but its refcount is 0", cluster));
    }
    return base::ok();
}

Status Refcounts::add_block(u64 table_index)
{
    if (table_index < table_.size() && table_[table_index] != 0) {
        return base::ok();
    }
    if (table_index >= kMaxReftableBytes / sizeof(u64)) {
        return fail(Errc::io, "the image would need too large a refcount table");
    }
    // The block lives in a free cluster that is counted already, or else in one that it counts.
    const u64 entries = geometry_.refblock_entries();
    u64 cluster = hint_;
    while (cluster / entries != table_index) {
        const u64 other = cluster / entries;
        if (other >= table_.size() || table_[other] == 0) {
            cluster = other < table_index ? (other + 1) * entries : table_index * entries;
            continue;
        }
        auto free = is_free(cluster);
        if (!free) {
            return std::move(free).error();
        }
        if (free.value()) {
            break;
        }
        ++cluster;
    }
    if (auto good = check_takeable(cluster); !good) {
        return good;
    }
    const u64 at = cluster << geometry_.cluster_bits;
    file_.announce(DebugEvent::refblock_alloc);
    // Zeroes go to the file at once; the table refers to them only after the next barrier.
    if (auto zeroed = file_.zero(FileOffset{at}, geometry_.cluster_size()); !zeroed) {
        return zeroed;
    }
    cache_.drop(at, geometry_.cluster_size());
    table_.set(table_index, at);
    table_dirty_ = true;
    ++last_sane_;
    return set(cluster, 1);
}

Result<ClusterRun> Refcounts::allocate(u64 wanted)
{
    file_.announce(DebugEvent::cluster_alloc);
    while (true) {
        auto next = skip_used(hint_);
        if (!next) {
            return std::move(next).error();
        }
        if (next.value() != hint_) {
            hint_ = next.value();
            if (hint_ > last_sane_) {
                return fail(Errc::corrupt, "clusters far past the end of the file are in use");
            }
            continue;
        }
        const u64 block = hint_ / geometry_.refblock_entries();
        if (block >= table_.size() || table_[block] == 0) {
            if (auto added = add_block(block); !added) {
                return std::move(added).error();
            }
            continue; // the block may have taken this very cluster
        }
        break;
    }
    ClusterRun run{hint_, 0};
    const u64 block_end = (hint_ / geometry_.refblock_entries() + 1) * geometry_.refblock_entries();
    while (run.count < wanted && run.first + run.count < block_end) {
        const u64 cluster = run.first + run.count;
        auto free = is_free(cluster);
        if (!free) {
            return std::move(free).error();
        }
        if (!free.value()) {
            break;
        }
        if (auto good = check_takeable(cluster); !good) {
            return std::move(good).error();
        }
        if (auto taken = set(cluster, 1); !taken) {
            return std::move(taken).error();
        }
        ++run.count;
    }
    hint_ = run.first + run.count;
    last_sane_ += run.count;
    return run;
}

Result<u64> Refcounts::allocate_exactly(u64 count)
{
    file_.announce(DebugEvent::cluster_alloc);
    u64 first = hint_;
    u64 found = 0;
    while (found < count) {
        auto next = skip_used(first + found);
        if (!next) {
            return std::move(next).error();
        }
        if (next.value() != first + found) {
            first = next.value();
            found = 0;
            if (first > last_sane_) {
                return fail(Errc::corrupt, "clusters far past the end of the file are in use");
            }
            continue;
        }
        const u64 block = (first + found) / geometry_.refblock_entries();
        if (block >= table_.size() || table_[block] == 0) {
            if (auto added = add_block(block); !added) {
                return std::move(added).error();
            }
            found = 0; // the block may have taken a cluster of the run
            continue;
        }
        ++found;
    }
    for (u64 c = first; c < first + count; ++c) {
        if (auto good = check_takeable(c); !good) {
            return std::move(good).error();
        }
        if (auto taken = set(c, 1); !taken) {
            return std::move(taken).error();
        }
    }
    last_sane_ += count;
    return first;
}

Status Refcounts::make_room_for_table()
{
    if (table_.size() <= table_capacity()) {
        return base::ok();
    }
    file_.announce(DebugEvent::reftable_grow);
    old_table_ = {table_offset_ >> geometry_.cluster_bits, table_clusters_};
    while (table_.size() > table_capacity()) {
        // Half as much again, so that a growing file does not move its table often.
        const u64 entries =
            std::min<u64>(table_.size() + table_.size() / 2 + 1, kMaxReftableBytes / sizeof(u64));
        const u64 clusters = geometry_.clusters(entries * sizeof(u64));
        auto first = allocate_exactly(clusters);
        if (!first) {
            return std::move(first).error();
        }
        table_clusters_ = clusters;
        table_offset_ = first.value() << geometry_.cluster_bits;
        table_moved_ = true;
    }
    return base::ok();
}

Status Refcounts::write_blocks()
{
    return cache_.write_dirty();
}

Status Refcounts::write_table()
{
    if (!table_dirty_) {
        return base::ok();
    }
    std::vector<u8> bytes(table_clusters_ << geometry_.cluster_bits);
    for (std::size_t i = 0; i < table_.size(); ++i) {
        store_be<u64>(bytes, i * sizeof(u64), table_[i]);
    }
    file_.announce(DebugEvent::reftable_update);
    if (auto done = file_.write(FileOffset{table_offset_}, bytes); !done) {
        return done;
    }
    table_dirty_ = false;
    if (!table_moved_) {
        return base::ok();
    }
    if (auto done = file_.flush(); !done) {
        return done;
    }
    std::array<u8, 12> field{};
    store_be<u64>(field, 0, table_offset_);
    store_be<u32>(field, 8, static_cast<u32>(table_clusters_));
    if (auto done = file_.write(FileOffset{kFieldReftable}, field); !done) {
        return done;
    }
    if (auto done = file_.flush(); !done) {
        return done;
    }
    table_moved_ = false;
    return decrease(std::exchange(old_table_, ClusterRun{0, 0}));
}

Result<bool> Refcounts::counts_nothing(u64 table_index)
{
    const u64 own = table_[table_index] >> geometry_.cluster_bits;
    const u64 first = table_index * geometry_.refblock_entries();
    for (u64 cluster = first; cluster < first + geometry_.refblock_entries(); ++cluster) {
        auto count = get(cluster);
        if (!count) {
            return std::move(count).error();
        }
        if (count.value() != 0 && cluster != own) {
            return false;
        }
    }
    return true;
}

Status Refcounts::drop_empty_blocks()
{
    std::vector<u64> dropped;
    for (u64 i = table_.size(); i-- > 0;) {
        if (table_[i] == 0) {
            continue;
        }
        auto nothing = counts_nothing(i);
        if (!nothing) {
            return std::move(nothing).error();
        }
        if (nothing.value()) {
            dropped.push_back(table_[i]);
            table_.set(i, 0);
            table_dirty_ = true;
        }
    }
    if (dropped.empty()) {
        return base::ok();
    }
    for (const auto step : {&Refcounts::write_blocks, &Refcounts::write_table}) {
        if (auto done = (this->*step)(); !done) {
            return done;
        }
        if (auto done = file_.flush(); !done) {
            return done;
        }
    }
    for (const u64 at : dropped) {
        cache_.drop(at, geometry_.cluster_size());
        auto place = place_of(at >> geometry_.cluster_bits);
        if (!place) {
            return std::move(place).error();
        }
        hint_ = std::min(hint_, at >> geometry_.cluster_bits);
        if (place.value().slice == 0) {
            continue; // it counted itself
        }
        if (auto done = decrease({at >> geometry_.cluster_bits, 1}); !done) {
            return done;
        }
    }
    return cache_.write_dirty();
}

Status Refcounts::move_table_down()
{
    const ClusterRun old{table_offset_ >> geometry_.cluster_bits, table_clusters_};
    const u64 needed = geometry_.clusters(table_.size() * sizeof(u64));
    auto first = allocate_exactly(needed);
    if (!first) {
        return std::move(first).error();
    }
    if (needed >= old.count && first.value() > old.first) {
        return decrease({first.value(), needed});
    }
    old_table_ = old;
    table_offset_ = first.value() << geometry_.cluster_bits;
    table_clusters_ = needed;
    table_moved_ = true;
    table_dirty_ = true;
    if (auto done = write_blocks(); !done) {
        return done;
    }
    if (auto done = file_.flush(); !done) {
        return done;
    }
    if (auto done = write_table(); !done) {
        return done;
    }
    return write_blocks();
}

Status Refcounts::switch_to(const Header& header)
{
    geometry_ = header.geometry();
    cache_.clear();
    table_offset_ = header.reftable_offset;
    table_clusters_ = header.reftable_clusters;
    hint_ = 0;
    return load();
}

} // namespace img::qcow2
