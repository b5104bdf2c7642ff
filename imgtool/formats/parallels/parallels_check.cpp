// Check and repair of Parallels images.
#include "base/endian.hpp"
#include "imgtool/formats/parallels/parallels_image.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img::parallels {

namespace {

/// Clusters of the file for which doubled references are looked for: 32 MiB of bits.
constexpr u64 kMaxClusters = u64{1} << 28;

const char* verb(bool repairs)
{
    return repairs ? "Repairing" : "ERROR";
}

} // namespace

struct ParallelsImage::Finding {
    Repair repair;
    const ProblemSink& problem;
    CheckReport report = {};
    u64 file_size = 0;
    u64 highest = 0;  // file offset of the last cluster
    u64 previous = 0; // of the entry before; 0: none
    std::vector<bool> used = {};
    std::vector<u64> doubled = {}; // entries

    bool repairs_all() const { return repair == Repair::all; }
};

Result<CheckReport> ParallelsImage::check(Repair repair, const ProblemSink& problem)
{
    Finding finding{.repair = repair, .problem = problem};
    finding.file_size = file().size();
    finding.used.resize(std::min(finding.file_size / block_size() + 1, kMaxClusters));
    CheckReport& report = finding.report;
    report.total_clusters = entries();
    if (header_.in_use == kInUse) {
        problem(fmt::format("{} image was not closed correctly", verb(repair == Repair::all)));
        ++report.corruptions;
    }
    for (u64 i = 0; i < entries(); ++i) {
        if (auto done = check_entry(i, finding); !done) {
            return std::move(done).error();
        }
    }
    report.image_end_offset =
        finding.highest == 0 ? header_.data_at() : finding.highest + block_size();
    if (auto done = check_doubles(finding); !done) {
        return std::move(done).error();
    }
    if (auto done = flush(); !done) {
        return std::move(done).error();
    }
    if (auto done = check_tail(finding); !done) {
        return std::move(done).error();
    }
    if (header_.in_use == kInUse && repair == Repair::all) {
        if (auto done = set_in_use(0); !done) {
            return std::move(done).error();
        }
        ++report.corruptions_fixed;
    }
    return report;
}

Status ParallelsImage::check_entry(u64 index, Finding& f)
{
    auto entry = load_entry(index);
    if (!entry) {
        return std::move(entry).error();
    }
    const auto at = block_at(entry.value());
    if (!at) {
        f.previous = 0;
        return base::ok();
    }
    if (*at > f.file_size) {
        f.problem(fmt::format("{} cluster {} is outside image", verb(f.repairs_all()), index));
        ++f.report.corruptions;
        if (f.repairs_all()) {
            ++f.report.corruptions_fixed;
            f.previous = 0;
            return store_entry(index, 0);
        }
    }
    ++f.report.allocated_clusters;
    f.highest = std::max(f.highest, *at);
    if (f.previous != 0 && f.previous + block_size() != *at) {
        ++f.report.fragmented_clusters;
    }
    f.previous = *at;
    const u64 cluster = *at / block_size();
    const u64 origin = header_.extended ? 0 : header_.data_at();
    if (*at >= origin && (*at - origin) % block_size() == 0 && cluster < f.used.size()) {
        if (f.used[cluster]) {
            f.doubled.push_back(index);
        }
        f.used[cluster] = true;
    }
    return base::ok();
}

/// A cluster that two entries share gets a copy for the second.
Status ParallelsImage::check_doubles(Finding& f)
{
    for (const u64 index : f.doubled) {
        f.problem(fmt::format("{} cluster {} is used twice", verb(f.repairs_all()), index));
        ++f.report.corruptions;
        if (!f.repairs_all()) {
            continue;
        }
        auto entry = load_entry(index);
        if (!entry) {
            return std::move(entry).error();
        }
        auto run = take(1);
        if (!run) {
            return std::move(run).error();
        }
        const u64 to = run.value().at;
        if (auto done = copy_block(*block_at(entry.value()), to); !done) {
            return done;
        }
        if (auto done = store_entry(index, entry_for(to)); !done) {
            return done;
        }
        ++f.report.corruptions_fixed;
        f.report.image_end_offset = to + block_size();
        f.file_size = file().size();
    }
    return base::ok();
}

Status ParallelsImage::check_tail(Finding& f)
{
    CheckReport& report = f.report;
    if (f.file_size <= report.image_end_offset || file().fixed_size()) {
        return base::ok(); // what cannot be cut off is not leaked
    }
    const u64 left = f.file_size - report.image_end_offset;
    bool repairs = f.repair != Repair::none;
    if (repairs && header_.extension != 0) {
        // Its clusters look leaked too.
        auto dropped = drop_extension();
        if (!dropped) {
            return std::move(dropped).error();
        }
        repairs = dropped.value();
    }
    f.problem(fmt::format("{} space leaked at the end of the image {}", verb(repairs), left));
    report.leaks += (left + block_size() - 1) / block_size();
    if (!repairs) {
        return base::ok();
    }
    if (auto done = file().resize(report.image_end_offset); !done) {
        return done;
    }
    report.leaks_fixed += report.leaks;
    return base::ok();
}

/// Says false when the extension must be kept.
Result<bool> ParallelsImage::drop_extension()
{
    auto keeps = keeps_extension();
    if (!keeps || keeps.value()) {
        return false;
    }
    auto page = header_for_write();
    if (!page) {
        return std::move(page).error();
    }
    header_.extension = 0;
    base::store_le<u64>(page.value(), kFieldExtension, 0);
    if (auto done = store_header(); !done) {
        return std::move(done).error();
    }
    if (auto done = file().flush(); !done) {
        return std::move(done).error();
    }
    return true;
}

} // namespace img::parallels
