// Both sides' maps are walked in step, so that what is a hole in both costs nothing and what is a
// hole in one is only looked through for something other than zero. Several threads look, each at
// another range; the difference that comes first on the disks is told.
#include "imgtool/ops/compare.hpp"

#include "imgtool/chain/pieces.hpp"
#include "imgtool/ops/workers.hpp"
#include "imgtool/zero_scan.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <optional>
#include <vector>

namespace img {

namespace {

constexpr u64 kSector = 512; // bytes: differences are told to this precision

// Both buffers stay in a core's second-level cache between being read and being compared, which is
// worth more than fewer system calls.
constexpr u64 kPiece = u64{256} << 10; // bytes

// What the strict mode compares.
constexpr unsigned kData = 1;
constexpr unsigned kZero = 2;
constexpr unsigned kPlaced = 4; // has an offset in a file
constexpr unsigned kAllocated = 8;
constexpr unsigned kLast = 16; // reaches to the end of the disk

/// A part of one disk in which all is alike.
struct Stretch {
    unsigned status = 0;
    u64 end = 0; // offset on the disk

    bool zero() const { return (status & kZero) != 0; }
    bool allocated() const { return (status & kAllocated) != 0; }
};

class Side {
public:
    explicit Side(ChainDisk& disk) : disk_{disk} {}

    u64 size() const { return disk_.size(); }
    ChainDisk& disk() { return disk_; }

    /// What begins at `offset`, or goes on there.
    Result<Stretch> at(u64 offset)
    {
        if (offset >= begin_ && offset < stretch_.end) {
            return stretch_;
        }
        auto found = disk_.find(offset, size() - offset, MapDetail::exact);
        if (!found) {
            return std::move(found).error();
        }
        begin_ = offset;
        stretch_ = {.status = status_of(found.value()),
                    .end = offset + found.value().extent.length};
        if (stretch_.end == size()) {
            stretch_.status |= kLast;
        }
        return stretch_;
    }

private:
    unsigned status_of(const ChainDisk::Found& found)
    {
        const Extent& e = found.extent;
        switch (e.kind) {
        case Extent::Kind::data:
            return kData | kAllocated | (e.sealing.cipher == nullptr ? kPlaced : 0);
        case Extent::Kind::compressed:
            return kData | kAllocated;
        case Extent::Kind::zero:
            return kZero | kAllocated | (e.reserved ? kPlaced : 0);
        case Extent::Kind::backing:
            break;
        }
        // Nobody has it; past the end of a backing file that counts as having been allocated.
        const bool past_backing = found.depth + 1 < disk_.layers().size();
        return kZero | (past_backing ? kAllocated : 0);
    }

    ChainDisk& disk_;
    Stretch stretch_;
    u64 begin_ = 1; // of the stretch; nothing is known yet
};

/// The first sector that is not zero.
std::optional<u64> find_nonzero(std::span<const u8> bytes)
{
    if (is_zero(bytes)) {
        return std::nullopt;
    }
    for (u64 at = 0;; at += kSector) {
        if (!is_zero(bytes.subspan(at, std::min(kSector, bytes.size() - at)))) {
            return at;
        }
    }
}

/// The first sector that differs.
std::optional<u64> find_difference(std::span<const u8> a, std::span<const u8> b)
{
    if (std::memcmp(a.data(), b.data(), a.size()) == 0) {
        return std::nullopt;
    }
    for (u64 at = 0;; at += kSector) {
        if (std::memcmp(a.data() + at, b.data() + at, std::min(kSector, a.size() - at)) != 0) {
            return at;
        }
    }
}

/// A range of which bytes have to be looked at.
struct Task {
    u64 number = 0;
    u64 offset = 0;
    u64 length = 0;
    std::array<std::vector<Piece>, 2> pieces = {}; // none of a disk that is known to be zero there
};

/// What one thread works with.
struct Workspace {
    std::array<std::vector<u8>, 2> buffers;
    std::array<ExtentReader, 2> readers;
    Task task;
};

Comparison ended(Comparison::Outcome outcome, u64 offset, std::size_t side = 0,
                 std::string message = {})
{
    return {.outcome = outcome, .offset = offset, .side = side, .message = std::move(message)};
}

/// Cuts both disks into tasks. Not safe for use by several threads.
class Plan {
public:
    Plan(ChainDisk& first, ChainDisk& second, bool strict)
        : strict_{strict}, sides_{Side{first}, Side{second}},
          common_{std::min(first.size(), second.size())}, total_{
                                                              std::max(first.size(), second.size())}
    {}

    u64 total() const { return total_; } // bytes of the longer disk
    /// Whether bytes before `offset`, or at it, are of one disk only.
    bool overhangs_at(u64 offset) const { return common_ < total_ && offset >= common_; }

    u64 offset() const { return offset_; } // up to here all has been given out

    enum class Step : u8 { task, nothing_to_read, end, result };
    /// The next task, or how the comparison ends here: with `result` set, or as all else says.
    Step next(Task& task, Comparison& result)
    {
        task.number = number_++;
        task.offset = offset_;
        for (auto& pieces : task.pieces) {
            pieces.clear();
        }
        if (offset_ == total_) {
            return Step::end;
        }
        auto end = offset_ < common_ ? find_both(result) : find_overhang(result);
        if (!end) {
            return Step::result;
        }
        if (!wanted_[0] && !wanted_[1]) {
            offset_ = *end;
            return Step::nothing_to_read;
        }
        task.length = std::min(*end - offset_, kPiece - offset_ % kPiece);
        for (std::size_t i = 0; i < 2; ++i) {
            if (!wanted_[i]) {
                continue;
            }
            auto found = find_pieces(sides_[i].disk(), offset_, task.length, task.pieces[i]);
            if (!found) {
                result = ended(Comparison::Outcome::map_failed, offset_, i, found.error().message);
                return Step::result;
            }
        }
        offset_ += task.length;
        return Step::task;
    }

private:
    /// Up to where both are alike in what is known of them; which are to be read is in wanted_.
    std::optional<u64> find_both(Comparison& result)
    {
        std::array<Stretch, 2> stretches;
        u64 end = common_;
        for (std::size_t i = 0; i < 2; ++i) {
            auto stretch = sides_[i].at(offset_);
            if (!stretch) {
                result =
                    ended(Comparison::Outcome::map_failed, offset_, i, stretch.error().message);
                return std::nullopt;
            }
            stretches[i] = stretch.value();
            end = std::min(end, stretches[i].end);
        }
        if (strict_ && stretches[0].status != stretches[1].status) {
            result = ended(Comparison::Outcome::status_differs, offset_);
            return std::nullopt;
        }
        wanted_ = {!stretches[0].zero(), !stretches[1].zero()};
        return end;
    }

    std::optional<u64> find_overhang(Comparison& result)
    {
        const std::size_t longer = sides_[0].size() > common_ ? 0 : 1;
        auto stretch = sides_[longer].at(offset_);
        if (!stretch) {
            result =
                ended(Comparison::Outcome::map_failed, offset_, longer, stretch.error().message);
            return std::nullopt;
        }
        wanted_ = {};
        wanted_[longer] = !stretch.value().zero();
        return stretch.value().end;
    }

    bool strict_;
    std::array<Side, 2> sides_;
    std::array<bool, 2> wanted_ = {};
    u64 common_;
    u64 total_;
    u64 offset_ = 0;
    u64 number_ = 0;
};

class Comparer {
public:
    Comparer(ChainDisk& first, ChainDisk& second, const CompareOptions& options)
        : options_{options}, plan_{first, second, options.strict}
    {}

    Comparison run()
    {
        work();
        helpers_.join(); // waits for them
        const bool done = result_number_ == ~u64{0};
        result_.overhang = plan_.overhangs_at(done ? plan_.total() : result_.offset);
        return std::move(result_);
    }

private:
    void work();
    bool take(Task& task);
    Comparison look(Workspace& w);
    void settle(u64 number, Comparison result);
    void start_helpers();

    const CompareOptions& options_;
    std::mutex mutex_; // all of this, and what is read alone
    Plan plan_;
    Comparison result_;
    u64 result_number_ = ~u64{0}; // of the task that ended the comparison
    bool helping_ = false;
    Workers helpers_; // of the thread that called run()
};

/// Takes the next task; false when there is nothing left that could change the result.
bool Comparer::take(Task& task)
{
    const std::lock_guard lock{mutex_};
    Plan::Step step = Plan::Step::nothing_to_read;
    while (step == Plan::Step::nothing_to_read) {
        if (result_number_ != ~u64{0}) {
            return false; // what is left comes after that
        }
        Comparison result;
        step = plan_.next(task, result);
        if (step == Plan::Step::end) {
            return false;
        }
        if (step != Plan::Step::result && options_.progress &&
            !options_.progress(plan_.offset(), plan_.total())) {
            step = Plan::Step::result;
            result = ended(Comparison::Outcome::stopped, task.offset);
        }
        if (step == Plan::Step::result) {
            result_ = std::move(result);
            result_number_ = task.number;
            return false;
        }
    }
    constexpr u64 kWorthAThread = 16; // tasks
    if (!helping_ && task.number >= kWorthAThread) {
        helping_ = true;
        start_helpers();
    }
    return true;
}

void Comparer::start_helpers()
{
    constexpr unsigned kMaxThreads = 4; // more only wait for memory
    helpers_.start(thread_count(0, kMaxThreads) - 1, [this] { work(); });
}

void Comparer::work()
{
    Workspace w;
    for (auto& buffer : w.buffers) {
        buffer.resize(kPiece);
    }
    while (take(w.task)) {
        auto result = look(w);
        if (result.outcome != Comparison::Outcome::identical) {
            settle(w.task.number, std::move(result));
        }
    }
}

/// Of all results the one counts that comes first on the disks.
void Comparer::settle(u64 number, Comparison result)
{
    const std::lock_guard lock{mutex_};
    if (number < result_number_) {
        result_ = std::move(result);
        result_number_ = number;
    }
}

Comparison Comparer::look(Workspace& w)
{
    const Task& task = w.task;
    std::array<std::span<const u8>, 2> bytes;
    for (std::size_t i = 0; i < 2; ++i) {
        if (task.pieces[i].empty()) {
            continue;
        }
        const auto into = std::span{w.buffers[i]}.first(task.length);
        if (auto done = read_pieces(w.readers[i], task.pieces[i], mutex_, into); !done) {
            return ended(Comparison::Outcome::read_failed, task.offset, i, done.error().message);
        }
        bytes[i] = into;
    }
    const auto at = bytes[0].empty()   ? find_nonzero(bytes[1])
                    : bytes[1].empty() ? find_nonzero(bytes[0])
                                       : find_difference(bytes[0], bytes[1]);
    return at ? ended(Comparison::Outcome::content_differs, task.offset + *at) : Comparison{};
}

} // namespace

Comparison compare(ChainDisk& first, ChainDisk& second, const CompareOptions& options)
{
    if (options.strict && first.size() != second.size()) {
        return {.outcome = Comparison::Outcome::sizes_differ};
    }
    return Comparer{first, second, options}.run();
}

} // namespace img
