// Numbers on the command line.
#pragma once

#include "base/types.hpp"

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

namespace img::cli {

/// A size with an optional suffix, from min to max bytes; nothing when it is none, which is
/// reported with `what` it should be.
std::optional<base::u64>
parse_bytes(const char* text, std::string_view what, base::u64 min = 0,
            base::u64 max = static_cast<base::u64>(std::numeric_limits<std::int64_t>::max()));

/// A plain number up to `max`, decimal, hexadecimal or octal; reports nothing.
std::optional<base::u64> parse_count(const char* text, base::u64 max);

} // namespace img::cli
