// The list of formats.
#pragma once

#include "imgtool/format.hpp"

#include <span>
#include <string_view>

namespace img {

/// All drivers, in probing order; raw, which takes anything, is the last.
std::span<const FormatDriver* const> all_formats();

/// The driver of that name, or null.
const FormatDriver* find_format(std::string_view name);

/// How many bytes of a file probe_format() wants to see.
inline constexpr std::size_t kProbeSize = 512;

/// The surest driver for a file of that name that begins with `start`.
const FormatDriver& probe_format(std::span<const u8> start, std::string_view name);

} // namespace img
