#include "imgtool/source/growing_source.hpp"

#include <algorithm>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kSectorSize = 512; // bytes

} // namespace

Status GrowingSource::check_room(FileOffset at, u64 length) const
{
    const u64 most = below_.size();
    return at.bytes <= most && length <= most - at.bytes
               ? base::ok()
               : Status{fail(Errc::io, "No space left on device")};
}

/// Zeroes what comes to light when the file ends at `end`.
Status GrowingSource::grow_to(u64 end)
{
    if (end <= end_) {
        return base::ok();
    }
    if (auto done = below_.zero(FileOffset{end_}, end - end_); !done) {
        return done;
    }
    end_ = end;
    return base::ok();
}

Status GrowingSource::read(FileOffset at, std::span<u8> into)
{
    if (at.bytes > end_ || into.size() > end_ - at.bytes) {
        return fail(Errc::io, "read past the end of the file");
    }
    return below_.read(at, into);
}

Status GrowingSource::write(FileOffset at, std::span<const u8> from)
{
    if (auto good = check_room(at, from.size()); !good) {
        return good;
    }
    if (auto done = grow_to(at.bytes); !done) {
        return done;
    }
    if (auto done = below_.write(at, from); !done) {
        return done;
    }
    end_ = std::max<u64>(end_, at.bytes + from.size());
    return base::ok();
}

Status GrowingSource::zero(FileOffset at, u64 length)
{
    if (auto good = check_room(at, length); !good) {
        return good;
    }
    const u64 inside = at.bytes < end_ ? std::min(length, end_ - at.bytes) : 0;
    if (inside != 0) {
        if (auto done = below_.zero(at, inside); !done) {
            return done;
        }
    }
    return grow_to(at.bytes + length);
}

Status GrowingSource::resize(u64 size)
{
    if (size <= end_) {
        end_ = size;
        return base::ok();
    }
    if (auto good = check_room(FileOffset{0}, size); !good) {
        return good;
    }
    return grow_to(size);
}

Status GrowingSource::reserve(FileOffset at, u64 length)
{
    if (auto good = check_room(at, length); !good) {
        return good;
    }
    if (auto done = grow_to(at.bytes + length); !done) {
        return done;
    }
    return below_.reserve(at, length);
}

Result<ByteSource::Run> GrowingSource::run_at(FileOffset at)
{
    auto run = below_.run_at(at);
    if (run) {
        run.value().length = std::min(run.value().length, end_ - at.bytes);
    }
    return run;
}

Status make_in_empty(ByteSource& file, const std::function<Status(ByteSource& empty)>& make)
{
    if (!file.fixed_size()) {
        return make(file);
    }
    GrowingSource empty{file, 0};
    // From now on what was there is no image any more, even if making the new one is cut short.
    const u64 first = std::min(kSectorSize, file.size());
    if (auto done = file.zero(FileOffset{0}, first); !done) {
        return done;
    }
    if (auto done = make(empty); !done) {
        return done;
    }
    // A text that is all of an image ends where zeroes begin.
    const u64 end = empty.size();
    const u64 padded = (end / kSectorSize + 2) * kSectorSize;
    return empty.resize(std::min(padded, std::max(file.size(), end)));
}

} // namespace img
