// Ordered and unordered comparison.
//
// Source: Intel SDM volume 2, FCOM and FUCOM; volume 1, 8.3.6.1.
#pragma once

#include "emulator/cpu/fpu/context.hpp"

namespace emu::fpu {

enum class Relation { greater, less, equal, unordered };

/// FCOM: any NaN is invalid.
Relation compare_ordered(F80 a, F80 b, Context& ctx);
/// FUCOM: only signaling NaNs and unsupported encodings are invalid.
Relation compare_unordered(F80 a, F80 b, Context& ctx);

} // namespace emu::fpu
