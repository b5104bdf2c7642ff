// Page walks, for the TLB and the system core.
#pragma once

#include "emulator/cpu/x86/system.hpp"

namespace emu::x86 {

/// What a page walk found.
struct Mapping {
    u64 physical = 0;      // of the byte asked for; not A20-masked
    bool writable = false; // stores with the same privilege need no further walk: R/W and dirty
    bool global = false;
    bool large = false;
};

/// Walks for an access, setting accessed and dirty bits; a page fault is recorded on failure.
bool walk(State& state, u32 linear, Access access, bool user, Mapping& mapping);

} // namespace emu::x86
