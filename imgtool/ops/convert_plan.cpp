#include "imgtool/ops/convert_plan.hpp"

#include <algorithm>

namespace img {

namespace {

constexpr u64 kSector = 512; // bytes

} // namespace

Result<Sought> seek(ChainDisk& disk, u64 offset, u64 limit, const LossSink& lost)
{
    while (true) {
        auto found = disk.find(offset, limit, MapDetail::exact);
        if (found) {
            return Sought{found.value()};
        }
        if (!lost) {
            return std::move(found).error();
        }
        const u64 sector = std::min(limit, kSector - offset % kSector);
        if (limit <= sector) {
            lost(offset, found.error());
            return Sought{
                .found = {.extent = {.kind = Extent::Kind::data, .length = limit}, .depth = 0},
                .known = false};
        }
        limit = std::max(sector, limit / 4 / kSector * kSector);
    }
}

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
    if (rules_.only_top_layer && kind == Extent::Kind::backing) {
        return zero; // past the end of the backing file
    }
    if (rules_.keep_zeroes || (kind != Extent::Kind::zero && kind != Extent::Kind::backing)) {
        return data;
    }
    return rules_.target_is_zero && !rules_.only_top_layer ? skip : zero;
}

/// What comes next of the present source. What is asked for twice is told once.
Result<Sought> ConvertPlan::find(u64 limit)
{
    LossSink lost;
    if (rules_.lost) {
        lost = [this](u64 offset, const base::Error& error) {
            if (told_ != start_ + offset) {
                told_ = start_ + offset;
                rules_.lost(offset, error);
            }
        };
    }
    return seek(*sources_[source_], offset_, limit, lost);
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
    auto sought = find(disk.size() - offset_);
    if (!sought) {
        return std::move(sought).error();
    }
    const ChainDisk::Found& found = sought.value().found;
    job.kind = kind_of(found);
    job.at = start_ + offset_;
    job.length = found.extent.length;
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
        auto found = find(std::min(job_end - at, disk.size() - offset_));
        if (!found) {
            return std::move(found).error();
        }
        ChainDisk::Found& f = found.value().found;
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
        Image* image = disk.layers()[f.depth].image.get();
        const bool direct = found.value().known && image->extents_can_be_read();
        job.pieces.push_back({image, f.extent, offset_, direct ? nullptr : &disk});
        at += length;
        offset_ += length;
    }
    job.length = at - job.at;
    return base::ok();
}

} // namespace img
