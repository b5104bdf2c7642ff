// UTF-16, as names in images and on disks have it, and UTF-8.
#pragma once

#include "base/types.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace img {

void append_utf8(std::string& text, base::u32 point);

/// Half a surrogate pair becomes U+FFFD.
std::string to_utf8(std::span<const base::u16> units);
/// The same of bytes, little-endian or big-endian, up to the first NUL.
std::string utf8_of_le(std::span<const base::u8> bytes);
std::string utf8_of_be(std::span<const base::u8> bytes);

/// What is no UTF-8 becomes U+FFFD.
std::vector<base::u16> to_utf16(std::string_view text);

} // namespace img
