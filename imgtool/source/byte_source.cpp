#include "imgtool/source/byte_source.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace img {

Status read_padded(ByteSource& file, FileOffset at, std::span<u8> into)
{
    const u64 size = file.size();
    const u64 there = at.bytes >= size ? 0 : std::min<u64>(into.size(), size - at.bytes);
    std::fill(into.begin() + static_cast<std::ptrdiff_t>(there), into.end(), u8{0});
    if (there == 0) {
        return base::ok();
    }
    return file.read(at, into.first(there));
}

Status preallocate(ByteSource& file, FileOffset at, u64 length, Preallocate how)
{
    if (how == Preallocate::none || how == Preallocate::metadata || length == 0) {
        return base::ok();
    }
    if (how == Preallocate::reserve) {
        auto done = file.reserve(at, length);
        return done ? std::move(done)
                    : Status{std::move(done).error().in("Could not preallocate new data")};
    }
    constexpr u64 kPiece = u64{1} << 20;
    const std::vector<u8> zeroes(std::min(length, kPiece));
    while (length != 0) {
        const u64 n = std::min(length, kPiece);
        if (auto done = file.write(at, std::span{zeroes}.first(n)); !done) {
            return std::move(done).error().in("Could not write zeros for preallocation");
        }
        at.bytes += n;
        length -= n;
    }
    return base::ok();
}

Status resize_to(ByteSource& file, u64 size, Preallocate how)
{
    const u64 old = file.size();
    auto done = file.resize(size);
    if (done && size > old && file.size() == size) {
        done = preallocate(file, FileOffset{old}, size - old, how);
    }
    if (!done && size > old) {
        (void)file.resize(old); // the first error is the one to tell
    }
    return done;
}

Status make_raw(ByteSource& file, u64 size, Preallocate how)
{
    if (auto done = preallocate(file, FileOffset{0}, size, how); !done) {
        return done;
    }
    // A first block that is there lets programs find out the file's alignment for direct I/O.
    constexpr std::array<u8, 4096> kZeroes{};
    const u64 first = std::min<u64>(size, kZeroes.size());
    if (auto done = file.write(FileOffset{0}, std::span{kZeroes}.first(first)); !done) {
        return done;
    }
    return file.resize(size);
}

Status make_zero_raw(ByteSource& file, u64 size, Preallocate how)
{
    auto done = make_raw(file, size, how);
    return done && file.fixed_size() ? file.zero(FileOffset{0}, size) : std::move(done);
}

} // namespace img
