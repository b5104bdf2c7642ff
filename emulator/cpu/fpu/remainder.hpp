// FPREM and FPREM1: the exact remainder, found in steps of at most 63 quotient bits.
//
// Source: Intel SDM volume 2, FPREM, FPREM1; IEEE 754-1985, 5.1 (FPREM1).
#pragma once

#include "emulator/cpu/fpu/context.hpp"

namespace emu::fpu {

struct Remainder {
    F80 value;
    u8 quotient = 0;         // the three lowest bits, when complete
    bool is_partial = false; // the exponent was reduced, but the program must go on (C2)
};

Remainder remainder_truncating(F80 a, F80 b, Context& ctx); // FPREM
Remainder remainder_nearest(F80 a, F80 b, Context& ctx);    // FPREM1

} // namespace emu::fpu
