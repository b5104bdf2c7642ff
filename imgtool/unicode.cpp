#include "imgtool/unicode.hpp"

#include "base/endian.hpp"

#include <algorithm>

namespace img {

using base::u16;
using base::u32;
using base::u8;

void append_utf8(std::string& text, u32 point)
{
    const auto put = [&text](u32 byte) { text += static_cast<char>(byte); };
    if (point < 0x80) {
        put(point);
    } else if (point < 0x800) {
        put(0xc0 | point >> 6);
        put(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        put(0xe0 | point >> 12);
        put(0x80 | (point >> 6 & 0x3f));
        put(0x80 | (point & 0x3f));
    } else {
        put(0xf0 | point >> 18);
        put(0x80 | (point >> 12 & 0x3f));
        put(0x80 | (point >> 6 & 0x3f));
        put(0x80 | (point & 0x3f));
    }
}

std::string to_utf8(std::span<const u16> units)
{
    std::string text;
    for (std::size_t i = 0; i < units.size(); ++i) {
        const u32 c = units[i];
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

namespace {

std::string utf8_of(std::span<const u8> bytes, u16 (*load)(std::span<const u8>, std::size_t))
{
    std::vector<u16> units;
    for (std::size_t i = 0; i + 2 <= bytes.size() && load(bytes, i) != 0; i += 2) {
        units.push_back(load(bytes, i));
    }
    return to_utf8(units);
}

} // namespace

std::string utf8_of_le(std::span<const u8> bytes)
{
    return utf8_of(bytes, base::load_le<u16>);
}

std::string utf8_of_be(std::span<const u8> bytes)
{
    return utf8_of(bytes, base::load_be<u16>);
}

std::vector<u16> to_utf16(std::string_view text)
{
    std::vector<u16> units;
    for (std::size_t i = 0; i < text.size();) {
        const u32 lead = static_cast<u8>(text[i]);
        const std::size_t more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
        u32 code = more == 0 ? lead : lead & (0x3fu >> more);
        bool good = lead < 0x80 || (lead >= 0xc2 && lead < 0xf5);
        for (std::size_t k = 1; k <= more && good; ++k) {
            good = i + k < text.size() && (static_cast<u8>(text[i + k]) & 0xc0) == 0x80;
            code = good ? code << 6 | (static_cast<u8>(text[i + k]) & 0x3f) : code;
        }
        i += good ? more + 1 : 1;
        code = good ? code : 0xfffd;
        if (code >= 0x10000) {
            units.push_back(static_cast<u16>(0xd800 + ((code - 0x10000) >> 10)));
            units.push_back(static_cast<u16>(0xdc00 + (code & 0x3ff)));
        } else {
            units.push_back(static_cast<u16>(code));
        }
    }
    return units;
}

} // namespace img
