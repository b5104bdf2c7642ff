#include "imgtool/source/aligned_source.hpp"

#include <algorithm>

namespace img {

namespace {

using base::Errc;
using base::fail;

} // namespace

Status AlignedSource::check_range(FileOffset at, u64 length) const
{
    return at.bytes <= size() && length <= size() - at.bytes
               ? base::ok()
               : Status{fail(Errc::io, "access past the end of the file")};
}

Status AlignedSource::each(FileOffset at, u64 length, const Part& part, const Whole& whole)
{
    if (auto good = check_range(at, length); !good) {
        return good;
    }
    for (u64 done = 0; done < length;) {
        const FileOffset now{at.bytes + done};
        const u64 within = now.bytes & (block_ - 1);
        const u64 left = length - done;
        if (within == 0 && left >= block_) {
            const u64 n = left & ~(block_ - 1);
            if (auto good = whole(now, done, n); !good) {
                return good;
            }
            done += n;
            continue;
        }
        const u64 n = std::min(left, block_ - within);
        const FileOffset block{now.bytes - within};
        if (auto good = below_->read(block, buffer_); !good) {
            return good;
        }
        if (auto good = part(block, within, done, n); !good) {
            return good;
        }
        done += n;
    }
    return base::ok();
}

Status AlignedSource::read(FileOffset at, std::span<u8> into)
{
    return each(
        at, into.size(),
        [&](FileOffset, u64 within, u64 done, u64 n) {
            std::ranges::copy(std::span{buffer_}.subspan(within, n), into.subspan(done, n).begin());
            return base::ok();
        },
        [&](FileOffset from, u64 done, u64 n) {
            return below_->read(from, into.subspan(done, n));
        });
}

Status AlignedSource::write(FileOffset at, std::span<const u8> from)
{
    return each(
        at, from.size(),
        [&](FileOffset block, u64 within, u64 done, u64 n) {
            std::ranges::copy(from.subspan(done, n), std::span{buffer_}.subspan(within, n).begin());
            return below_->write(block, buffer_);
        },
        [&](FileOffset to, u64 done, u64 n) { return below_->write(to, from.subspan(done, n)); });
}

Status AlignedSource::zero(FileOffset at, u64 length)
{
    return each(
        at, length,
        [&](FileOffset block, u64 within, u64, u64 n) {
            std::ranges::fill(std::span{buffer_}.subspan(within, n), u8{0});
            return below_->write(block, buffer_);
        },
        [&](FileOffset to, u64, u64 n) { return below_->zero(to, n); });
}

Result<ByteSource::Run> AlignedSource::run_at(FileOffset at)
{
    const u64 within = at.bytes & (block_ - 1);
    auto run = below_->run_at(FileOffset{at.bytes - within});
    if (!run) {
        return run;
    }
    if (run.value().length <= within) { // it says something of parts of a block
        return Run{.data = true, .length = block_ - within};
    }
    run.value().length -= within;
    return run;
}

} // namespace img
