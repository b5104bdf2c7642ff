// Internal to the x87 unit: comparison of ST(0) with a memory operand.
#pragma once

#include "emulator/cpu/fpu/x87.hpp"

namespace emu::fpu {

void compare_with_memory(X87State& s, Widened operand, unsigned pops);

} // namespace emu::fpu
