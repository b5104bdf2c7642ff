// UTF-16, as names on disks have it, as UTF-8.
#pragma once

#include "base/types.hpp"

#include <span>
#include <string>

namespace img::fs {

inline void append_utf8(std::string& text, base::u32 c)
{
    const auto put = [&text](base::u32 byte) { text += static_cast<char>(byte); };
    if (c < 0x80) {
        put(c);
    } else if (c < 0x800) {
        put(0xc0 | c >> 6);
        put(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        put(0xe0 | c >> 12);
        put(0x80 | (c >> 6 & 0x3f));
        put(0x80 | (c & 0x3f));
    } else {
        put(0xf0 | c >> 18);
        put(0x80 | (c >> 12 & 0x3f));
        put(0x80 | (c >> 6 & 0x3f));
        put(0x80 | (c & 0x3f));
    }
}

/// Half a surrogate pair becomes U+FFFD.
inline std::string to_utf8(std::span<const base::u16> units)
{
    std::string text;
    for (std::size_t i = 0; i < units.size(); ++i) {
        const base::u32 c = units[i];
        const bool high = c >= 0xd800 && c < 0xdc00;
        if (high && i + 1 < units.size() && units[i + 1] >= 0xdc00 && units[i + 1] < 0xe000) {
            append_utf8(text, 0x10000 + ((c - 0xd800) << 10) + (units[i + 1] - 0xdc00U));
            ++i;
        } else {
            append_utf8(text, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
        }
    }
    return text;
}

} // namespace img::fs
