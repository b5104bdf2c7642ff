// The numbers that monitor commands take: "$eax+4", "0x100|7", "'A'".
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <functional>
#include <optional>
#include <string_view>

namespace emu::debug {

using base::u64;

/// The value of a register by its name without the dollar sign; nothing when there is none.
using RegisterLookup = std::function<std::optional<u64>(std::string_view name)>;

/// All of `text` as one expression of 64-bit numbers. Operators as in QEMU's monitor, the weakest
/// first: + and -, then & | ^, then * / %, then unary + - ~ and parentheses. Numbers are decimal,
/// 0x hexadecimal or 0 octal. The error is what is wrong, to be shown as it is.
base::Result<u64> evaluate(std::string_view text, const RegisterLookup& registers);

} // namespace emu::debug
