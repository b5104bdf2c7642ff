// FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1 on the register stack.
#include "emulator/cpu/fpu/transcendental.hpp"
#include "emulator/cpu/fpu/x87.hpp"

namespace emu::fpu {

namespace {

using Function = F80 (*)(F80 a, Context& ctx);

/// C2: the operand is out of range and stays as it is.
bool refuses_range(X87State& s)
{
    s.status &= static_cast<u16>(~sw::c2);
    if (!is_out_of_trigonometric_range(st(s, 0))) {
        return false;
    }
    finish(s, 0, false);
    s.status |= sw::c2;
    return true;
}

/// ST(0) = f(ST(0))
void replace(X87State& s, Function f)
{
    Context ctx = context_of(s);
    const F80 result = f(st(s, 0), ctx);
    if ((finish(s, ctx) & sw::pre_computation) == 0) {
        st(s, 0) = result;
    }
}

bool is_underflow(X87State& s)
{
    if (!is_empty(s, 0)) [[likely]] {
        return false;
    }
    if (stack_underflow(s)) {
        set_st(s, 0, kF80Indefinite);
    }
    return true;
}

/// For the two that push a second result.
bool is_stack_fault(X87State& s)
{
    const bool underflow = is_empty(s, 0);
    if (!underflow && is_empty(s, 7)) [[likely]] {
        return false;
    }
    if (underflow ? stack_underflow(s) : stack_overflow(s)) {
        set_st(s, 0, kF80Indefinite);
        push_unchecked(s, kF80Indefinite);
    }
    return true;
}

/// ST(1) = f(ST(1), ST(0)); pop
void combine(X87State& s, F80 (*f)(F80, F80, Context&))
{
    if (is_empty(s, 0) || is_empty(s, 1)) [[unlikely]] {
        if (stack_underflow(s)) {
            set_st(s, 1, kF80Indefinite);
            pop(s);
        }
        return;
    }
    Context ctx = context_of(s);
    const F80 result = f(st(s, 1), st(s, 0), ctx);
    if ((finish(s, ctx) & sw::pre_computation) == 0) {
        st(s, 1) = result;
        pop(s);
    }
}

} // namespace

void fsin(X87State& s)
{
    if (!is_underflow(s) && !refuses_range(s)) {
        replace(s, sine);
    }
}

void fcos(X87State& s)
{
    if (!is_underflow(s) && !refuses_range(s)) {
        replace(s, cosine);
    }
}

void fsincos(X87State& s)
{
    if (is_stack_fault(s) || refuses_range(s)) {
        return;
    }
    const F80 angle = st(s, 0);
    Context ctx = context_of(s);
    const F80 sin = sine(angle, ctx);
    const F80 cos = cosine(angle, ctx); // C1 is that of the last result, in ST(0)
    if ((finish(s, ctx) & sw::pre_computation) == 0) {
        st(s, 0) = sin;
        push_unchecked(s, cos);
    }
}

void fptan(X87State& s)
{
    if (is_stack_fault(s) || refuses_range(s)) {
        return;
    }
    Context ctx = context_of(s);
    const F80 result = tangent(st(s, 0), ctx);
    if ((finish(s, ctx) & sw::pre_computation) == 0) {
        st(s, 0) = result;
        // A NaN is pushed again instead of the 1 (SDM volume 1, 8.3.7 note).
        push_unchecked(s, is_nan(classify(result)) ? result : kF80One);
    }
}

void fpatan(X87State& s)
{
    combine(s, arctangent);
}

void f2xm1(X87State& s)
{
    if (!is_underflow(s)) {
        replace(s, exp2_minus_1);
    }
}

void fyl2x(X87State& s)
{
    combine(s, y_log2);
}

void fyl2xp1(X87State& s)
{
    combine(s, y_log2_plus_1);
}

} // namespace emu::fpu
