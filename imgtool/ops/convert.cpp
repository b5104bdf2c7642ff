// Each thread takes the next job, reads it, looks for zeroes and compresses, all beside the others;
// then it waits for its turn to write. So the target is written in order, by one thread at a time,
// and comes out the same however many threads there are.
#include "imgtool/ops/convert.hpp"

#include "imgtool/ops/convert_plan.hpp"
#include "imgtool/ops/ordered_queue.hpp"
#include "imgtool/ops/workers.hpp"
#include "imgtool/source/file_source.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kJobSize = u64{512} << 10;  // bytes: read and written again from a processor's cache
constexpr u64 kMaxGranule = u64{2} << 20; // bytes, where the target has no larger clusters
constexpr unsigned kMaxThreads = 16;
constexpr std::size_t kAhead = 4; // jobs that are done before their turn

ConvertRules make_rules(ChainDisk& target, const ConvertOptions& options,
                        const std::optional<Image::Packing>& packing)
{
    // Parts of a cluster cannot be left out.
    const ImageInfo info = target.layers().front().image->info();
    const u64 cluster = info.subcluster_size != 0 ? info.subcluster_size : info.cluster_size;
    const u64 sparse = std::bit_floor(std::clamp(options.sparse_size, u64{512}, kMaxGranule));
    const u64 granule = packing ? packing->block_size : std::max(cluster, sparse);
    return {.granule = granule,
            // What is in the backing file need not be copied to fill up a cluster, nor known zeroes
            // to fill up a granule.
            .edge = packing                      ? granule
                    : options.target_has_backing ? 512
                                                 : std::max(cluster, u64{512}),
            .job_size = std::max(kJobSize, granule),
            .keep_zeroes = options.sparse_size == 0,
            .target_is_zero = options.target_is_zero,
            .only_top_layer = options.target_has_backing,
            .lost = options.salvage_status};
}

std::optional<Image::Packing> choose_packing(ChainDisk& target, const ConvertOptions& options)
{
    const auto packing = target.layers().front().image->packing();
    return packing && (options.compress || packing->always) ? packing : std::nullopt;
}

ByteSource& file_of(const Piece& piece)
{
    return piece.extent.in != nullptr ? *piece.extent.in : piece.image->file();
}

/// What a thread works with.
struct Workspace {
    /// A stretch of the job of one nature.
    struct Run {
        enum class Kind : u8 { data, zero, packed } kind;
        u64 begin;                                    // bytes from the job's begin
        u64 length;                                   // bytes
        std::size_t packed_at = 0, packed_length = 0; // bytes of `packed`
    };

    ExtentReader reader;
    std::vector<u8> bytes;
    std::vector<u8> packed;
    std::vector<Run> runs;
    std::unique_ptr<Packer> packer;
    ConvertJob job;
    Status error = base::ok(); // of the job, before it is written
    bool offload = false;      // it is not read, but copied by the host
};

class Converter {
public:
    Converter(const std::vector<std::unique_ptr<ChainDisk>>& sources, ChainDisk& target,
              const ConvertOptions& options)
        : target_{target}, options_{options}, packing_{choose_packing(target, options)},
          rules_{make_rules(target, options, packing_)}, plan_{sources, rules_},
          offload_{options.offload && target.layers().front().format == "raw"}
    {}

    Status run();

private:
    void work();
    bool take(Workspace& w);
    void finish(Workspace& w);
    Status read(Workspace& w);
    Status read_piece(Workspace& w, const Piece& piece, std::span<u8> into);
    Status salvage(Workspace& w, const Piece& piece, std::span<u8> into);
    void split(Workspace& w);
    void join(Workspace& w) const;
    void pack(Workspace& w, Workspace::Run& run);
    bool can_offload(const ConvertJob& job) const;
    Status offload(Workspace& w);
    u64 copy_by_host(const Piece& piece, u64 at);
    Status write_runs(Workspace& w);
    Status write(Workspace& w);
    Status write_run(Workspace& w, const Workspace::Run& run);
    Status write_zeroes(u64 at, u64 length);
    Status write_own_zeroes(u64 at, u64 length);
    void start_helpers();

    ChainDisk& target_;
    const ConvertOptions& options_;
    std::optional<Image::Packing> packing_;
    ConvertRules rules_;

    std::mutex plan_mutex_; // plan_, whatever of the sources it asks, files not `concurrent()`
    ConvertPlan plan_;

    // In its order: the target, result_ and the options' functions.
    OrderedQueue<Workspace> finished_{kAhead};
    Status result_ = base::ok();
    std::atomic<bool> stopped_ = false;
    std::atomic<bool> offload_; // the host may be able to copy
    bool helping_ = false;
    Workers helpers_; // of the thread that called run()

    std::mutex salvage_mutex_;
};

/// Threads are only made once there is something for them to do.
void Converter::start_helpers()
{
    helpers_.start(thread_count(options_.threads, kMaxThreads) - 1, [this] { work(); });
}

/// Takes the next job; false at the end. An error belongs to the job.
bool Converter::take(Workspace& w)
{
    const std::lock_guard lock{plan_mutex_};
    if (stopped_) {
        return false;
    }
    auto next = plan_.next(w.job);
    if (!next) {
        w.error = std::move(next).error();
        stopped_ = true;
        return true;
    }
    return next.value();
}

void Converter::work()
{
    auto w = std::make_unique<Workspace>();
    while (take(*w)) {
        w->offload = can_offload(w->job);
        if (w->error && w->job.kind == ConvertJob::Kind::data && !w->offload) {
            w->error = read(*w);
            if (w->error) {
                split(*w);
            }
        }
        const u64 number = w->job.number;
        w = finished_.put(number, std::move(w), [this](Workspace& next) { finish(next); });
        w->error = base::ok();
    }
}

/// What is done with each job in its turn.
void Converter::finish(Workspace& w)
{
    if (!result_) {
        return;
    }
    if (!helping_ && w.job.kind == ConvertJob::Kind::data) {
        helping_ = true;
        start_helpers();
    }
    result_ = w.error ? write(w) : std::move(w.error);
    stopped_ = stopped_ || !result_;
}

Status Converter::read(Workspace& w)
{
    w.bytes.resize(w.job.length);
    std::span<u8> into{w.bytes};
    for (const Piece& piece : w.job.pieces) {
        std::unique_lock lock{plan_mutex_, std::defer_lock};
        if (is_read_alone(piece)) {
            lock.lock();
        }
        const std::span<u8> part = into.first(piece.extent.length);
        if (auto done = read_piece(w, piece, part); !done) {
            return std::move(done).error().in("error while reading at byte " +
                                              std::to_string(piece.offset));
        }
        into = into.subspan(part.size());
    }
    return base::ok();
}

Status Converter::read_piece(Workspace& w, const Piece& piece, std::span<u8> into)
{
    auto done = img::read_piece(w.reader, piece, into);
    return done || !options_.salvage ? std::move(done) : salvage(w, piece, into);
}

/// Reads sector by sector; what cannot be read is zero.
Status Converter::salvage(Workspace& w, const Piece& piece, std::span<u8> into)
{
    for (u64 done = 0; done < into.size();) {
        const u64 n = std::min<u64>(into.size() - done, 512 - (piece.offset + done) % 512);
        Extent extent = piece.extent;
        extent.at.bytes += done;
        extent.sealing.position += done;
        const auto part = into.subspan(done, n);
        const u64 at = piece.offset + done;
        auto read = piece.through != nullptr ? piece.through->read(at, part)
                                             : w.reader.read(*piece.image, extent, at, part);
        if (!read) {
            const std::lock_guard lock{salvage_mutex_};
            options_.salvage(at, read.error());
            std::ranges::fill(part, u8{0});
        }
        done += n;
    }
    return base::ok();
}

/// Cuts what was read into runs of granules that are all data or all zero, or into packed blocks.
void Converter::split(Workspace& w)
{
    using enum Workspace::Run::Kind;
    w.runs.clear();
    w.packed.clear();
    const std::span<const u8> bytes{w.bytes};
    for (u64 begin = 0; begin < bytes.size();) {
        const u64 edge = rules_.granule - (w.job.at + begin) % rules_.granule;
        const u64 length = std::min<u64>(bytes.size() - begin, edge);
        const bool zero = !rules_.keep_zeroes && is_zero(bytes.subspan(begin, length));
        Workspace::Run run{
            .kind = zero ? Workspace::Run::Kind::zero : data, .begin = begin, .length = length};
        if (packing_ && !zero) {
            pack(w, run);
        }
        begin += length;
        if (!w.runs.empty() && run.kind != packed && w.runs.back().kind == run.kind) {
            w.runs.back().length += length;
        } else {
            w.runs.push_back(run);
        }
    }
    if (!packing_) {
        join(w);
    }
}

/// Zeroes that are too few to be left out become part of the data around them.
void Converter::join(Workspace& w) const
{
    if (options_.sparse_size <= rules_.granule || w.runs.size() < 3) {
        return;
    }
    using enum Workspace::Run::Kind;
    std::vector<Workspace::Run> joined{w.runs.front()};
    for (std::size_t i = 1; i < w.runs.size(); ++i) {
        const Workspace::Run& run = w.runs[i];
        const bool between = joined.back().kind == data && i + 1 < w.runs.size();
        const bool few = run.kind == zero && between && run.length < options_.sparse_size;
        if (joined.back().kind == data && (few || run.kind == data)) {
            joined.back().length += run.length;
        } else {
            joined.push_back(run);
        }
    }
    w.runs = std::move(joined);
}

/// Packs a block, unless it is not whole (where sources meet that do not end with a block) or does
/// not become smaller.
void Converter::pack(Workspace& w, Workspace::Run& run)
{
    const u64 block = packing_->block_size;
    const u64 at = w.job.at + run.begin;
    const bool last = at + run.length == target_.size();
    if (at % block != 0 || (run.length < block && !last)) {
        return;
    }
    std::span<const u8> whole = std::span<const u8>{w.bytes}.subspan(run.begin, run.length);
    std::vector<u8> padded;
    if (run.length < block) {
        padded.assign(block, 0);
        std::ranges::copy(whole, padded.begin());
        whole = padded;
    }
    if (!w.packer) {
        w.packer = std::make_unique<Packer>(packing_->codec);
    }
    const std::size_t begin = w.packed.size();
    w.packed.resize(begin + (packing_->always ? Packer::bound(block) : block - 1));
    const std::size_t n = w.packer->pack(whole, std::span{w.packed}.subspan(begin));
    w.packed.resize(begin + n);
    if (n != 0) {
        run.kind = Workspace::Run::Kind::packed;
        run.packed_at = begin;
        run.packed_length = n;
    }
}

/// Whether all of the job is plain data of files, or zero.
bool Converter::can_offload(const ConvertJob& job) const
{
    return offload_ && job.kind == ConvertJob::Kind::data &&
           std::ranges::all_of(job.pieces, [](const Piece& piece) {
               return piece.through == nullptr && piece.extent.kind != Extent::Kind::compressed &&
                      piece.extent.sealing.cipher == nullptr;
           });
}

/// In the job's turn: the host copies it. What it does not is read and written.
Status Converter::offload(Workspace& w)
{
    u64 at = w.job.at;
    for (const Piece& piece : std::exchange(w.job.pieces, {})) {
        const u64 length = piece.extent.length;
        const bool is_data = piece.extent.kind == Extent::Kind::data;
        const u64 copied = offload_ && is_data ? copy_by_host(piece, at) : 0;
        offload_ = offload_ && (copied != 0 || !is_data); // else neither would the next
        if (copied < length) {
            Piece rest = piece;
            rest.extent.at.bytes += copied;
            rest.extent.length -= copied;
            rest.offset += copied;
            w.job = {.at = at + copied, .length = length - copied, .pieces = {rest}};
            auto done = read(w);
            if (done) {
                split(w);
                done = write_runs(w);
            }
            if (!done) {
                return done;
            }
        }
        at += length;
    }
    return base::ok();
}

u64 Converter::copy_by_host(const Piece& piece, u64 at)
{
    Image& target = *target_.layers().front().image;
    const u64 length = piece.extent.length;
    auto place = target.place(GuestOffset{at}, length);
    if (!place || place.value().fresh || place.value().length < length) {
        return 0;
    }
    if (options_.throttle) {
        options_.throttle(length);
    }
    return FileSource::copy_by_host(file_of(piece), piece.extent.at, target.file(),
                                    place.value().at, length);
}

Status Converter::write_runs(Workspace& w)
{
    Status done = base::ok();
    for (auto run = w.runs.begin(); done && run != w.runs.end(); ++run) {
        done = write_run(w, *run);
    }
    return done;
}

Status Converter::write(Workspace& w)
{
    const u64 end = w.job.at + w.job.length;
    Status done = base::ok();
    if (w.job.kind == ConvertJob::Kind::zero) {
        done = write_zeroes(w.job.at, w.job.length);
    } else if (w.job.kind == ConvertJob::Kind::data) {
        done = w.offload ? offload(w) : write_runs(w);
    }
    if (done && options_.progress && !options_.progress(end, plan_.total())) {
        return fail(Errc::invalid_argument, "interrupted");
    }
    return done;
}

Status Converter::write_run(Workspace& w, const Workspace::Run& run)
{
    const u64 at = w.job.at + run.begin;
    if (run.kind == Workspace::Run::Kind::zero) {
        return write_zeroes(at, run.length);
    }
    if (options_.throttle) {
        options_.throttle(run.length);
    }
    auto done =
        run.kind == Workspace::Run::Kind::packed
            ? target_.layers().front().image->write_packed(
                  GuestOffset{at}, std::span{w.packed}.subspan(run.packed_at, run.packed_length))
            : target_.write(at, std::span{w.bytes}.subspan(run.begin, run.length));
    return done ? std::move(done)
                : Status{std::move(done).error().in("error while writing at byte " +
                                                    std::to_string(at))};
}

Status Converter::write_zeroes(u64 at, u64 length)
{
    if (options_.target_is_zero && !options_.target_has_backing) {
        return base::ok();
    }
    // Behind the end of its backing file a new image reads as zero.
    if (options_.target_has_backing && target_.layers().size() > 1) {
        const u64 end = target_.layers()[1].image->size();
        length = at >= end ? 0 : std::min(length, end - at);
    }
    if (length == 0) {
        return base::ok();
    }
    return options_.own_zeroes ? write_own_zeroes(at, length) : target_.write_zeroes(at, length);
}

/// Zeroes of the target's own, unless without a backing file they would take storage.
Status Converter::write_own_zeroes(u64 at, u64 length)
{
    if (target_.layers().size() > 1) {
        return target_.write_own_zeroes(at, length);
    }
    Image& image = *target_.layers().front().image;
    while (length != 0) {
        auto placed = image.place_own_zeroes(GuestOffset{at}, length);
        if (!placed) {
            return std::move(placed).error();
        }
        if (placed.value() == 0) {
            return target_.write_zeroes(at, length);
        }
        at += placed.value();
        length -= placed.value();
    }
    return base::ok();
}

Status Converter::run()
{
    work();
    helpers_.join(); // waits for them
    return std::move(result_);
}

} // namespace

Status convert(const std::vector<std::unique_ptr<ChainDisk>>& sources, ChainDisk& target,
               const ConvertOptions& options)
{
    return Converter{sources, target, options}.run();
}

} // namespace img
