// What comes before and after every x87 and MMX instruction.
#pragma once

#include "emulator/cpu/x86/fpu_args.hpp"
#include "emulator/cpu/x86/model.hpp"
#include "emulator/cpu/x86/system.hpp"

namespace emu::x86 {

/// CR0.EM or CR0.TS: #NM recorded, and false (SDM vol. 3, 2.5, table 2-2).
bool is_fpu_available(State& state);

/// An unmasked exception of an earlier instruction: #MF, or FERR# as CR0.NE says (SDM vol. 3,
/// 2.5, NE; vol. 1, D.2.1). False: nothing more of this instruction may happen.
bool no_fpu_error_pending(State& state);

/// After an instruction: drives FERR# as the error summary says, where the board handles errors.
void update_ferr(State& state);

/// FOP, FCS:FIP of a non-control instruction (SDM vol. 1, 8.1.8).
void record_instruction(State& state, const FpuArgs& args);
/// FDS:FDP too.
void record_operand(State& state, const FpuArgs& args, u32 offset);

} // namespace emu::x86
