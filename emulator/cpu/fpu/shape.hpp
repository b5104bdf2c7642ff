// FRNDINT, FSCALE and FXTRACT: operations on the exponent and the place of the binary point.
//
// Source: Intel SDM volume 2, FRNDINT, FSCALE (table "FSCALE Results"), FXTRACT.
#pragma once

#include "emulator/cpu/fpu/context.hpp"

namespace emu::fpu {

/// `a` rounded to an integral value in the current rounding mode.
F80 round_to_integral(F80 a, Context& ctx);

/// a * 2^trunc(scale). Always in extended precision, whatever the precision control says.
F80 scale(F80 a, F80 scale, Context& ctx);

struct Extracted {
    F80 exponent;    // unbiased, as a number
    F80 significand; // with the sign of the operand and an exponent of zero
};
Extracted extract(F80 a, Context& ctx);

} // namespace emu::fpu
