#include "imgtool/source/byte_source.hpp"

#include <algorithm>

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

} // namespace img
