#include "imgtool/source/byte_source.hpp"

#include <algorithm>
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
        return file.reserve(at, length);
    }
    constexpr u64 kPiece = u64{1} << 20;
    const std::vector<u8> zeroes(std::min(length, kPiece));
    while (length != 0) {
        const u64 n = std::min(length, kPiece);
        if (auto done = file.write(at, std::span{zeroes}.first(n)); !done) {
            return done;
        }
        at.bytes += n;
        length -= n;
    }
    return base::ok();
}

} // namespace img
