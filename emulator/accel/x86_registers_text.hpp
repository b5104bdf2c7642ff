// An x86 CPU's registers for monitors: as text, and one by one by name.
#pragma once

#include "emulator/cpu/x86/state.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace emu::accel {

/// `info registers`.
std::string x86_registers_text(const x86::State& state, bool a20);

/// "eax", "ax", "al", "eip", "eflags", "cs", "cs.base", "cs.limit", "cr0"; nothing when there is no
/// such register.
std::optional<base::u64> x86_register_value(const x86::State& state, std::string_view name);

} // namespace emu::accel
