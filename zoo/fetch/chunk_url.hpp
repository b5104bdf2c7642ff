// The URL template of a chunk list: one {n}, {n:0Wd} or {n:0Wx} stands for the chunk's number.
#pragma once

#include "base/types.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace zoo {

/// The URL of chunk `n`, or nothing when the template is malformed.
std::optional<std::string> expand_chunk_url(std::string_view url, base::u64 n);

} // namespace zoo
