// Internal snapshots: taking, applying, deleting and reading them.
//
// A snapshot is a copy of the L1 table; the L2 tables and clusters below are shared and counted
// once for each L1 table that leads to them. Counts go up, on stable storage, before a second
// table leads anywhere, and down when it no longer does; the header's one write in between is the
// moment at which everything changes. An entry's "copied" flag says that the count is one; it is
// taken away only while counts are too high and given only before they fall, so that at each moment
// the flags fit what really refers to a cluster. A cut leaves counts that are too high.
//
// For a check a flag over such a count is an error. So images of version 3 are marked as dirty
// meanwhile: those are known to have wrong counts, and are repaired when they are next opened for
// writing. Version 2 has no such mark, and there what a cut leaves is an error until `check -r all`
// puts it right. No data is at stake: such a cluster is written in place, as it may be.
#include "base/endian.hpp"
#include "imgtool/formats/qcow2/qcow2_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;
using base::load_be;
using base::store_be;

constexpr std::size_t kMaxPendingBytes = 1 << 20; // of changed tables, before they are written

std::string next_id(const std::vector<Snapshot>& snapshots)
{
    unsigned long highest = 0;
    for (const Snapshot& s : snapshots) {
        highest = std::max(highest, std::strtoul(s.info.id.c_str(), nullptr, 10));
    }
    return std::to_string(highest + 1);
}

std::vector<u8> encode_l1(std::span<const u64> l1)
{
    std::vector<u8> bytes(l1.size() * sizeof(u64));
    for (std::size_t i = 0; i < l1.size(); ++i) {
        store_be<u64>(bytes, i * sizeof(u64), l1[i]);
    }
    return bytes;
}

std::vector<u64> without_flags(std::span<const u64> l1)
{
    std::vector<u64> plain(l1.begin(), l1.end());
    for (u64& l1_entry : plain) {
        l1_entry &= ~entry::copied;
    }
    return plain;
}

constexpr std::string_view kFreeSnapshotFailed = "Failed to free the cluster and L1 table";

} // namespace

Result<std::size_t> Qcow2Image::find_snapshot(const std::string& id_or_name) const
{
    const auto& all = snapshots_.snapshots;
    auto found = std::ranges::find(all, id_or_name, [](const Snapshot& s) { return s.info.id; });
    if (found == all.end()) {
        found = std::ranges::find(all, id_or_name, [](const Snapshot& s) { return s.info.name; });
    }
    if (found == all.end()) {
        return fail(Errc::invalid_argument, "No such file or directory");
    }
    return static_cast<std::size_t>(found - all.begin());
}

Result<std::vector<u64>> Qcow2Image::read_snapshot_l1(const Snapshot& snapshot)
{
    if (auto good = check_snapshot_l1(geometry_, snapshot); !good) {
        return std::move(good).error();
    }
    std::vector<u8> bytes(u64{snapshot.l1_size} * sizeof(u64)); // bounded just now
    if (auto read = read_padded(*file_, FileOffset{snapshot.l1_offset}, bytes); !read) {
        return std::move(read).error().in("Could not read the snapshot's L1 table");
    }
    std::vector<u64> l1(snapshot.l1_size);
    for (std::size_t i = 0; i < l1.size(); ++i) {
        l1[i] = load_be<u64>(bytes, i * sizeof(u64));
    }
    return l1;
}

Status Qcow2Image::write_pending(PendingTables& pending)
{
    for (const auto& [at, bytes] : std::exchange(pending.tables, {})) {
        if (auto done = file_->write(FileOffset{at}, bytes); !done) {
            return done;
        }
    }
    pending.bytes = 0;
    return base::ok();
}

void Qcow2Image::PendingTables::add(u64 at, std::span<const u8> table)
{
    tables.emplace_back(at, std::vector<u8>{table.begin(), table.end()});
    bytes += table.size();
}

/// Whether each cluster of a table can be referred to once more.
Status Qcow2Image::check_shareable(u64 at, std::span<const u8> table)
{
    const auto check = [this](const ClusterRun& run) -> Status {
        const u64 last_block = (run.first + run.count - 1) / geometry_.refblock_entries();
        if (last_block >= kMaxReftableBytes / sizeof(u64)) {
            return fail(Errc::corrupt, "File too large");
        }
        return refcounts_.each(run, [this](u64, u64 count) -> Status {
            if (count == geometry_.refcount_max()) {
                return fail(Errc::unsupported, "Invalid argument");
            }
            if (count == 0) { // what it refers to is not its own
                return fail(Errc::corrupt, "Resource temporarily unavailable");
            }
            return base::ok();
        });
    };
    // The table itself is a cluster like those it names.
    auto good = check({at >> geometry_.cluster_bits, 1});
    return good ? visit_runs(table, check) : std::move(good);
}

/// Counts everything below `l1` once more, and takes the "copied" flags out of its L2 tables.
Status Qcow2Image::share_tables(std::span<const u64> l1)
{
    PendingTables pending;
    const auto settle = [&]() -> Status {
        auto done = settle_counts();
        return done ? write_pending(pending) : std::move(done);
    };
    u64 shared = 0; // L1 entries
    auto done = visit_tables(l1, [&](u64 index, u64 at, std::span<u8> table) -> Status {
        if (auto good = check_shareable(at, table); !good) {
            return good;
        }
        if (auto raised = change_table_counts(at, table, CountChange::up); !raised) {
            return raised;
        }
        shared = index + 1;
        bool changed = false;
        for (u64 i = 0; i < geometry_.l2_entries(); ++i) {
            const L2Entry e = rules_.load(table, i);
            if ((e.word & entry::copied) != 0) {
                rules_.store(table, i, {e.word & ~entry::copied, e.bitmap});
                changed = true;
            }
        }
        if (changed) {
            pending.add(at, table);
        }
        return pending.bytes >= kMaxPendingBytes || refcounts_.crowded() ? settle() : base::ok();
    });
    if (!done) {
        // What was counted is counted back; flags that are gone cost a copy and no more.
        (void)release_tables(l1.first(shared));
        return done;
    }
    return settle();
}

/// Makes `snapshots` the image's, along with what else is new in `header`.
Status Qcow2Image::store_snapshots(std::vector<Snapshot> snapshots, Header header)
{
    const std::vector<u8> bytes = encode_snapshot_table(snapshots);
    if (snapshots.size() > kMaxSnapshots || bytes.size() > kMaxSnapshotTableBytes) {
        return fail(Errc::unsupported, "File too large");
    }
    auto at = write_new(bytes);
    if (!at) {
        return std::move(at).error();
    }
    if (auto done = settle_counts(); !done) {
        return done;
    }
    const ClusterRun old = run_of(header_.snapshots_offset, snapshots_.bytes);
    header.snapshot_count = static_cast<u32>(snapshots.size());
    header.snapshots_offset = at.value();
    if (auto done = write_header(std::move(header)); !done) {
        return done;
    }
    snapshots_ = {std::move(snapshots), bytes.size()};
    return refcounts_.decrease(old);
}

/// Runs a change of counts, on the way of which they are too high under flags that say "one".
Status Qcow2Image::while_dirty(const std::function<Status()>& change)
{
    if (header_.version < 3 || (header_.incompatible_features & incompatible::dirty) != 0) {
        return change();
    }
    header_.incompatible_features |= incompatible::dirty;
    if (auto done = write_incompatible_features(); !done) {
        return done;
    }
    auto done = change();
    if (!done && done.error().code == Errc::io) {
        return done; // nobody knows how far it got: the next opening will see
    }
    if (auto settled = file_->flush(); !settled) {
        return settled;
    }
    header_.incompatible_features &= ~incompatible::dirty;
    auto cleared = write_incompatible_features();
    return done ? std::move(cleared) : std::move(done);
}

Status Qcow2Image::create_snapshot(const std::string& name, const SnapshotTime& now)
{
    if (header_.has_data_file()) {
        return fail(Errc::unsupported, "Operation not supported"); // its clusters are not counted
    }
    if (auto done = flush(); !done) {
        return done;
    }
    if (snapshots_.snapshots.size() >= kMaxSnapshots) {
        return fail(Errc::unsupported, "File too large");
    }
    if (name.size() > 65535) {
        return fail(Errc::invalid_argument, "Invalid argument");
    }
    return while_dirty([&] { return add_snapshot(name, now); });
}

Status Qcow2Image::add_snapshot(const std::string& name, const SnapshotTime& now)
{
    const std::vector<u64> plain = without_flags(l1_.entries());
    const std::vector<u8> l1_bytes = encode_l1(plain);
    auto at = write_new(l1_bytes);
    if (!at) {
        return std::move(at).error();
    }
    l2_cache_.clear();
    if (auto done = share_tables(plain); !done) {
        return done;
    }
    l1_.replace(plain);
    file_->announce(DebugEvent::l1_update);
    if (auto done = file_->write(FileOffset{header_.l1_offset}, l1_bytes); !done) {
        return done;
    }
    Snapshot s{.l1_offset = at.value(), .l1_size = static_cast<u32>(plain.size())};
    s.info.id = next_id(snapshots_.snapshots);
    s.info.name = name;
    s.info.date_s = now.seconds;
    s.info.date_ns = now.nanoseconds;
    s.info.icount = 0;
    s.info.disk_size = header_.size;
    std::vector<Snapshot> all = snapshots_.snapshots;
    all.push_back(std::move(s));
    if (auto done = store_snapshots(std::move(all), header_); !done) {
        return done;
    }
    packed_end_ = 0; // the cluster is shared now, but its end may be used by one of the two only
    return refcounts_.write_blocks();
}

Status Qcow2Image::apply_snapshot(const std::string& id_or_name)
{
    if (header_.has_data_file()) {
        return fail(Errc::unsupported, "Failed to load snapshot: Operation not supported");
    }
    if (auto done = flush(); !done) {
        return done;
    }
    if (bitmaps_ && !bitmaps_->empty()) {
        return fail(Errc::unsupported, "Device has active dirty bitmaps");
    }
    auto index = find_snapshot(id_or_name);
    if (!index) {
        return fail(Errc::invalid_argument, "Failed to load snapshot: No such file or directory");
    }
    const Snapshot& snapshot = snapshots_.snapshots[index.value()];
    auto wanted = read_snapshot_l1(snapshot);
    if (!wanted) {
        return std::move(wanted).error().in("Failed to load snapshot");
    }
    const u64 size = snapshot.info.disk_size;
    if (size > static_cast<u64>(INT64_MAX) - geometry_.cluster_size() ||
        geometry_.l1_entries(size) * sizeof(u64) > kMaxL1Bytes) {
        return fail(Errc::corrupt, "File too large");
    }
    std::vector<u64> l1 = without_flags(wanted.value());
    l1.resize(std::max({l1.size(), l1_.size(), std::size_t{geometry_.l1_entries(size)}}));
    return while_dirty([&] { return switch_tables(std::move(l1), size); });
}

/// Makes the disk what `l1`, of a snapshot, leads to.
Status Qcow2Image::switch_tables(std::vector<u64> l1, u64 size)
{
    l2_cache_.clear();
    if (auto done = share_tables(l1); !done) {
        return done;
    }
    auto at = write_new(encode_l1(l1));
    if (!at) {
        return std::move(at).error();
    }
    if (auto done = settle_counts(); !done) {
        return done;
    }
    Header header = header_;
    header.l1_offset = at.value();
    header.l1_size = static_cast<u32>(l1.size());
    header.size = size;
    const ClusterRun old_table = run_of(header_.l1_offset, l1_.size() * sizeof(u64));
    if (auto done = write_header(std::move(header)); !done) {
        return done;
    }
    const std::vector<u64> old = l1_.replace(std::move(l1));
    packed_end_ = 0;
    if (auto done = release_tables(old); !done) {
        return done;
    }
    if (auto done = refcounts_.decrease(old_table); !done) {
        return mark_corrupt(std::move(done).error());
    }
    return refcounts_.write_blocks();
}

/// Gives the "copied" flag to entries of the active tables that share a cluster with `table`, the
/// table for the same range in a snapshot that goes, and with nothing else.
Status Qcow2Image::own_entries(u64 l1_index, u64 at, std::span<const u8> table,
                               PendingTables& pending)
{
    const u64 active = l1_index < l1_.size() ? l1_[l1_index] & entry::offset_mask : 0;
    if (active == 0) {
        return base::ok();
    }
    const auto alone_then = [this](u64 offset) {
        auto count = refcounts_.get(offset >> geometry_.cluster_bits);
        return count && count.value() == 2;
    };
    std::vector<u8> own(geometry_.cluster_size());
    if (auto read = read_padded(*file_, FileOffset{active}, own); !read) {
        return read;
    }
    bool changed = false;
    for (u64 i = 0; i < geometry_.l2_entries(); ++i) {
        const L2Entry mine = rules_.load(own, i);
        const L2Entry other = rules_.load(table, i);
        const u64 offset = rules_.cluster_at(mine);
        if (!rules_.has_cluster(mine) || !rules_.has_cluster(other) ||
            offset != rules_.cluster_at(other) || !alone_then(offset)) {
            continue;
        }
        rules_.store(own, i, {mine.word | entry::copied, mine.bitmap});
        changed = true;
    }
    if (changed) {
        pending.add(active, own);
    }
    if (active == at && alone_then(at)) {
        l1_.set(l1_index, l1_[l1_index] | entry::copied);
        dirty_l1_.push_back(l1_index);
    }
    return base::ok();
}

Status Qcow2Image::release_snapshot(std::span<const u64> l1)
{
    PendingTables pending;
    const auto settle = [&]() -> Status {
        if (auto done = write_pending(pending); !done) {
            return done;
        }
        if (auto done = write_l1(); !done) {
            return done;
        }
        if (auto done = file_->flush(); !done) {
            return done;
        }
        return refcounts_.write_blocks();
    };
    auto done = visit_tables(l1, [&](u64 index, u64 at, std::span<const u8> table) -> Status {
        if (auto owned = own_entries(index, at, table, pending); !owned) {
            return owned;
        }
        if (auto lowered = change_table_counts(at, table, CountChange::down); !lowered) {
            return lowered;
        }
        return pending.bytes >= kMaxPendingBytes || refcounts_.crowded() ? settle() : base::ok();
    });
    auto settled = settle();
    return done ? std::move(settled) : mark_corrupt(std::move(done).error());
}

Status Qcow2Image::delete_snapshot(const std::string& id_or_name)
{
    if (auto done = flush(); !done) {
        return done;
    }
    auto index = find_snapshot(id_or_name);
    if (!index) {
        return std::move(index).error();
    }
    if (header_.has_data_file()) {
        return fail(Errc::unsupported, "Operation not supported");
    }
    std::vector<Snapshot> left = snapshots_.snapshots;
    const Snapshot gone = left[index.value()];
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(index.value()));
    auto l1 = read_snapshot_l1(gone);
    if (!l1) {
        return std::move(l1).error();
    }
    return while_dirty([&] { return drop_snapshot(gone, l1.value(), std::move(left)); });
}

Status Qcow2Image::drop_snapshot(const Snapshot& gone, std::span<const u64> l1,
                                 std::vector<Snapshot> left)
{
    const u32 count = header_.snapshot_count;
    auto done = store_snapshots(std::move(left), header_);
    if (!done && header_.snapshot_count == count) {
        return std::move(done).error().in("Failed to remove snapshot from snapshot list");
    }
    if (done) {
        done = free_snapshot(gone, l1);
    }
    return done ? std::move(done) : Status{std::move(done).error().in(kFreeSnapshotFailed)};
}

/// Gives back what only a snapshot had that is no longer listed.
Status Qcow2Image::free_snapshot(const Snapshot& gone, std::span<const u64> l1)
{
    l2_cache_.clear();
    packed_end_ = 0;
    if (auto done = release_snapshot(l1); !done) {
        return done;
    }
    if (auto done = refcounts_.decrease(run_of(gone.l1_offset, gone.l1_size * sizeof(u64)));
        !done) {
        return mark_corrupt(std::move(done).error());
    }
    return refcounts_.write_blocks();
}

Status Qcow2Image::view_snapshot(const std::string& id_or_name)
{
    if (!file_->read_only()) {
        return fail(Errc::invalid_argument, "a snapshot can only be read in an image that is open "
                                            "for reading only");
    }
    auto index = find_snapshot(id_or_name);
    if (!index) {
        return fail(Errc::invalid_argument, "Can't find snapshot");
    }
    const Snapshot& snapshot = snapshots_.snapshots[index.value()];
    auto l1 = read_snapshot_l1(snapshot);
    if (!l1) {
        return std::move(l1).error();
    }
    const u64 size = snapshot.info.disk_size;
    if (size > static_cast<u64>(INT64_MAX) - geometry_.cluster_size() ||
        geometry_.l1_entries(size) > l1.value().size()) {
        return fail(Errc::corrupt, "the snapshot's L1 table is too small for its disk size");
    }
    l1_.replace(std::move(l1).value());
    l2_cache_.clear();
    header_.size = size;
    return base::ok();
}

} // namespace img::qcow2
