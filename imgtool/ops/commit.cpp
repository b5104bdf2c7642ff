// One thread finds and reads what the overlays hold, a little ahead of the other, which writes it:
// the first has the overlays to itself, the second the target.
#include "imgtool/ops/commit.hpp"

#include "imgtool/ops/channel.hpp"
#include "imgtool/ops/workers.hpp"

#include <algorithm>
#include <vector>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kPiece = u64{512} << 10; // bytes
constexpr std::size_t kAhead = 4;      // pieces

/// A stretch of the disk.
struct Stretch {
    enum class Kind : u8 { kept, zero, data } kind = Kind::kept;
    u64 offset = 0;
    u64 length = 0;
    std::vector<u8> bytes = {}; // of data
    Status error = base::ok();  // when it could not be read; nothing follows
};

class Committer {
public:
    Committer(ChainDisk& overlays, ChainDisk& target, const CommitOptions& options)
        : overlays_{overlays}, target_{target}, options_{options}
    {}

    Status run()
    {
        const u64 size = overlays_.size();
        if (target_.size() < size) {
            Image& image = *target_.layers().front().image;
            if (auto grown = image.resize(size, Preallocate::none); !grown) {
                return std::move(grown).error().in("Could not resize the base image");
            }
        }
        Workers reader;
        reader.start(1, [this] { read_all(); });
        auto done = write_all();
        stretches_.close();
        reader.join();
        return done ? target_.flush() : std::move(done);
    }

private:
    void read_all()
    {
        const u64 size = overlays_.size();
        for (u64 offset = 0; offset < size;) {
            Stretch next = stretches_.take_spare();
            next.offset = offset;
            next.error = read(next, size);
            offset += next.length;
            const bool failed = !next.error;
            if (!stretches_.push(std::move(next)) || failed) {
                break;
            }
        }
        stretches_.close();
    }

    /// Finds what begins at `next.offset`.
    Status read(Stretch& next, u64 size)
    {
        auto found = overlays_.find(next.offset, size - next.offset, MapDetail::exact);
        if (!found) {
            return std::move(found).error();
        }
        const Extent& extent = found.value().extent;
        next.length = extent.length;
        if (extent.kind == Extent::Kind::backing &&
            found.value().depth + 1 == overlays_.layers().size()) {
            next.kind = Stretch::Kind::kept; // it is the target's already
            return base::ok();
        }
        if (extent.kind == Extent::Kind::zero || extent.kind == Extent::Kind::backing) {
            next.kind = Stretch::Kind::zero;
            return base::ok();
        }
        // To where a piece ends, so that the next ones are aligned.
        next.kind = Stretch::Kind::data;
        next.length = std::min(next.length, kPiece - next.offset % kPiece);
        next.bytes.resize(next.length);
        return overlays_.read(next.offset, next.bytes);
    }

    Status write_all()
    {
        while (auto next = stretches_.pop()) {
            if (!next->error) {
                return std::move(next->error);
            }
            if (auto done = write(*next); !done) {
                return done;
            }
            const u64 copied = next->kind == Stretch::Kind::data ? next->length : 0;
            if (options_.progress &&
                !options_.progress(next->offset + next->length, overlays_.size(), copied)) {
                (void)target_.flush();
                return fail(Errc::invalid_argument, "interrupted");
            }
            stretches_.give_back(std::move(*next));
        }
        return base::ok();
    }

    Status write(const Stretch& next)
    {
        switch (next.kind) {
        case Stretch::Kind::kept:
            return base::ok();
        case Stretch::Kind::zero:
            return target_.write_zeroes(next.offset, next.length);
        case Stretch::Kind::data:
            return target_.write(next.offset, next.bytes);
        }
        return base::ok();
    }

    ChainDisk& overlays_;
    ChainDisk& target_;
    const CommitOptions& options_;
    Channel<Stretch> stretches_{kAhead};
};

} // namespace

Status commit(ChainDisk& overlays, ChainDisk& target, const CommitOptions& options)
{
    return Committer{overlays, target, options}.run();
}

} // namespace img
