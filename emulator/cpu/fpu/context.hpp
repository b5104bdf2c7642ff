// The x87 control and status word bits, and what one arithmetic operation needs of them.
//
// Source: Intel SDM volume 1, 8.1.3 "x87 FPU Status Register", 8.1.5 "x87 FPU Control Word",
// 8.4 and 8.5 (the exceptions).
#pragma once

#include "emulator/cpu/fpu/f80.hpp"

namespace emu::fpu {

/// Status word. The six exception flags have the same places as their masks in the control word.
namespace sw {
constexpr u16 ie = 0x0001; // invalid operation
constexpr u16 de = 0x0002; // denormal operand
constexpr u16 ze = 0x0004; // divide by zero
constexpr u16 oe = 0x0008; // overflow
constexpr u16 ue = 0x0010; // underflow
constexpr u16 pe = 0x0020; // precision: the result is inexact
constexpr u16 sf = 0x0040; // stack fault
constexpr u16 es = 0x0080; // error summary: an unmasked exception is pending
constexpr u16 c0 = 0x0100;
constexpr u16 c1 = 0x0200;
constexpr u16 c2 = 0x0400;
constexpr u16 top = 0x3800;
constexpr u16 c3 = 0x4000;
constexpr u16 busy = 0x8000; // a copy of es since the 287

constexpr u16 exceptions = 0x003f;
constexpr u16 conditions = c0 | c1 | c2 | c3;
/// Found before anything is computed; unmasked, the operation does not happen (8.4, table 8-10).
constexpr u16 pre_computation = ie | de | ze;
} // namespace sw

enum class Rounding { nearest_even = 0, down = 1, up = 2, toward_zero = 3 };

namespace cw {
constexpr u16 after_init = 0x037f;
constexpr u16 after_reset = 0x0040; // SDM volume 3, table 9-1
constexpr u16 writable = 0x1f3f;    // bit 6 reads as one, bit 12 (X) is kept but means nothing
} // namespace cw

/// One operation's view of the control word, and what it raised.
struct Context {
    u16 control = cw::after_init;
    u16 raised = 0;          // sw:: bits
    bool rounded_up = false; // what C1 becomes when the result is inexact
    /// Set by the caller when an operand was a denormal in memory and has been widened to a normal
    /// number: the operation has to report it at its own place in the order of exceptions.
    bool memory_denormal = false;

    constexpr Rounding rounding() const { return static_cast<Rounding>((control >> 10) & 3); }

    /// Bits of the 64-bit significand that the precision control cuts off (SDM 8.1.5.2).
    constexpr unsigned dropped_bits() const
    {
        constexpr u8 kDropped[4] = {40, 0, 11, 0}; // 01 is reserved; it behaves as extended
        return kDropped[(control >> 8) & 3];
    }

    constexpr bool is_unmasked(u16 flags) const { return (flags & ~control) != 0; }
    constexpr void raise(u16 flags) { raised |= flags; }
    /// True when the operation must leave its destination alone.
    constexpr bool is_abandoned() const { return is_unmasked(raised & sw::pre_computation); }
};

} // namespace emu::fpu
