// The functions that translated x86 code calls for what is too long or too rare to inline.
//
// Every helper has the shape u32 f(State&, u32 a, u32 b, u32 c). One that raises a fault records it
// with raise_fault() and returns 0; the caller leaves the block and the dispatcher delivers it,
// with all registers as they were when the instruction began: a helper commits nothing before its
// last possible fault.
#pragma once

#include "emulator/cpu/x86/state.hpp"

#include <span>
#include <string_view>

namespace emu::x86 {

using HelperFunction = u32 (*)(State& state, u32 a, u32 b, u32 c);

enum HelperFlags : u8 {
    kHelperPure = 1,        // touches nothing but its arguments: no registers are saved for it
    kHelperMayLeave = 2,    // may set leave_request
    kHelperWritesFlags = 4, // may change the flag record
    kHelperReaches = 8,     // may write code or raise an interrupt: a block that goes on polls
};

struct HelperInfo {
    std::string_view name; // in printed IR
    HelperFunction function;
    u8 flags;
};

/// The system core's rows: segments, transfers, interrupts, control registers, ports.
std::span<const HelperInfo> system_helpers();

/// Indexed by the `imm` of a `call` op.
std::span<const HelperInfo> helper_table();

/// The table's index of a helper, by name; known at start-up, terminates on a misspelt name.
u32 helper_index(std::string_view name);

} // namespace emu::x86
