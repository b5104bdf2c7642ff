#include "imgtool/ops/convert_plan.hpp"

#include <algorithm>

namespace img {

ConvertPlan::ConvertPlan(const std::vector<std::unique_ptr<ChainDisk>>& sources,
                         const ConvertRules& rules)
    : sources_{sources}, rules_{rules}
{
    for (const auto& source : sources) {
        total_ += source->size();
    }
}

ConvertJob::Kind ConvertPlan::kind_of(const ChainDisk::Found& found) const
{
    using enum ConvertJob::Kind;
    if (rules_.only_top_layer && found.depth > 0) {
        return skip;
    }
    const Extent::Kind kind = found.extent.kind;
    if (rules_.keep_zeroes || (kind != Extent::Kind::zero && kind != Extent::Kind::backing)) {
        return data;
    }
    return rules_.target_is_zero && !rules_.only_top_layer ? skip : zero;
}

Result<bool> ConvertPlan::next(ConvertJob& job)
{
    while (source_ < sources_.size() && offset_ == sources_[source_]->size()) {
        start_ += offset_;
        offset_ = 0;
        ++source_;
    }
    if (source_ == sources_.size()) {
        return false;
    }
    job.number = number_++;
    ChainDisk& disk = *sources_[source_];
    auto found = disk.find(offset_, disk.size() - offset_, MapDetail::exact);
    if (!found) {
        return std::move(found).error();
    }
    job.kind = kind_of(found.value());
    job.at = start_ + offset_;
    job.length = found.value().extent.length;
    job.pieces.clear();
    const bool last = source_ + 1 == sources_.size() && offset_ + job.length == disk.size();
    if (job.kind != ConvertJob::Kind::data && !last) {
        // What remains of the last granule is copied together with what follows.
        job.length -= std::min(job.length, (job.at + job.length) % rules_.edge);
        if (job.length == 0) {
            job.kind = ConvertJob::Kind::data;
        }
    }
    if (job.kind == ConvertJob::Kind::data) {
        if (auto done = gather(job); !done) {
            return std::move(done).error();
        }
    } else {
        offset_ += job.length;
    }
    return true;
}

/// Finds the pieces of a data job: up to the end of the data, rounded up to an edge, or of the job.
/// Where sources meet within an edge the job goes on into the next one.
Status ConvertPlan::gather(ConvertJob& job)
{
    const u64 job_end = job.at - job.at % rules_.job_size + rules_.job_size;
    u64 at = job.at;
    u64 wanted = at + 1; // to be copied at least up to here
    while (at < job_end) {
        ChainDisk& disk = *sources_[source_];
        if (offset_ == disk.size()) {
            if (at % rules_.edge == 0 || source_ + 1 == sources_.size()) {
                break;
            }
            start_ += offset_;
            offset_ = 0;
            ++source_;
            continue;
        }
        auto found =
            disk.find(offset_, std::min(job_end - at, disk.size() - offset_), MapDetail::exact);
        if (!found) {
            return std::move(found).error();
        }
        ChainDisk::Found& f = found.value();
        u64 length = f.extent.length;
        if (kind_of(f) == ConvertJob::Kind::data) {
            wanted = at + length;
        } else {
            const u64 end = (wanted + rules_.edge - 1) / rules_.edge * rules_.edge;
            if (at >= end) {
                break;
            }
            length = std::min(length, end - at);
            f.extent.length = length;
        }
        job.pieces.push_back({disk.layers()[f.depth].image.get(), f.extent, offset_});
        at += length;
        offset_ += length;
    }
    job.length = at - job.at;
    return base::ok();
}

} // namespace img
