// The writing half of Qcow2Image.
//
// What makes a kill or power cut harmless is the order in which flush() lets things reach the disk:
// data, counts and empty tables first, then the table of count blocks, then the entries of L2 and
// L1 tables, and only then are clusters given back that nothing refers to any more. Cut anywhere,
// every reference leads to a counted, written cluster; the worst that is left behind is a leak.
#include "base/endian.hpp"
#include "imgtool/formats/qcow2/qcow2_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;
using base::store_be;

constexpr u64 kMaxFreshBytes = u64{2} << 20; // placed at once
constexpr std::size_t kMaxDeferredFrees = 4096;

} // namespace

bool Qcow2Image::needs_new_cluster(u64 l2_entry) const
{
    return kind_of(l2_entry) != ClusterKind::data || (l2_entry & entry::copied) == 0;
}

bool Qcow2Image::is_metadata(u64 cluster) const
{
    const u64 at = cluster << geometry_.cluster_bits;
    const auto within = [&](u64 offset, u64 bytes) {
        const u64 end = offset + (geometry_.clusters(bytes) << geometry_.cluster_bits);
        return at >= offset && at < end;
    };
    const auto is_at = [&](u64 table_entry) { return (table_entry & entry::offset_mask) == at; };
    return at == 0 || within(header_.l1_offset, l1_.size() * sizeof(u64)) ||
           within(refcounts_.table_offset(), refcounts_.table_bytes()) ||
           (snapshots_.bytes != 0 && within(header_.snapshots_offset, snapshots_.bytes)) ||
           std::ranges::any_of(l1_, is_at) || std::ranges::any_of(refcounts_.table(), is_at);
}

Status Qcow2Image::write_incompatible_features()
{
    std::array<u8, 8> field{};
    store_be<u64>(field, 0, header_.incompatible_features);
    if (auto done = file_->write(FileOffset{kFieldIncompatible}, field); !done) {
        return done;
    }
    return file_->flush();
}

Status Qcow2Image::mark_corrupt(base::Error error)
{
    if (error.code == Errc::corrupt && header_.version >= 3 && !file_->read_only() &&
        (header_.incompatible_features & incompatible::corrupt) == 0) {
        header_.incompatible_features |= incompatible::corrupt;
        (void)write_incompatible_features(); // the first error is the one to tell
    }
    return error;
}

Status Qcow2Image::store_entry(const L2Place& at, u64 ahead, u64 l2_entry)
{
    auto slice = l2_cache_.get_for_write(at.slice);
    if (!slice) {
        return std::move(slice).error();
    }
    store_be<u64>(slice.value(), (at.index + ahead) * sizeof(u64), l2_entry);
    return base::ok();
}

void Qcow2Image::free_later(u64 l2_entry)
{
    if (kind_of(l2_entry) == ClusterKind::compressed) {
        const PackedRange range = packed_range(geometry_, l2_entry);
        const u64 first = range.at >> geometry_.cluster_bits;
        const u64 last = (range.at + range.length - 1) >> geometry_.cluster_bits;
        to_free_.push_back({first, last - first + 1});
    } else if (const u64 host = l2_entry & entry::offset_mask; host != 0) {
        to_free_.push_back({host >> geometry_.cluster_bits, 1});
    }
}

/// Makes a table for an L1 entry that has none, or one of its own where it is shared with a
/// snapshot.
Status Qcow2Image::make_l2_table(u64 l1_index)
{
    auto run = refcounts_.allocate(1);
    if (!run) {
        return std::move(run).error();
    }
    const u64 at = run.value().first << geometry_.cluster_bits;
    const u64 shared = l1_[l1_index] & entry::offset_mask;
    if (shared != 0) {
        std::vector<u8> table(geometry_.cluster_size());
        if (auto read = read_padded(*file_, FileOffset{shared}, table); !read) {
            return read;
        }
        if (auto written = file_->write(FileOffset{at}, table); !written) {
            return written;
        }
        to_free_.push_back({shared >> geometry_.cluster_bits, 1});
    } else if (auto zeroed = file_->zero(FileOffset{at}, geometry_.cluster_size()); !zeroed) {
        return zeroed;
    }
    l2_cache_.drop(at, geometry_.cluster_size());
    l1_[l1_index] = at | entry::copied;
    dirty_l1_.push_back(l1_index);
    return base::ok();
}

Result<Qcow2Image::L2Place> Qcow2Image::l2_place_for_write(u64 guest)
{
    const u64 l1_index = guest / geometry_.l2_reach();
    if (auto good = check_l1_entry(l1_[l1_index], l1_index); !good) {
        return std::move(good).error();
    }
    if ((l1_[l1_index] & entry::offset_mask) == 0 || (l1_[l1_index] & entry::copied) == 0) {
        if (auto made = make_l2_table(l1_index); !made) {
            return std::move(made).error();
        }
    }
    return l2_place(guest);
}

Status Qcow2Image::relieve_caches()
{
    if (l2_cache_.crowded() || refcounts_.crowded() || to_free_.size() > kMaxDeferredFrees) {
        return flush();
    }
    return base::ok();
}

Result<Placement> Qcow2Image::place(GuestOffset from, u64 length)
{
    if (from.bytes >= header_.size || length == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    length = std::min(length, header_.size - from.bytes);
    if (auto relieved = relieve_caches(); !relieved) {
        return std::move(relieved).error();
    }
    auto found = find_place(from.bytes, length);
    if (!found) {
        return mark_corrupt(std::move(found).error()).error();
    }
    wrote_data_ = true;
    return found;
}

Result<Placement> Qcow2Image::find_place(u64 guest, u64 length)
{
    auto at = l2_place_for_write(guest);
    if (!at) {
        return std::move(at).error();
    }
    const u64 within = guest & geometry_.within();
    auto first = load_entry(at.value(), 0);
    if (!first) {
        return std::move(first).error();
    }
    if (auto good = check_l2_entry(first.value(), guest); !good) {
        return std::move(good).error();
    }
    const bool own_data = !needs_new_cluster(first.value());
    const bool own_zero = kind_of(first.value()) == ClusterKind::zero_reserved &&
                          (first.value() & entry::copied) != 0;
    u64 wanted = std::min(at.value().left, geometry_.clusters(within + length));
    if (!own_data) {
        wanted = std::min(wanted, std::max<u64>(1, kMaxFreshBytes >> geometry_.cluster_bits));
    }
    auto count = count_alike(at.value(), first.value(), wanted);
    if (!count) {
        return std::move(count).error();
    }
    ClusterRun run{(first.value() & entry::offset_mask) >> geometry_.cluster_bits, count.value()};
    if (own_data || own_zero) {
        if (auto good = check_own_clusters(run, guest); !good) {
            return std::move(good).error();
        }
    } else {
        auto taken = refcounts_.allocate(count.value());
        if (!taken) {
            return std::move(taken).error();
        }
        run = taken.value();
    }
    const u64 bytes = run.count << geometry_.cluster_bits;
    return Placement{.from = GuestOffset{guest},
                     .at = FileOffset{(run.first << geometry_.cluster_bits) + within},
                     .length = std::min(length, bytes - within),
                     .fresh = !own_data,
                     .block = GuestOffset{guest - within},
                     .block_length = bytes};
}

/// How many clusters, of at most `wanted`, can be treated together with the first: they are ours
/// and side by side in the file, or they all need new clusters.
Result<u64> Qcow2Image::count_alike(const L2Place& at, u64 first, u64 wanted)
{
    const auto is_own = [this](u64 e) {
        const ClusterKind kind = kind_of(e);
        return (e & entry::copied) != 0 &&
               (kind == ClusterKind::data || kind == ClusterKind::zero_reserved);
    };
    u64 count = 1;
    while (count < wanted) {
        auto next = load_entry(at, count);
        if (!next) {
            return std::move(next).error();
        }
        const u64 e = next.value();
        const bool alike =
            is_own(first) ? is_own(e) && kind_of(e) == kind_of(first) &&
                                (e & entry::offset_mask) ==
                                    (first & entry::offset_mask) + (count << geometry_.cluster_bits)
                          : !is_own(e);
        if (!alike) {
            break;
        }
        ++count;
    }
    return count;
}

/// A hostile table may send the guest's writes into the image's own header or tables, or far past
/// the end of the file.
Status Qcow2Image::check_own_clusters(const ClusterRun& run, u64 guest)
{
    for (u64 cluster = run.first; cluster < run.first + run.count; ++cluster) {
        if (is_metadata(cluster)) {
            return fail(Errc::corrupt,
                        fmt::format("qcow2: Preventing invalid write on metadata (guest offset "
                                    "{:#x} is mapped to cluster {})",
                                    guest, cluster));
        }
    }
    if (run.first << geometry_.cluster_bits >= file_->size()) {
        return fail(Errc::corrupt, fmt::format("qcow2: Data cluster {} lies past the end of the "
                                               "file (guest offset {:#x})",
                                               run.first, guest));
    }
    return base::ok();
}

Status Qcow2Image::publish(const Placement& placement)
{
    if (!placement.fresh) {
        return base::ok();
    }
    auto at = l2_place(placement.block.bytes);
    if (!at) {
        return std::move(at).error();
    }
    const u64 host = placement.at.bytes - (placement.from.bytes - placement.block.bytes);
    const u64 count = placement.block_length >> geometry_.cluster_bits;
    for (u64 i = 0; i < count; ++i) {
        auto old = load_entry(at.value(), i);
        if (!old) {
            return std::move(old).error();
        }
        const u64 now = host + (i << geometry_.cluster_bits);
        if (kind_of(old.value()) == ClusterKind::compressed ||
            (old.value() & entry::offset_mask) != now) {
            free_later(old.value());
        }
        if (auto stored = store_entry(at.value(), i, now | entry::copied); !stored) {
            return stored;
        }
    }
    return base::ok();
}

void Qcow2Image::abandon(const Placement& placement)
{
    const u64 host = placement.at.bytes - (placement.from.bytes - placement.block.bytes);
    auto at = l2_place(placement.block.bytes);
    auto old = at ? load_entry(at.value(), 0) : Result<u64>{std::move(at).error()};
    const bool reused = old && kind_of(old.value()) == ClusterKind::zero_reserved &&
                        (old.value() & entry::offset_mask) == host;
    if (placement.fresh && !reused) {
        (void)refcounts_.decrease(
            {host >> geometry_.cluster_bits, placement.block_length >> geometry_.cluster_bits});
    }
}

/// The entry that makes a cluster read as zero, or nothing where the version has none.
std::optional<u64> Qcow2Image::zero_entry(u64 old) const
{
    const bool has_backing = own_zeroes_ || !header_.backing_name.empty();
    switch (kind_of(old)) {
    case ClusterKind::zero_plain:
    case ClusterKind::zero_reserved:
        return old;
    case ClusterKind::data:
        if (header_.version >= 3 && (old & entry::copied) != 0) {
            return old | entry::zero; // keeps its cluster for the next write
        }
        break;
    case ClusterKind::unallocated:
    case ClusterKind::compressed:
        break;
    }
    if (!has_backing) {
        return 0;
    }
    return header_.version >= 3 ? std::optional<u64>{entry::zero} : std::nullopt;
}

Result<u64> Qcow2Image::place_own_zeroes(GuestOffset from, u64 length)
{
    own_zeroes_ = true;
    auto placed = place_zeroes(from, length);
    own_zeroes_ = false;
    return placed;
}

Result<u64> Qcow2Image::place_zeroes(GuestOffset from, u64 length)
{
    if (from.bytes >= header_.size || (from.bytes & geometry_.within()) != 0) {
        return u64{0};
    }
    length = std::min(length, header_.size - from.bytes);
    const bool to_end = from.bytes + length == header_.size;
    if (auto relieved = relieve_caches(); !relieved) {
        return std::move(relieved).error();
    }
    auto there = l2_place(from.bytes);
    if (!there) {
        return mark_corrupt(std::move(there).error()).error();
    }
    const u64 whole = to_end ? geometry_.clusters(length) : length >> geometry_.cluster_bits;
    const u64 count = std::min(there.value().left, whole);
    const u64 bytes = std::min(length, count << geometry_.cluster_bits);
    if (count == 0 || (there.value().slice == 0 && header_.backing_name.empty() && !own_zeroes_)) {
        return bytes;
    }
    if (header_.version < 3 && (own_zeroes_ || !header_.backing_name.empty())) {
        return u64{0};
    }
    auto at = l2_place_for_write(from.bytes);
    if (!at) {
        return mark_corrupt(std::move(at).error()).error();
    }
    wrote_data_ = true;
    return zero_entries(at.value(), from.bytes, count, length);
}

Result<u64> Qcow2Image::zero_entries(const L2Place& at, u64 guest, u64 count, u64 length)
{
    count = std::min(count, at.left); // a new table may be cut into other slices
    for (u64 i = 0; i < count; ++i) {
        auto old = load_entry(at, i);
        if (!old) {
            return std::move(old).error();
        }
        if (auto good = check_l2_entry(old.value(), guest + (i << geometry_.cluster_bits)); !good) {
            return mark_corrupt(std::move(good).error()).error();
        }
        const auto now = zero_entry(old.value());
        if (!now) {
            return std::min(length, i << geometry_.cluster_bits);
        }
        if (*now == old.value()) {
            continue;
        }
        if (auto stored = store_entry(at, i, *now); !stored) {
            return std::move(stored).error();
        }
        if ((*now & entry::offset_mask) == 0) {
            free_later(old.value());
        }
    }
    return std::min(length, count << geometry_.cluster_bits);
}

/// Takes room for packed bytes: behind the last ones, so that they share clusters.
Result<u64> Qcow2Image::place_packed(u64 length)
{
    const u64 left =
        packed_end_ == 0 ? 0 : geometry_.cluster_size() - (packed_end_ & geometry_.within());
    const u64 current = packed_end_ >> geometry_.cluster_bits;
    bool shareable = left != 0;
    if (shareable) {
        auto count = refcounts_.get(current);
        if (!count) {
            return std::move(count).error();
        }
        shareable = count.value() < geometry_.refcount_max();
    }
    u64 at = packed_end_;
    if (!shareable || length > left) {
        auto run = refcounts_.allocate(1);
        if (!run) {
            return std::move(run).error();
        }
        shareable = shareable && run.value().first == current + 1;
        if (!shareable) {
            at = run.value().first << geometry_.cluster_bits;
        }
    }
    if (shareable) {
        if (auto shared = refcounts_.increase({current, 1}); !shared) {
            return std::move(shared).error();
        }
    }
    packed_end_ = ((at + length) & geometry_.within()) == 0 ? 0 : at + length;
    return at;
}

Status Qcow2Image::write_packed(GuestOffset block, std::span<const u8> packed)
{
    if (block.bytes >= header_.size || (block.bytes & geometry_.within()) != 0 || packed.empty() ||
        packed.size() >= geometry_.cluster_size()) {
        return fail(Errc::invalid_argument, "compressed writes are of whole clusters");
    }
    if (auto relieved = relieve_caches(); !relieved) {
        return relieved;
    }
    auto place = l2_place_for_write(block.bytes);
    if (!place) {
        return mark_corrupt(std::move(place).error());
    }
    auto at = place_packed(packed.size());
    if (!at) {
        return mark_corrupt(std::move(at).error());
    }
    wrote_data_ = true;
    wrote_packed_ = true;
    if (auto written = file_->write(FileOffset{at.value()}, packed); !written) {
        return written;
    }
    auto old = load_entry(place.value(), 0);
    if (!old) {
        return std::move(old).error();
    }
    free_later(old.value());
    return store_entry(place.value(), 0, packed_entry(geometry_, {at.value(), packed.size()}));
}

Status Qcow2Image::write_l1()
{
    std::ranges::sort(dirty_l1_);
    for (const u64 index : dirty_l1_) {
        std::array<u8, 8> field{};
        store_be<u64>(field, 0, l1_[index]);
        const FileOffset at{header_.l1_offset + index * sizeof(u64)};
        if (auto done = file_->write(at, field); !done) {
            return done;
        }
    }
    dirty_l1_.clear();
    return base::ok();
}

/// Data, counts and what finds them; see the head of this file.
Status Qcow2Image::flush_counts()
{
    if (wrote_packed_ && file_->size() % 512 != 0) {
        // Readers take compressed clusters by whole sectors.
        if (auto padded = file_->resize((file_->size() + 511) / 512 * 512); !padded) {
            return padded;
        }
    }
    wrote_packed_ = false;
    if (auto room = refcounts_.make_room_for_table(); !room) {
        return room;
    }
    if (auto done = refcounts_.write_blocks(); !done) {
        return done;
    }
    const bool table_dirty = refcounts_.table_dirty();
    if (table_dirty || l2_cache_.dirty() || !dirty_l1_.empty()) {
        if (auto done = file_->flush(); !done) {
            return done;
        }
    }
    if (auto done = refcounts_.write_table(); !done) {
        return done;
    }
    return table_dirty ? file_->flush() : base::ok();
}

Status Qcow2Image::flush_maps()
{
    if (auto done = l2_cache_.write_dirty(); !done) {
        return done;
    }
    // A new L2 table was written, empty or as a copy, before the last barrier; so the L1 table may
    // refer to it whether or not its newest entries are there.
    if (auto done = write_l1(); !done) {
        return done;
    }
    return file_->flush();
}

Status Qcow2Image::flush()
{
    if (file_->read_only() ||
        (!wrote_data_ && !l2_cache_.dirty() && dirty_l1_.empty() && !refcounts_.blocks_dirty())) {
        return base::ok();
    }
    if (auto done = flush_counts(); !done) {
        return done;
    }
    if (auto done = flush_maps(); !done) {
        return done;
    }
    wrote_data_ = false;
    for (const ClusterRun& run : std::exchange(to_free_, {})) {
        if (auto done = refcounts_.decrease(run); !done) {
            return mark_corrupt(std::move(done).error());
        }
    }
    return refcounts_.write_blocks();
}

} // namespace img::qcow2
