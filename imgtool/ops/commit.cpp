#include "imgtool/ops/commit.hpp"

#include <algorithm>
#include <vector>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kPiece = u64{512} << 10; // bytes

class Committer {
public:
    Committer(ChainDisk& overlays, ChainDisk& target, const CommitOptions& options)
        : overlays_{overlays}, target_{target}, options_{options}, buffer_(kPiece)
    {}

    Status run()
    {
        const u64 size = overlays_.size();
        const u64 old_size = target_.size();
        if (old_size < size) {
            Image& image = *target_.layers().front().image;
            if (auto grown = image.resize(size, Preallocate::none); !grown) {
                return std::move(grown).error().in("Could not resize the base image");
            }
        }
        for (u64 offset = 0; offset < size;) {
            auto moved = step(offset, size);
            if (!moved) {
                return std::move(moved).error();
            }
            offset += moved.value().length;
            if (options_.progress && !options_.progress(offset, size, moved.value().copied)) {
                (void)target_.flush();
                return fail(Errc::invalid_argument, "interrupted");
            }
        }
        return target_.flush();
    }

private:
    struct Moved {
        u64 length; // bytes of the disk that are dealt with
        u64 copied; // of which these were copied
    };

    Result<Moved> step(u64 offset, u64 size)
    {
        auto found = overlays_.find(offset, size - offset, MapDetail::exact);
        if (!found) {
            return std::move(found).error();
        }
        const Extent& extent = found.value().extent;
        const u64 length = extent.length;
        if (extent.kind == Extent::Kind::backing &&
            found.value().depth + 1 == overlays_.layers().size()) {
            return Moved{length, 0}; // it is the target's already
        }
        if (extent.kind == Extent::Kind::zero || extent.kind == Extent::Kind::backing) {
            auto done = target_.write_zeroes(offset, length);
            return done ? Result<Moved>{Moved{length, 0}} : Result<Moved>{std::move(done).error()};
        }
        // To where a piece ends, so that the next ones are aligned.
        const u64 n = std::min(length, kPiece - offset % kPiece);
        const std::span<u8> bytes = std::span{buffer_}.first(n);
        if (auto done = overlays_.read(offset, bytes); !done) {
            return std::move(done).error();
        }
        if (auto done = target_.write(offset, bytes); !done) {
            return std::move(done).error();
        }
        return Moved{n, n};
    }

    ChainDisk& overlays_;
    ChainDisk& target_;
    const CommitOptions& options_;
    std::vector<u8> buffer_;
};

} // namespace

Status commit(ChainDisk& overlays, ChainDisk& target, const CommitOptions& options)
{
    return Committer{overlays, target, options}.run();
}

} // namespace img
