// Check and repair of QED images: "QED Specification", section "Consistency checking".
#include "imgtool/formats/qed/qed_image.hpp"

#include <algorithm>

namespace img::qed {

namespace {

using base::Errc;
using base::fail;

/// Clusters of a file that can be checked: 128 MiB of bits.
constexpr u64 kMaxClusters = u64{1} << 30;

} // namespace

/// qemu-img only counts what it finds in QED images, and so do we.
struct QedImage::Finding {
    bool repairs;
    CheckReport report = {};
    std::vector<bool> used = {}; // clusters of the file
    u64 previous = 0;            // the data cluster before; 0: none
};

Result<CheckReport> QedImage::check(Repair repair, const ProblemSink&)
{
    const u64 clusters = end_ / header_.cluster_size;
    if (clusters > kMaxClusters) {
        return fail(Errc::io, "the file has too many clusters to be checked");
    }
    Finding finding{.repairs = repair == Repair::all};
    finding.used.resize(clusters);
    finding.report.total_clusters = header_.clusters();
    if (auto done = check_l1(finding); !done) {
        return std::move(done).error();
    }
    if (auto done = flush(); !done) {
        return std::move(done).error();
    }
    if (file_->fixed_size()) { // what cannot be cut off is not leaked
        const auto last = std::find(finding.used.rbegin(), finding.used.rend(), true);
        finding.used.erase(last.base(), finding.used.end());
    }
    count_leaks(finding);
    CheckReport& report = finding.report;
    if (repair != Repair::none && report.leaks != 0 && report.corruptions == 0 &&
        !file_->fixed_size()) {
        const auto last = std::find(finding.used.rbegin(), finding.used.rend(), true);
        const auto unused = static_cast<u64>(last - finding.used.rbegin());
        const u64 keep = std::max(clusters - unused, header_.header_size);
        if (keep < clusters) {
            cache_.clear();
            end_ = keep * header_.cluster_size;
            if (auto done = file_->resize(end_); !done) {
                return std::move(done).error();
            }
            report.leaks_fixed = std::min(clusters - keep, report.leaks);
            report.leaks -= report.leaks_fixed;
        }
    }
    if (finding.repairs && report.corruptions == 0) {
        if (auto done = mark(header_.features & ~feature::need_check); !done) {
            return std::move(done).error();
        }
    }
    return report;
}

/// Notes that clusters are in use; false when some already were.
bool QedImage::use(Finding& f, u64 at, u64 bytes)
{
    const u64 first = at / header_.cluster_size;
    u64 doubled = 0;
    for (u64 i = first; i < first + bytes / header_.cluster_size; ++i) {
        doubled += f.used[i] ? 1 : 0;
        f.used[i] = true;
    }
    f.report.corruptions += doubled;
    return doubled == 0;
}

Status QedImage::check_l1(Finding& f)
{
    if (!is_cluster(header_.l1_offset, header_.table_bytes())) {
        return fail(Errc::corrupt, "QED table offset is invalid");
    }
    (void)use(f, header_.l1_offset, header_.table_bytes());
    for (u64 i = 0; i < header_.table_entries(); ++i) {
        const u64 at = header_.l1_offset + i * sizeof(u64);
        auto table = load(at);
        if (!table) {
            return std::move(table).error();
        }
        if (table.value() == 0) {
            continue;
        }
        if (!is_cluster(table.value(), header_.table_bytes())) {
            if (!f.repairs) {
                ++f.report.corruptions;
                continue;
            }
            ++f.report.corruptions_fixed;
            if (auto done = store(at, 0); !done) {
                return done;
            }
            continue;
        }
        if (use(f, table.value(), header_.table_bytes())) {
            if (auto done = check_l2(f, table.value()); !done) {
                return done;
            }
        }
        if (cache_.crowded()) {
            if (auto done = flush(); !done) {
                return done;
            }
        }
    }
    return base::ok();
}

Status QedImage::check_l2(Finding& f, u64 table)
{
    for (u64 at = table; at < table + header_.table_bytes(); at += sizeof(u64)) {
        auto entry = load(at);
        if (!entry) {
            return std::move(entry).error();
        }
        const u64 cluster = entry.value();
        if (cluster <= kZeroCluster) {
            continue;
        }
        ++f.report.allocated_clusters;
        if (f.previous != 0 && f.previous + header_.cluster_size != cluster) {
            ++f.report.fragmented_clusters;
        }
        f.previous = cluster;
        if (is_cluster(cluster, header_.cluster_size)) {
            (void)use(f, cluster, header_.cluster_size);
            continue;
        }
        if (!f.repairs) {
            ++f.report.corruptions;
            continue;
        }
        ++f.report.corruptions_fixed;
        if (auto done = store(at, 0); !done) {
            return done;
        }
        if (cache_.crowded()) {
            if (auto done = flush(); !done) {
                return done;
            }
        }
    }
    return base::ok();
}

void QedImage::count_leaks(Finding& f)
{
    for (u64 i = header_.header_size; i < f.used.size(); ++i) {
        f.report.leaks += f.used[i] ? 0 : 1;
    }
}

} // namespace img::qed
