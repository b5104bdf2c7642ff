// Cuts the copying of disks into jobs.
#pragma once

#include "imgtool/chain/pieces.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace img {

/// Is told where on a disk something could not be found out, and why.
using LossSink = std::function<void(u64 offset, const base::Error& error)>;

struct Sought {
    ChainDisk::Found found;
    bool known = true; // false: nothing is known but that the disk may be asked for the bytes
};
/// ChainDisk::find() on a damaged disk: when it fails, fewer bytes are asked for; a sector of which
/// nothing can be said is told to `lost` and counts as data. Without `lost`, errors are errors.
Result<Sought> seek(ChainDisk& disk, u64 offset, u64 limit, const LossSink& lost);

/// A stretch of the target that is dealt with in one go.
struct ConvertJob {
    enum class Kind : u8 {
        skip, // the target has it already
        zero, // it is to read as zero
        data  // it is read, looked at and written
    };

    u64 number = 0; // jobs count from 0, in the order of the target
    Kind kind = Kind::skip;
    u64 at = 0;                     // bytes, in the target
    u64 length = 0;                 // bytes
    std::vector<Piece> pieces = {}; // for Kind::data; together `length` bytes
};

/// What the target's format makes of it.
struct ConvertRules {
    u64 granule;         // bytes that are looked at together for zeroes; a power of two
    u64 edge;            // bytes to which stretches are rounded; a power of two
    u64 job_size;        // bytes, a multiple of granule: data jobs do not cross multiples of it
    bool keep_zeroes;    // zeroes are copied like data
    bool target_is_zero; // zeroes need not be written
    bool only_top_layer; // what the source's backing files have is in the target's
    LossSink lost = {};  // set: what cannot be found out is data (seek())
};

/// Not safe for use by several threads.
class ConvertPlan {
public:
    ConvertPlan(const std::vector<std::unique_ptr<ChainDisk>>& sources, const ConvertRules& rules);

    u64 total() const { return total_; } // bytes
    /// The next job; false when there are no more. After an error the job has its number.
    Result<bool> next(ConvertJob& job);

private:
    ConvertJob::Kind kind_of(const ChainDisk::Found& found) const;
    Result<Sought> find(u64 limit);
    Status gather(ConvertJob& job);

    const std::vector<std::unique_ptr<ChainDisk>>& sources_;
    ConvertRules rules_;
    u64 total_ = 0;
    std::size_t source_ = 0; // the present one
    u64 start_ = 0;          // where it begins in the target, bytes
    u64 offset_ = 0;         // what is next of it, bytes
    u64 number_ = 0;
    u64 told_ = UINT64_MAX; // where in the target something was lost last
};

} // namespace img
