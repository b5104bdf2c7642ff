// Checking and repairing an image's refcounts.
#include "base/endian.hpp"
#include "imgtool/formats/qcow2/qcow2_image.hpp"
#include "imgtool/formats/qcow2/reference_counter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;
using base::load_be;
using base::store_be;

/// More than this many host clusters would take too long to look at one by one.
constexpr u64 kMaxFileClusters = u64{1} << 34;

class Checker {
public:
    Checker(ByteSource& file, const Header& header, Repair repair, const ProblemSink& problem)
        : file_{file}, header_{header}, geometry_{header.geometry()}, repair_{repair},
          problem_{problem}, counter_{file, header_, repair_, report_, problem},
          refcounts_{file, header_, [this](u64 c) { return counter_.counts().get(c) != 0; }}
    {}

    Result<CheckReport> run(const SnapshotTable& snapshots);

private:
    Status count_refblocks();
    Status compare();
    Status compare_all(bool fix);
    Status compare_one(u64 cluster, u64 stored, bool may_fix_it);

    void uncount_structures();
    void tell_freed();
    Status rebuild();

    Status check_copied_flags();
    Status check_copied_in_l2(u64 offset);
    Result<bool> flag_is_right(u64 table_entry, std::string_view what, u64 index);
    Status clear_dirty();
    void problem(const std::string& text) { problem_(text); }
    /// Once all counts are right, so are flags that follow them.
    bool may_fix_flags() const
    {
        return repair_ == Repair::all || (repair_ == Repair::leaks && report_.corruptions == 0 &&
                                          report_.leaks == 0 && report_.check_errors == 0);
    }
    bool may_fix(bool leak) const
    {
        return repair_ == Repair::all || (leak && repair_ == Repair::leaks);
    }

    ByteSource& file_;
    Header header_;
    Geometry geometry_;
    Repair repair_;
    const ProblemSink& problem_;
    CheckReport report_;
    ReferenceCounter counter_;
    Refcounts refcounts_;
    bool needs_rebuild_ = false;
    bool rebuilt_ = false;
    bool flags_differ_ = false; // a "copied" flag from its cluster's count
    u64 rebuild_problems_ = 0;  // what a rebuild puts right
    u64 table_problems_ = 0;    // what it does not
};

Result<CheckReport> Checker::run(const SnapshotTable& snapshots)
{
    if (counter_.file_clusters() > kMaxFileClusters) {
        return fail(Errc::unsupported, "the file is too large to be checked");
    }
    report_.total_clusters = geometry_.clusters(header_.size);
    if (auto loaded = refcounts_.load(); !loaded) {
        if (loaded.error().code != Errc::corrupt) {
            return std::move(loaded).error();
        }
        problem("ERROR: " + loaded.error().message);
        ++rebuild_problems_;
        needs_rebuild_ = true;
    }
    if (auto done = counter_.count_all(snapshots); !done) {
        return std::move(done).error();
    }
    table_problems_ = report_.corruptions;
    for (const auto step : {&Checker::count_refblocks, &Checker::compare, &Checker::rebuild,
                            &Checker::check_copied_flags, &Checker::clear_dirty}) {
        if (auto done = (this->*step)(); !done) {
            return std::move(done).error();
        }
    }
    report_.image_end_offset =
        std::max(report_.image_end_offset, counter_.counts().end() << geometry_.cluster_bits);
    return report_;
}

Status Checker::count_refblocks()
{
    const std::vector<u64>& table = refcounts_.table().entries();
    for (std::size_t i = 0; i < table.size(); ++i) {
        if (table[i] == 0) {
            continue;
        }
        const u64 cluster = table[i] >> geometry_.cluster_bits;
        std::string wrong;
        if ((table[i] & kReftableReserved) != 0) {
            wrong = fmt::format("ERROR refcount table entry {} has reserved bits set", i);
        } else if ((table[i] & geometry_.within()) != 0) {
            wrong = fmt::format("ERROR refcount block {} is not cluster aligned; refcount table "
                                "entry corrupted",
                                i);
        } else if (cluster >= counter_.file_clusters()) {
            wrong = fmt::format("ERROR refcount block {} is outside image", i);
        } else {
            counter_.count(table[i], geometry_.cluster_size());
            if (const u32 count = counter_.counts().get(cluster); count != 1) {
                wrong = fmt::format("ERROR refcount block {} refcount={}", i, count);
            }
        }
        if (!wrong.empty()) {
            problem(wrong);
            ++rebuild_problems_;
            needs_rebuild_ = true;
        }
    }
    return base::ok();
}

Status Checker::compare_one(u64 cluster, u64 stored, bool may_fix_it)
{
    const CountMap::Uses uses = counter_.counts().uses(cluster);
    const u64 real = uses.count;
    if (stored != 0 || real != 0) {
        report_.image_end_offset =
            std::max(report_.image_end_offset, (cluster + 1) << geometry_.cluster_bits);
    }
    if (stored == real) {
        flags_differ_ = flags_differ_ || (real == 1 ? uses.shared : uses.flagged) != 0;
        return base::ok();
    }
    const bool leak = stored > real;
    // A used cluster counted as free: whatever else is counted is not to be trusted either.
    needs_rebuild_ = needs_rebuild_ || stored == 0;
    const bool fix =
        may_fix_it && may_fix(leak) && !needs_rebuild_ && real <= geometry_.refcount_max();
    problem(fmt::format("{} cluster {} refcount={} reference={}",
                        fix    ? "Repairing"
                        : leak ? "Leaked"
                               : "ERROR",
                        cluster, stored, real));
    if (fix) {
        ++(leak ? report_.leaks_fixed : report_.corruptions_fixed);
        return refcounts_.set(cluster, real);
    }
    ++(leak ? report_.leaks : report_.corruptions);
    return base::ok();
}

Status Checker::compare()
{
    if (needs_rebuild_) {
        // The stored counts cannot be relied on at all; a rebuild takes none of them.
        report_.corruptions += rebuild_problems_;
        return base::ok();
    }
    // All is told before anything is repaired: a repair may turn out to need more than this.
    const CheckReport before = report_;
    if (auto done = compare_all(false); !done) {
        return done;
    }
    if (repair_ == Repair::none || needs_rebuild_ ||
        (report_.leaks == 0 && report_.corruptions == 0)) {
        return base::ok();
    }
    report_.leaks = before.leaks;
    report_.corruptions = before.corruptions;
    return compare_all(true);
}

Status Checker::compare_all(bool fix)
{
    if (!fix) {
        return refcounts_.each({0, counter_.file_clusters()}, [this](u64 cluster, u64 stored) {
            return compare_one(cluster, stored, false);
        });
    }
    for (u64 cluster = 0; cluster < counter_.file_clusters(); ++cluster) {
        if (refcounts_.crowded()) {
            if (auto done = refcounts_.write_blocks(); !done) {
                return done;
            }
        }
        auto stored = refcounts_.get(cluster);
        if (!stored) {
            return std::move(stored).error();
        }
        if (auto done = compare_one(cluster, stored.value(), true); !done) {
            return done;
        }
    }
    return refcounts_.write_blocks();
}

/// Takes back the counts of the old refcount structures: a rebuild leaves them free.
void Checker::uncount_structures()
{
    counter_.uncount(header_.reftable_offset,
                     u64{header_.reftable_clusters} << geometry_.cluster_bits);
    for (const u64 refblock : refcounts_.table().entries()) {
        if (refblock != 0 && (refblock & geometry_.within()) == 0) {
            counter_.uncount(refblock, geometry_.cluster_size());
        }
    }
}

/// What held the old counts is free now, as a second look would find.
void Checker::tell_freed()
{
    std::vector<u64> freed;
    for (u64 i = 0; i < header_.reftable_clusters; ++i) {
        freed.push_back((header_.reftable_offset >> geometry_.cluster_bits) + i);
    }
    for (const u64 refblock : refcounts_.table().entries()) {
        if (refblock != 0 && (refblock & geometry_.within()) == 0) {
            freed.push_back(refblock >> geometry_.cluster_bits);
        }
    }
    std::ranges::sort(freed);
    for (const u64 cluster : freed) {
        if (cluster < counter_.file_clusters() && counter_.counts().get(cluster) == 0) {
            problem(fmt::format("Repairing cluster {} refcount=1 reference=0", cluster));
        }
    }
}

/// Writes all counts anew, behind everything else in the file.
Status Checker::rebuild()
{
    if (!needs_rebuild_ || repair_ == Repair::none) {
        return base::ok();
    }
    if (repair_ == Repair::leaks) {
        problem("ERROR need to rebuild refcount structures");
        return fail(Errc::io, "Input/output error");
    }
    problem("Rebuilding refcount structure");
    for (const std::string& text : counter_.problems()) {
        problem(text); // as when all is counted again
    }
    uncount_structures();
    tell_freed();
    const NewRefcounts plan = plan_refcounts(geometry_, counter_.file_clusters());
    const auto count_of = [this](u64 cluster) -> Result<u64> {
        return u64{counter_.counts().get(cluster)};
    };
    if (auto done = write_refcounts(file_, geometry_, plan, count_of); !done) {
        return done;
    }
    std::array<u8, 12> field{};
    store_be<u64>(field, 0, plan.table_at(geometry_));
    store_be<u32>(field, 8, static_cast<u32>(plan.table_clusters));
    if (auto done = file_.write(FileOffset{kFieldReftable}, field); !done) {
        return done;
    }
    // Only counts are put right; tables that lead nowhere stay what they are.
    report_.corruptions_fixed += report_.corruptions - table_problems_;
    report_.corruptions = table_problems_;
    report_.leaks_fixed += report_.leaks;
    report_.leaks = 0;
    report_.image_end_offset = plan.end() << geometry_.cluster_bits;
    rebuilt_ = true;
    return file_.flush();
}

/// Whether the "copied" flag of a table entry agrees with the refcount. Reports it if not.
Result<bool> Checker::flag_is_right(u64 table_entry, std::string_view what, u64 index)
{
    const u64 cluster = (table_entry & entry::offset_mask) >> geometry_.cluster_bits;
    if (cluster >= counter_.file_clusters()) {
        return true; // reported when it was counted
    }
    auto stored = rebuilt_ ? Result<u64>{counter_.counts().get(cluster)} : refcounts_.get(cluster);
    if (!stored) {
        return true; // likewise
    }
    const u64 count = stored.value();
    const bool flag = (table_entry & entry::copied) != 0;
    // In a dirty image counts may be too high, under flags of the true ones: what is left of a
    // snapshot that was being taken or deleted (Qcow2Image::while_dirty).
    const bool dirty = (header_.incompatible_features & incompatible::dirty) != 0;
    const u64 real = counter_.counts().get(cluster);
    if (flag == (count == 1) || (dirty && flag && count > real && real == 1)) {
        return true;
    }
    const bool fix = may_fix_flags();
    problem(what == "L2"
                ? fmt::format("{} OFLAG_COPIED L2 cluster: l1_index={} l1_entry={:x} refcount={}",
                              fix ? "Repairing" : "ERROR", index, table_entry, count)
                : fmt::format("{} OFLAG_COPIED data cluster: l2_entry={:x} refcount={}",
                              fix ? "Repairing" : "ERROR", table_entry, count));
    ++(fix ? report_.corruptions_fixed : report_.corruptions);
    return false;
}

Status Checker::check_copied_in_l2(u64 offset)
{
    std::vector<u8> bytes(geometry_.cluster_size());
    if (auto read = read_padded(file_, FileOffset{offset}, bytes); !read) {
        return read;
    }
    bool changed = false;
    const L2Rules rules{header_};
    for (u64 i = 0; i < geometry_.l2_entries(); ++i) {
        const L2Entry l2_entry = rules.load(bytes, i);
        if (!rules.has_cluster(l2_entry)) {
            continue;
        }
        auto right = flag_is_right(l2_entry.word, "data", i);
        if (!right) {
            return std::move(right).error();
        }
        if (!right.value()) {
            rules.store(bytes, i, {l2_entry.word ^ entry::copied, l2_entry.bitmap});
            changed = true;
        }
    }
    return changed && may_fix_flags() ? file_.write(FileOffset{offset}, bytes) : base::ok();
}

/// Only where a flag is known to differ, or something else was wrong, are the tables read again.
Status Checker::check_copied_flags()
{
    if (!flags_differ_ && !needs_rebuild_ && report_.corruptions == 0 && report_.leaks == 0 &&
        report_.corruptions_fixed == 0 && report_.leaks_fixed == 0) {
        return base::ok();
    }
    std::vector<u8> l1(u64{header_.l1_size} * sizeof(u64));
    if (auto read = read_padded(file_, FileOffset{header_.l1_offset}, l1); !read) {
        return read;
    }
    std::unordered_set<u64> seen;
    bool changed = false;
    for (u64 i = 0; i < header_.l1_size; ++i) {
        const u64 l1_entry = load_be<u64>(l1, i * sizeof(u64));
        const u64 l2 = l1_entry & entry::offset_mask;
        if (l2 == 0 || (l2 & geometry_.within()) != 0 ||
            l2 >> geometry_.cluster_bits >= counter_.file_clusters() || !seen.insert(l2).second) {
            continue; // nothing, or reported before
        }
        auto right = flag_is_right(l1_entry, "L2", i);
        if (!right) {
            return std::move(right).error();
        }
        if (!right.value()) {
            store_be<u64>(l1, i * sizeof(u64), l1_entry ^ entry::copied);
            changed = true;
        }
        if (header_.has_data_file()) {
            continue; // nobody counts the clusters in it
        }
        if (auto done = check_copied_in_l2(l2); !done) {
            return done;
        }
    }
    return changed && may_fix_flags() ? file_.write(FileOffset{header_.l1_offset}, l1) : base::ok();
}

Status Checker::clear_dirty()
{
    if (repair_ == Repair::none) {
        return base::ok();
    }
    if (auto done = file_.flush(); !done) {
        return done;
    }
    const u64 flags = incompatible::dirty | incompatible::corrupt;
    if (repair_ != Repair::all || report_.corruptions != 0 || report_.check_errors != 0 ||
        (header_.incompatible_features & flags) == 0) {
        return base::ok();
    }
    std::array<u8, 8> field{};
    store_be<u64>(field, 0, header_.incompatible_features & ~flags);
    if (auto done = file_.write(FileOffset{kFieldIncompatible}, field); !done) {
        return done;
    }
    return file_.flush();
}

} // namespace

Result<CheckReport> check_file(ByteSource& file, const Header& header,
                               const SnapshotTable& snapshots, Repair repair,
                               const ProblemSink& problem)
{
    return Checker{file, header, repair, problem}.run(snapshots);
}

/// A table in which all is in order, in new clusters; the counts must be right by now.
Status Qcow2Image::repair_snapshots()
{
    auto header = read_header(*file_); // a rebuild may have changed it
    if (!header) {
        return std::move(header).error();
    }
    header_ = std::move(header).value();
    if (auto done = refcounts_.switch_to(header_); !done) {
        return done;
    }
    if (snapshot_repair_.oversized == 0 && snapshot_repair_.incomplete.empty()) {
        Header shorter = header_; // what is left of the table is as it was
        shorter.snapshot_count = static_cast<u32>(snapshots_.snapshots.size());
        return write_header(std::move(shorter));
    }
    if (auto done = store_snapshots(snapshots_.snapshots, header_); !done) {
        return done;
    }
    if (auto done = refcounts_.write_blocks(); !done) {
        return done;
    }
    return file_->flush();
}

Result<CheckReport> Qcow2Image::check(Repair repair, const ProblemSink& problem)
{
    const SnapshotRepair& wrong = snapshot_repair_;
    const bool fix = repair == Repair::all;
    if (!wrong.problems.empty() && !fix) {
        if (header_.snapshot_count > kMaxSnapshots) {
            return fail(Errc::corrupt,
                        fmt::format("ERROR snapshot table too large\nYou can force-remove all {} "
                                    "overhanging snapshots with qemu-img check -r all",
                                    header_.snapshot_count - kMaxSnapshots));
        }
        auto unread = read_snapshot_table(*file_, header_);
        return fail(Errc::corrupt, "ERROR failed to read the snapshot table: " +
                                       (unread ? std::string{} : unread.error().message));
    }
    for (const std::string& text : wrong.problems) {
        problem(text);
    }
    for (const u32 index : wrong.incomplete) {
        problem(fmt::format("{} snapshot table entry {} is incomplete", fix ? "Repairing" : "ERROR",
                            index));
    }
    auto report = check_file(*file_, header_, snapshots_, repair, problem);
    if (!report || !wrong.needed()) {
        return report;
    }
    const u64 count = u64{wrong.discarded} + wrong.oversized + wrong.incomplete.size();
    (fix ? report.value().corruptions_fixed : report.value().corruptions) += count;
    if (fix && report.value().corruptions == 0) {
        if (auto done = repair_snapshots(); !done) {
            return std::move(done).error();
        }
    }
    return report;
}

} // namespace img::qcow2
