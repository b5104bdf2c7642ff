// FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1 as functions on numbers.
//
// All integer arithmetic, with series carried to about 2^-100: the results are the same on every
// host, and rounded correctly but for arguments whose result lies within about 2^-100 of a rounding
// boundary. Precision control does not apply; rounding control does (Intel SDM volume 1, 8.3.9 and
// 8.3.10). Arguments of the trigonometric functions are reduced with the 66-bit pi of 8.3.8, as
// every x87 since the 387 does.
//
// Source: Intel SDM volume 1, 8.3.7 to 8.3.11; volume 2, the instructions' pages.
#pragma once

#include "emulator/cpu/fpu/context.hpp"

namespace emu::fpu {

/// True when FSIN, FCOS, FSINCOS and FPTAN refuse the operand (C2): |a| >= 2^63, but not infinite.
bool is_out_of_trigonometric_range(F80 a);

// For arguments in range, and NaNs and infinities.
F80 sine(F80 a, Context& ctx);
F80 cosine(F80 a, Context& ctx);
F80 tangent(F80 a, Context& ctx);

/// The angle of the point (x, y), in [-pi, pi].
F80 arctangent(F80 y, F80 x, Context& ctx);

/// 2^a - 1. Beyond [-1, 1] the SDM leaves the result undefined: `a` is returned.
F80 exp2_minus_1(F80 a, Context& ctx);

/// y * log2(x)
F80 y_log2(F80 y, F80 x, Context& ctx);

/// y * log2(1 + x). Where the SDM leaves it undefined (|x| above 1 - sqrt(1/2)) this is still the
/// logarithm, and for x of -1 and below it is x, as on tested hosts.
F80 y_log2_plus_1(F80 y, F80 x, Context& ctx);

} // namespace emu::fpu
