// FCHS, FABS, FSQRT, FRNDINT, FSCALE, FPREM, FPREM1, FXTRACT.
#include "emulator/cpu/fpu/arith.hpp"
#include "emulator/cpu/fpu/remainder.hpp"
#include "emulator/cpu/fpu/shape.hpp"
#include "emulator/cpu/fpu/x87.hpp"

namespace emu::fpu {

namespace {

/// False when ST(0) (or ST(1), if `operands` is 2) is empty; the masked answer has been given.
bool has_operands(X87State& s, unsigned operands)
{
    if (!is_empty(s, 0) && (operands < 2 || !is_empty(s, 1))) [[likely]] {
        return true;
    }
    if (stack_underflow(s)) {
        set_st(s, 0, kF80Indefinite);
    }
    return false;
}

void deliver(X87State& s, F80 result, const Context& ctx)
{
    if ((finish(s, ctx) & sw::pre_computation) == 0) {
        st(s, 0) = result;
    }
}

void replace_sign(X87State& s, u16 keep, u16 toggle)
{
    if (!has_operands(s, 1)) {
        return;
    }
    u16& word = st(s, 0).sign_exponent;
    word = static_cast<u16>((word & keep) ^ toggle); // even of a NaN, without an exception
    finish(s, 0, false);
}

/// C0, C3 and C1 are the quotient's bits 2, 1 and 0.
constexpr u16 quotient_codes(const Remainder& r)
{
    return static_cast<u16>(((r.quotient & 4) != 0 ? sw::c0 : 0) |
                            ((r.quotient & 2) != 0 ? sw::c3 : 0) |
                            ((r.quotient & 1) != 0 ? sw::c1 : 0) | (r.is_partial ? sw::c2 : 0));
}

void take_remainder(X87State& s, Remainder (*remainder)(F80, F80, Context&))
{
    s.status &= static_cast<u16>(~sw::c2);
    if (!has_operands(s, 2)) {
        return;
    }
    Context ctx = context_of(s);
    const Remainder r = remainder(st(s, 0), st(s, 1), ctx);
    deliver(s, r.value, ctx);
    if (!ctx.is_abandoned() && !is_nan(classify(r.value))) { // otherwise there is no quotient
        s.status = static_cast<u16>((s.status & ~sw::conditions) | quotient_codes(r));
    }
}

} // namespace

void fchs(X87State& s)
{
    replace_sign(s, 0xffff, 0x8000);
}

void fabs(X87State& s)
{
    replace_sign(s, 0x7fff, 0);
}

void fsqrt(X87State& s)
{
    if (has_operands(s, 1)) {
        Context ctx = context_of(s);
        const F80 root = sqrt(st(s, 0), ctx);
        deliver(s, root, ctx);
    }
}

void frndint(X87State& s)
{
    if (has_operands(s, 1)) {
        Context ctx = context_of(s);
        const F80 integral = round_to_integral(st(s, 0), ctx);
        deliver(s, integral, ctx);
    }
}

void fscale(X87State& s)
{
    if (has_operands(s, 2)) {
        Context ctx = context_of(s);
        const F80 scaled = scale(st(s, 0), st(s, 1), ctx);
        deliver(s, scaled, ctx);
    }
}

void fprem(X87State& s)
{
    take_remainder(s, remainder_truncating);
}

void fprem1(X87State& s)
{
    take_remainder(s, remainder_nearest);
}

void fxtract(X87State& s)
{
    const bool underflow = is_empty(s, 0);
    if (underflow || !is_empty(s, 7)) [[unlikely]] {
        if (underflow ? stack_underflow(s) : stack_overflow(s)) {
            set_st(s, 0, kF80Indefinite);
            push_unchecked(s, kF80Indefinite);
        }
        return;
    }
    Context ctx = context_of(s);
    const Extracted parts = extract(st(s, 0), ctx);
    if ((finish(s, ctx) & sw::pre_computation) == 0) {
        st(s, 0) = parts.exponent;
        push_unchecked(s, parts.significand);
    }
}

} // namespace emu::fpu
