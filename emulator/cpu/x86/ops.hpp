// The lists of helpers that helper_table.cpp joins; one per file ops_*.cpp.
#pragma once

#include "emulator/cpu/x86/helpers.hpp"

namespace emu::x86 {

std::span<const HelperInfo> arith_helpers();
std::span<const HelperInfo> string_helpers();
std::span<const HelperInfo> fpu_helpers();
std::span<const HelperInfo> fpu_memory_helpers();
std::span<const HelperInfo> mmx_helpers();

} // namespace emu::x86
