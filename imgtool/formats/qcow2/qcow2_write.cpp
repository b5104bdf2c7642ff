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

bool Qcow2Image::is_metadata(u64 cluster) const
{
    const u64 at = cluster << geometry_.cluster_bits;
    const auto within = [&](u64 offset, u64 bytes) {
        const u64 end = offset + (geometry_.clusters(bytes) << geometry_.cluster_bits);
        return at >= offset && at < end;
    };
    return at == 0 || within(header_.l1_offset, l1_.size() * sizeof(u64)) ||
           within(refcounts_.table_offset(), refcounts_.table_bytes()) ||
           (snapshots_.bytes != 0 && within(header_.snapshots_offset, snapshots_.bytes)) ||
           (header_.luks_place().length != 0 &&
            within(header_.luks_place().at, header_.luks_place().length)) ||
           l1_.leads_to(at) || refcounts_.table().leads_to(at);
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

Status Qcow2Image::store_entry(const L2Place& at, u64 ahead, const L2Entry& l2_entry)
{
    auto slice = l2_cache_.get_for_write(at.slice);
    if (!slice) {
        return std::move(slice).error();
    }
    rules_.store(slice.value(), at.index + ahead, l2_entry);
    return base::ok();
}

void Qcow2Image::free_later(const L2Entry& l2_entry)
{
    if (const ClusterRun run = clusters_of(l2_entry); run.count != 0) {
        to_free_.push_back(run);
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
    file_->announce(DebugEvent::l2_alloc_write);
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
    l1_.set(l1_index, at | entry::copied);
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
    if (auto noted = note_write(from.bytes, length); !noted) {
        return std::move(noted).error();
    }
    auto found = find_place(from.bytes, length);
    if (!found) {
        return mark_corrupt(std::move(found).error()).error();
    }
    wrote_data_ = true;
    if (header_.has_data_file()) { // which is to end with the disk
        Placement& at = found.value();
        at.block_length = std::min(at.block_length, header_.size - at.block.bytes);
    }
    return found;
}

Result<Placement> Qcow2Image::find_place(u64 guest, u64 length)
{
    auto at = l2_place_for_write(guest);
    if (!at) {
        return std::move(at).error();
    }
    auto first = load_good_entry(at.value(), 0, guest);
    if (!first) {
        return std::move(first).error();
    }
    return rules_.owns_cluster(first.value()) ? place_in_own(at.value(), guest, length)
                                              : place_in_new(at.value(), guest, length);
}

/// The cluster is there and ours. What was written before is overwritten; what was not becomes
/// part of the image with the rest of its subclusters, by publish().
Result<Placement> Qcow2Image::place_in_own(const L2Place& at, u64 guest, u64 length)
{
    const u64 within = guest & geometry_.within();
    const u64 part = geometry_.subcluster_size();
    auto first = load_entry(at, 0);
    if (!first) {
        return std::move(first).error();
    }
    const bool written =
        rules_.kind(first.value(), static_cast<u32>(within / part)) == ClusterKind::data;
    const u64 before = guest % part; // subclusters are powers of two
    const u64 limit = written ? length : std::min(length, kMaxFreshBytes);
    auto run = run_length(at, guest, limit + part, true); // so that the last one is whole
    if (!run) {
        return std::move(run).error();
    }
    const u64 host = rules_.cluster_at(first.value()) + within;
    length = std::min(limit, run.value());
    const ClusterRun clusters{host >> geometry_.cluster_bits, geometry_.clusters(within + length)};
    if (auto good = check_own_clusters(clusters, guest); !good) {
        return std::move(good).error();
    }
    return Placement{.from = GuestOffset{guest},
                     .at = FileOffset{host},
                     .length = length,
                     .fresh = !written,
                     .block = GuestOffset{guest - before},
                     .block_length = (before + length + part - 1) / part * part,
                     .in = data_file_.get(),
                     .sealing = sealing_at(host, guest)};
}

/// Nothing is there yet, or what is there is compressed or shared with a snapshot.
Result<Placement> Qcow2Image::place_in_new(const L2Place& at, u64 guest, u64 length)
{
    const u64 within = guest & geometry_.within();
    const u64 part = geometry_.subcluster_size();
    const u64 most = std::max<u64>(1, kMaxFreshBytes >> geometry_.cluster_bits);
    auto wanted = count_not_own(at, guest, std::min(most, geometry_.clusters(within + length)));
    if (!wanted) {
        return std::move(wanted).error();
    }
    // In a data file every cluster has its place, and none is counted.
    ClusterRun run{guest >> geometry_.cluster_bits, wanted.value()};
    if (!header_.has_data_file()) {
        auto taken = refcounts_.allocate(wanted.value());
        if (!taken) {
            return std::move(taken).error();
        }
        run = taken.value();
    }
    const u64 bytes = run.count << geometry_.cluster_bits;
    length = std::min(length, bytes - within);
    auto first = load_entry(at, 0);
    auto last = load_entry(at, run.count - 1);
    if (!first || !last) {
        return fail(Errc::io, "Could not read L2 table");
    }
    // What the clusters hold already must come along, and nothing else need.
    const u64 last_at = bytes - geometry_.cluster_size();
    const u64 begin = std::min(within / part, u64{rules_.held(first.value()).first}) * part;
    const u64 end = std::max((within + length + part - 1) / part * part,
                             last_at + rules_.held(last.value()).end * part);
    const u64 host = (run.first << geometry_.cluster_bits) + within;
    return Placement{.from = GuestOffset{guest},
                     .at = FileOffset{host},
                     .length = length,
                     .fresh = true,
                     .block = GuestOffset{guest - within + begin},
                     .block_length = end - begin,
                     .in = data_file_.get(),
                     .sealing = sealing_at(host, guest)};
}

/// How many clusters, of at most `wanted`, all need to be made anew.
Result<u64> Qcow2Image::count_not_own(const L2Place& at, u64 guest, u64 wanted)
{
    wanted = std::min(wanted, at.left);
    u64 count = 1;
    for (; count < wanted; ++count) {
        auto next = load_entry(at, count);
        if (!next) {
            return std::move(next).error();
        }
        if (rules_.owns_cluster(next.value()) ||
            !rules_.check(next.value(),
                          (guest & ~geometry_.within()) + (count << geometry_.cluster_bits))) {
            break;
        }
    }
    return count;
}

/// A hostile table may send the guest's writes into the image's own header or tables, or far past
/// the end of the file.
Status Qcow2Image::check_own_clusters(const ClusterRun& run, u64 guest)
{
    if (header_.has_data_file()) {
        return base::ok(); // no metadata is there, and it may end before the disk does
    }
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
    const u64 begin = placement.block.bytes;
    const u64 end = begin + placement.block_length;
    const u64 part = geometry_.subcluster_size();
    auto at = l2_place(begin);
    if (!at) {
        return std::move(at).error();
    }
    u64 ahead = 0;
    for (u64 guest = begin & ~geometry_.within(); guest < end; guest += geometry_.cluster_size()) {
        auto old = load_entry(at.value(), ahead);
        if (!old) {
            return std::move(old).error();
        }
        const u64 host = placement.at.bytes + guest - placement.from.bytes;
        L2Entry now{.word = host | entry::copied, .bitmap = 0};
        if (geometry_.extended_l2) {
            const bool packed = (old.value().word & entry::compressed) != 0;
            const u32 first = static_cast<u32>((std::max(begin, guest) - guest) / part);
            const u64 last = std::min(end, guest + geometry_.cluster_size()) - guest;
            const u32 count = static_cast<u32>((last + part - 1) / part) - first;
            now.bitmap = ((packed ? 0 : old.value().bitmap) | subcluster_mask(first, count)) &
                         ~zero_mask(first, count);
        }
        if (!rules_.has_cluster(old.value()) || rules_.cluster_at(old.value()) != host) {
            free_later(old.value());
        }
        if (auto stored = store_entry(at.value(), ahead, now); !stored) {
            return stored;
        }
        ++ahead;
    }
    return base::ok();
}

void Qcow2Image::abandon(const Placement& placement)
{
    const u64 begin = placement.block.bytes & ~geometry_.within();
    const u64 host = placement.at.bytes + begin - placement.from.bytes;
    auto at = l2_place(begin);
    auto old = at ? load_entry(at.value(), 0) : Result<L2Entry>{std::move(at).error()};
    const bool reused =
        old && rules_.has_cluster(old.value()) && rules_.cluster_at(old.value()) == host;
    if (placement.fresh && !reused && !header_.has_data_file()) {
        const u64 end = placement.block.bytes + placement.block_length;
        (void)refcounts_.decrease(
            {host >> geometry_.cluster_bits, geometry_.clusters(end - begin)});
    }
}

Status Qcow2Image::write_l1()
{
    std::ranges::sort(dirty_l1_);
    for (const u64 index : dirty_l1_) {
        std::array<u8, 8> field{};
        store_be<u64>(field, 0, l1_[index]);
        const FileOffset at{header_.l1_offset + index * sizeof(u64)};
        file_->announce(DebugEvent::l1_update);
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
    if (data_file_) {
        if (auto done = data_file_->flush(); !done) {
            return done;
        }
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
