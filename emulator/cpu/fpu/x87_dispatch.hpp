// The opcode map of D8 to DF: from an opcode and a ModRM byte to the functions of x87.hpp.
//
// For a register form call execute_register(). For a memory form ask memory_form() for size and
// direction; then either read that many bytes and call execute_load(), or call prepare_store(),
// write the bytes when `status.allowed`, and call finish_store(). Before all of these the caller
// checks CR0.EM and CR0.TS (#NM), has_conditional_move_class() against its model (#UD), and, if
// is_waiting(), exception_pending() (#MF); afterwards it records FIP, FDP and FOP if
// records_pointers().
//
// Source: Intel SDM volume 2, appendix A.5 "Escape Opcode Instructions", tables;
// volume 1, 8.3.12 "Waiting vs. Non-waiting Instructions", 8.1.8 and 8.1.9. The reserved codes
// that all x87s execute as aliases (FCOM2, FCOMP3, FXCH4, FCOMP5, FXCH7, FSTP1, FSTP8, FSTP9,
// FFREEP) are included.
#pragma once

#include "emulator/cpu/fpu/x87.hpp"
#include "emulator/cpu/fpu/x87_image.hpp"

namespace emu::fpu {

/// The longest memory operand: FSAVE in 32-bit mode.
constexpr std::size_t kLongestOperand = 108; // bytes

enum class Direction : u8 { undefined, load, store }; // undefined: #UD

struct MemoryForm {
    Direction direction = Direction::undefined;
    u8 size = 0; // bytes
};

/// `escape` is the opcode less D8 (0 to 7), `reg` bits 5..3 of ModRM. `format` matters for FLDENV,
/// FSTENV, FRSTOR and FSAVE only.
MemoryForm memory_form(unsigned escape, unsigned reg, ImageFormat format);

/// `operand` has the size that memory_form() gave.
void execute_load(X87State& s, unsigned escape, unsigned reg, ImageFormat format,
                  std::span<const u8> operand);

/// Writes the operand's bytes and changes nothing in `s`.
StoreStatus prepare_store(const X87State& s, unsigned escape, unsigned reg, ImageFormat format,
                          std::span<u8> operand);
void finish_store(X87State& s, unsigned escape, unsigned reg, const StoreStatus& status);

struct RegisterOutcome {
    bool is_defined = true;     // false: #UD, nothing was done
    bool writes_eflags = false; // ZF, PF and CF are in `value`; OF, SF and AF become 0
    bool writes_ax = false;     // the status word is in `value`
    u32 value = 0;
};

/// `modrm` is C0 to FF; `current_eflags` decides FCMOVcc.
RegisterOutcome execute_register(X87State& s, unsigned escape, u8 modrm, u32 current_eflags);

/// False for the FN... instructions, which run with an exception pending.
bool is_waiting(unsigned escape, u8 modrm);

/// False for control instructions, which leave FIP, FDP and FOP alone.
bool records_pointers(unsigned escape, u8 modrm);

/// FCMOVcc, FCOMI, FCOMIP, FUCOMI, FUCOMIP: #UD where CPUID lacks CMOV.
constexpr bool has_conditional_move_class(unsigned escape, u8 modrm)
{
    const unsigned reg = (modrm >> 3) & 7;
    if (modrm < 0xc0) {
        return false;
    }
    return ((escape == 2 || escape == 3) && reg < 4) ||
           ((escape == 3 || escape == 7) && (reg == 5 || reg == 6));
}

} // namespace emu::fpu
