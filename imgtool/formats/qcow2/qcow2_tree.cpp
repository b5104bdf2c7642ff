// Walks over all that an L1 table leads to, to change its reference counts.
#include "base/endian.hpp"
#include "imgtool/formats/qcow2/qcow2_image.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;

} // namespace

/// Calls `visit` with each L2 table that `l1` names. A table named twice would be counted twice,
/// and a hostile image could have it named millions of times, so that is refused.
Status Qcow2Image::visit_tables(std::span<const u64> l1, const TableVisitor& visit)
{
    std::vector<u64> tables;
    for (u64 i = 0; i < l1.size(); ++i) {
        if (auto good = check_l1_entry(l1[i], i); !good) {
            return good;
        }
        const u64 at = l1[i] & entry::offset_mask;
        if (at == 0) {
            continue;
        }
        if (at >= file_->size()) {
            return fail(Errc::corrupt,
                        fmt::format("qcow2: L2 table at {:#x} lies past the end of the file", at));
        }
        tables.push_back(at);
    }
    std::ranges::sort(tables);
    if (const auto twice = std::ranges::adjacent_find(tables); twice != tables.end()) {
        return fail(
            Errc::corrupt,
            fmt::format("qcow2: L2 table at {:#x} is used for two ranges of the disk", *twice));
    }
    std::vector<u8> bytes(geometry_.cluster_size());
    for (u64 i = 0; i < l1.size(); ++i) {
        const u64 at = l1[i] & entry::offset_mask;
        if (at == 0) {
            continue;
        }
        if (auto read = read_padded(*file_, FileOffset{at}, bytes); !read) {
            return std::move(read).error().in("Could not read L2 table");
        }
        if (auto done = visit(i, at, bytes); !done) {
            return done;
        }
    }
    return base::ok();
}

/// The clusters that an L2 entry refers to; none for one without any.
ClusterRun Qcow2Image::clusters_of(const L2Entry& l2_entry) const
{
    if (header_.has_data_file()) {
        return {0, 0}; // only clusters of this file are counted
    }
    if ((l2_entry.word & entry::compressed) != 0) {
        const PackedRange range = packed_range(geometry_, l2_entry.word);
        const u64 first = range.at >> geometry_.cluster_bits;
        return {first, ((range.at + range.length - 1) >> geometry_.cluster_bits) - first + 1};
    }
    return {rules_.cluster_at(l2_entry) >> geometry_.cluster_bits,
            rules_.has_cluster(l2_entry) ? u64{1} : u64{0}};
}

Status Qcow2Image::change_counts(const ClusterRun& run, CountChange change)
{
    return change == CountChange::up ? refcounts_.increase(run) : refcounts_.decrease(run);
}

/// The host clusters that a table's entries name, neighbours together.
Status Qcow2Image::visit_runs(std::span<const u8> table,
                              const std::function<Status(const ClusterRun&)>& visit)
{
    ClusterRun run{0, 0};
    for (u64 i = 0; i < geometry_.l2_entries(); ++i) {
        const L2Entry l2_entry = rules_.load(table, i);
        if (l2_entry.word == 0) {
            continue;
        }
        const ClusterRun next = clusters_of(l2_entry);
        if (next.count == 0) {
            continue;
        }
        if (run.count != 0 && next.first == run.first + run.count) {
            run.count += next.count;
            continue;
        }
        if (run.count != 0) {
            if (auto done = visit(run); !done) {
                return done;
            }
        }
        run = next;
    }
    return run.count == 0 ? base::ok() : visit(run);
}

/// One reference more or less for a table and each cluster that it names.
Status Qcow2Image::change_table_counts(u64 at, std::span<const u8> table, CountChange change)
{
    for (u64 i = 0; i < geometry_.l2_entries(); ++i) {
        const L2Entry l2_entry = rules_.load(table, i);
        if (rules_.is_plain(l2_entry)) {
            continue;
        }
        if (auto good = rules_.check(l2_entry, rules_.cluster_at(l2_entry)); !good) {
            return good;
        }
    }
    auto done = visit_runs(
        table, [&](const ClusterRun& run) -> Status { return change_counts(run, change); });
    return done ? change_counts({at >> geometry_.cluster_bits, 1}, change) : std::move(done);
}

/// Takes one reference from everything below `l1`, to which nothing on stable storage leads any
/// more.
Status Qcow2Image::release_tables(std::span<const u64> l1)
{
    auto done = visit_tables(l1, [this](u64, u64 at, std::span<const u8> table) -> Status {
        if (auto changed = change_table_counts(at, table, CountChange::down); !changed) {
            return changed;
        }
        return refcounts_.crowded() ? refcounts_.write_blocks() : base::ok();
    });
    return done ? refcounts_.write_blocks() : mark_corrupt(std::move(done).error());
}

} // namespace img::qcow2
