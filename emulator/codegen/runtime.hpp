// What a back end calls outside generated code; filled in by accel/ for each guest.
#pragma once

#include "emulator/ir/exec_state.hpp"

#include <span>

namespace emu::codegen {

using base::u32;
using base::u64;
using base::u8;

using HelperFunction = u32 (*)(ir::ExecState& state, u32 a, u32 b, u32 c);

struct Helper {
    HelperFunction function;
    bool pure;         // touches nothing but its arguments
    bool writes_flags; // may change the flag record
};

/// What the slow path of a memory access found.
enum class Outcome : u32 {
    done,      // for `write_follows`: and the TLB entry now allows the store
    fault,     // recorded in the guest's state; the instruction must be left
    interpret, // a device or translated code is touched: run this instruction in the interpreter
};

struct Runtime {
    /// Accesses that the inline TLB check does not allow, page crossings included.
    /// `write_follows`: the same bytes will be stored to, so write permission is checked now.
    Outcome (*load)(ir::ExecState& state, u32 linear, unsigned size, bool user, bool write_follows,
                    u64& value);
    Outcome (*store)(ir::ExecState& state, u32 linear, unsigned size, bool user, u64 value);

    /// False: a fault is recorded.
    bool (*check_segment)(ir::ExecState& state, unsigned segment, u32 offset, unsigned size,
                          bool write);

    std::span<const Helper> helpers;

    /// The interpreter ignores the TLB: breakpoints or alignment are checked on every access.
    bool every_access_slow = false;
};

} // namespace emu::codegen
