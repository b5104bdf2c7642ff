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
    if (job.kind != ConvertJob::Kind::data && offset_ + job.length < disk.size()) {
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
    }
    offset_ += job.length;
    return true;
}

/// Finds the pieces of a data job: up to the end of the data, rounded up to an edge, or of the job.
Status ConvertPlan::gather(ConvertJob& job)
{
    ChainDisk& disk = *sources_[source_];
    const u64 job_end = job.at - job.at % rules_.job_size + rules_.job_size;
    const u64 limit = std::min(job_end - start_, disk.size()); // on the source disk
    u64 offset = offset_;
    u64 wanted = offset_ + 1; // to be copied at least up to here
    while (offset < limit) {
        auto found = disk.find(offset, limit - offset, MapDetail::exact);
        if (!found) {
            return std::move(found).error();
        }
        ChainDisk::Found& f = found.value();
        u64 length = f.extent.length;
        if (kind_of(f) == ConvertJob::Kind::data) {
            wanted = offset + length;
        } else {
            const u64 end =
                (start_ + wanted + rules_.edge - 1) / rules_.edge * rules_.edge - start_;
            if (offset >= end) {
                break;
            }
            length = std::min(length, end - offset);
            f.extent.length = length;
        }
        job.pieces.push_back({disk.layers()[f.depth].image.get(), f.extent, offset});
        offset += length;
    }
    job.length = offset - offset_;
    return base::ok();
}

} // namespace img
