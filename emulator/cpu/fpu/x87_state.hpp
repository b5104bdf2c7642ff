// The x87 register file, its words as the guest sees them, and the checks around every instruction.
//
// Source: Intel SDM volume 1, 8.1 "x87 FPU Execution Environment", 8.5.1.1 "Stack Overflow or
// Underflow Exception"; volume 3, table 9-1 (values after reset).
#pragma once

#include "emulator/cpu/fpu/context.hpp"

#include <array>

namespace emu::fpu {

/// Everything FSAVE keeps. The initial values are those after reset, not those after FNINIT.
/// MMX registers are the significands of the physical registers (mmx.hpp).
struct X87State {
    std::array<F80, 8> regs{}; // physical R0..R7, not stack order
    u16 control = cw::after_reset;
    u16 status = 0; // without TOP, which is below; ES and B are kept up to date
    u8 top = 0;     // 0..7
    u8 empty = 0;   // bit n: Rn is empty
    u16 opcode = 0; // FOP: the lower 11 bits of the last non-control instruction
    u16 instruction_selector = 0;
    u16 operand_selector = 0;
    u32 instruction_offset = 0;
    u32 operand_offset = 0;

    bool operator==(const X87State&) const = default;
};

/// Names every field once, for snapshots, comparison and printing.
template <class Visitor>
void visit_fields(X87State& s, Visitor&& visit)
{
    visit("regs", s.regs);
    visit("control", s.control);
    visit("status", s.status);
    visit("top", s.top);
    visit("empty", s.empty);
    visit("opcode", s.opcode);
    visit("instruction_selector", s.instruction_selector);
    visit("operand_selector", s.operand_selector);
    visit("instruction_offset", s.instruction_offset);
    visit("operand_offset", s.operand_offset);
}

/// The status word as FNSTSW stores it.
constexpr u16 status_word(const X87State& s)
{
    return static_cast<u16>(s.status | (s.top << 11));
}

void set_status_word(X87State& s, u16 value);

/// FLDCW: unmasking an exception whose flag is set makes it pending.
void set_control_word(X87State& s, u16 value);

/// The full tag word; which of valid, zero and special is found by looking at the registers, as
/// the 387 and later do (SDM volume 1, 8.1.7).
u16 tag_word(const X87State& s);

/// Loading a tag word keeps only "empty" or "not empty".
void set_tag_word(X87State& s, u16 value);

/// True when the next waiting x87 or MMX instruction must raise #MF (or FERR#).
constexpr bool exception_pending(const X87State& s)
{
    return (s.status & sw::es) != 0;
}

constexpr unsigned physical(const X87State& s, unsigned i)
{
    return (s.top + i) & 7;
}

constexpr F80& st(X87State& s, unsigned i)
{
    return s.regs[physical(s, i)];
}

constexpr const F80& st(const X87State& s, unsigned i)
{
    return s.regs[physical(s, i)];
}

constexpr bool is_empty(const X87State& s, unsigned i)
{
    return ((s.empty >> physical(s, i)) & 1) != 0;
}

/// Writes ST(i) and tags it as holding something.
constexpr void set_st(X87State& s, unsigned i, F80 value)
{
    const unsigned index = physical(s, i);
    s.regs[index] = value;
    s.empty = static_cast<u8>(s.empty & ~(1u << index));
}

constexpr void pop(X87State& s)
{
    s.empty = static_cast<u8>(s.empty | (1u << s.top));
    s.top = (s.top + 1) & 7;
}

/// Pushes without any check.
constexpr void push_unchecked(X87State& s, F80 value)
{
    s.top = (s.top - 1) & 7;
    set_st(s, 0, value);
}

constexpr Context context_of(const X87State& s)
{
    Context ctx;
    ctx.control = s.control;
    return ctx;
}

/// Adds an instruction's exceptions to the status word and sets C1. Returns `raised`'s unmasked
/// part.
constexpr u16 finish(X87State& s, u16 raised, bool c1)
{
    const u16 unmasked = static_cast<u16>(raised & ~s.control & sw::exceptions);
    s.status = static_cast<u16>((s.status & ~sw::c1) | raised | (c1 ? sw::c1 : 0) |
                                (unmasked != 0 ? sw::es | sw::busy : 0));
    return unmasked;
}

constexpr u16 finish(X87State& s, const Context& ctx)
{
    return finish(s, ctx.raised, ctx.rounded_up);
}

/// An empty source. True when the masked answer (the indefinite) is to be delivered.
bool stack_underflow(X87State& s);
/// A full destination of a push.
bool stack_overflow(X87State& s);

} // namespace emu::fpu
