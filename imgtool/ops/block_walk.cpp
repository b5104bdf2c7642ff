#include "imgtool/ops/block_walk.hpp"

#include "imgtool/chain/pieces.hpp"
#include "imgtool/ops/turnstile.hpp"
#include "imgtool/ops/workers.hpp"
#include "imgtool/zero_scan.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <vector>

namespace img {

namespace {

constexpr unsigned kMaxThreads = 16;

/// One block, or a range of zero blocks.
struct Job {
    u64 number = 0;
    u64 offset = 0;
    u64 length = 0;
    std::vector<Piece> pieces = {}; // none: zero
};

bool is_known_zero(const Extent& extent)
{
    return extent.kind == Extent::Kind::zero || extent.kind == Extent::Kind::backing;
}

/// Cuts the disk into jobs. Not safe for use by several threads.
class Plan {
public:
    Plan(ChainDisk& disk, u64 block_size) : disk_{disk}, block_size_{block_size} {}

    /// The next job; false when there are no more. After an error the job has its number.
    Result<bool> next(Job& job)
    {
        if (offset_ == disk_.size()) {
            return false;
        }
        job.number = number_++;
        job.offset = offset_;
        job.length = 0;
        job.pieces.clear();
        auto zero = add_zeroes(job);
        auto done = zero && job.length == 0 ? add_block(job) : std::move(zero);
        if (!done) {
            return std::move(done).error();
        }
        offset_ += job.length;
        return true;
    }

private:
    Status add_zeroes(Job& job)
    {
        u64 end = offset_;
        while (end < disk_.size()) {
            auto found = disk_.find(end, disk_.size() - end, MapDetail::exact);
            if (!found) {
                return std::move(found).error();
            }
            if (!is_known_zero(found.value().extent)) {
                end -= end % block_size_;
                break;
            }
            end += found.value().extent.length;
        }
        job.length = std::max(end, offset_) - offset_;
        return base::ok();
    }

    Status add_block(Job& job)
    {
        job.length = std::min(block_size_, disk_.size() - offset_);
        return find_pieces(disk_, offset_, job.length, job.pieces);
    }

    ChainDisk& disk_;
    u64 block_size_;
    u64 offset_ = 0;
    u64 number_ = 0;
};

class Walk {
public:
    Walk(ChainDisk& disk, const BlockWalk& options)
        : disk_{disk}, options_{options}, plan_{disk, options.block_size}
    {}

    Status run()
    {
        work();
        helpers_.join(); // waits for them
        return std::move(result_);
    }

private:
    struct Workspace {
        ExtentReader reader;
        std::vector<u8> bytes;
        std::unique_ptr<BlockWorker> worker;
        Job job;
    };

    void work();
    bool take(Workspace& w, Status& error);
    Status read(Workspace& w);
    Status pass(Workspace& w, bool zero);
    void start_helpers();

    ChainDisk& disk_;
    const BlockWalk& options_;
    std::mutex plan_mutex_; // plan_, the disk's maps, files not `concurrent()`
    Plan plan_;
    Turnstile turn_; // result_ and all pass()
    Status result_ = base::ok();
    std::atomic<bool> stopped_ = false;
    bool helping_ = false;
    Workers helpers_; // of the thread that called run()
};

/// Threads are only made once there is something for them to do.
void Walk::start_helpers()
{
    helpers_.start(thread_count(options_.threads, kMaxThreads) - 1, [this] { work(); });
}

/// Takes the next job; false at the end. An error belongs to the job.
bool Walk::take(Workspace& w, Status& error)
{
    const std::lock_guard lock{plan_mutex_};
    if (stopped_) {
        return false;
    }
    auto next = plan_.next(w.job);
    if (!next) {
        error = std::move(next).error();
        stopped_ = true;
        return true;
    }
    return next.value();
}

void Walk::work()
{
    Workspace w;
    Status error = base::ok();
    if (auto made = options_.make_worker()) {
        w.worker = std::move(made).value();
    } else {
        error = std::move(made).error();
    }
    const bool useless = !error;
    while (true) {
        Status taken = base::ok();
        if (!take(w, taken)) {
            return;
        }
        if (taken && useless) {
            taken = Status{error.error()};
        }
        bool zero = w.job.pieces.empty();
        if (taken && !zero) {
            taken = read(w);
            zero = taken && is_zero(w.bytes);
            if (taken && !zero) {
                taken = w.worker->work(w.job.offset, w.bytes);
            }
        }
        turn_.enter(w.job.number);
        if (result_) {
            if (!helping_ && !w.job.pieces.empty() && w.job.length < disk_.size()) {
                helping_ = true;
                start_helpers();
            }
            result_ = taken ? pass(w, zero) : std::move(taken);
            stopped_ = stopped_ || !result_;
        }
        turn_.leave();
    }
}

Status Walk::read(Workspace& w)
{
    w.bytes.resize(w.job.length);
    auto done = read_pieces(w.reader, w.job.pieces, plan_mutex_, w.bytes);
    return done ? std::move(done)
                : Status{std::move(done).error().in("error while reading at byte " +
                                                    std::to_string(w.job.offset))};
}

Status Walk::pass(Workspace& w, bool zero)
{
    auto done = w.worker->pass(w.job.offset, w.job.length, zero);
    if (done && options_.progress &&
        !options_.progress(w.job.offset + w.job.length, disk_.size())) {
        return base::fail(base::Errc::invalid_argument, "interrupted");
    }
    return done;
}

} // namespace

Status walk_blocks(ChainDisk& disk, const BlockWalk& options)
{
    return Walk{disk, options}.run();
}

} // namespace img
