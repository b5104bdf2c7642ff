// MMX: the registers, which are the x87's, and the packed integer instructions.
//
// Source: Intel SDM volume 1, chapter 9; volume 3, 12.2 "The MMX State and MMX Register Aliasing",
// table 12-1. Modelled: the instructions of the Pentium MMX and Pentium II. Not modelled: those
// that came with SSE (PAVGB, PMAXSW, PSADBW, PSHUFW and so on).
#pragma once

#include "emulator/cpu/fpu/x87_state.hpp"

namespace emu::fpu {

/// What every MMX instruction but EMMS does to the x87 state: all registers in use, TOP = 0.
constexpr void begin_mmx(X87State& s)
{
    s.top = 0;
    s.empty = 0;
}

/// EMMS: all registers empty.
constexpr void emms(X87State& s)
{
    s.top = 0;
    s.empty = 0xff;
}

/// MMn is the significand of Rn, whatever TOP was before.
constexpr u64 mmx_register(const X87State& s, unsigned n)
{
    return s.regs[n & 7].significand;
}

/// A write also sets the sign and exponent to ones, which makes the x87 see a NaN or infinity.
constexpr void set_mmx_register(X87State& s, unsigned n, u64 value)
{
    s.regs[n & 7] = {value, 0xffff};
}

/// destination = operation(destination, source)
using MmxOperation = u64 (*)(u64 destination, u64 source);

/// The instruction 0F `opcode` of the form "op mm, mm/m64", shifts by register included; null when
/// there is none. 6E, 6F, 71 to 73, 77, 7E and 7F are not of this form.
MmxOperation mmx_operation(u8 opcode);

/// The shift by an immediate 0F `opcode` /`reg` ib (71 to 73); the source is the immediate. Null
/// when there is none.
MmxOperation mmx_shift_by_immediate(u8 opcode, unsigned reg);

} // namespace emu::fpu
