// FADD, FMUL, FSUB, FDIV and their reversed, popping, memory and integer forms, and FCOM among
// them where the opcode map has it.
#include "emulator/cpu/fpu/arith.hpp"
#include "emulator/cpu/fpu/x87.hpp"
#include "emulator/cpu/fpu/x87_compare.hpp"

namespace emu::fpu {

namespace {

// `a` is always ST(0) and `b` the other operand; the opcode says which way round to subtract or
// divide. DC E0 is FSUBR ST(i), ST(0), that is ST(0) - ST(i): the operands keep their places
// however the assemblers name the forms, only the destination differs.
struct Add {
    static F80 fast(F80 a, F80 b, Context& ctx) { return add(a, b, ctx); }
    static F80 slow(F80 a, F80 b, Context& ctx) { return add_slow(a, b, ctx); }
};
struct Multiply {
    static F80 fast(F80 a, F80 b, Context& ctx) { return mul(a, b, ctx); }
    static F80 slow(F80 a, F80 b, Context& ctx) { return mul_slow(a, b, ctx); }
};
struct Subtract {
    static F80 fast(F80 a, F80 b, Context& ctx) { return sub(a, b, ctx); }
    static F80 slow(F80 a, F80 b, Context& ctx) { return sub_slow(a, b, ctx); }
};
struct Divide {
    static F80 fast(F80 a, F80 b, Context& ctx) { return div(a, b, ctx); }
    static F80 slow(F80 a, F80 b, Context& ctx) { return div_slow(a, b, ctx); }
};
template <class Operation>
struct Reversed {
    static F80 fast(F80 a, F80 b, Context& ctx) { return Operation::fast(b, a, ctx); }
    static F80 slow(F80 a, F80 b, Context& ctx) { return Operation::slow(b, a, ctx); }
};

/// The destination of an instruction that met an empty register.
void answer_underflow(X87State& s, unsigned destination, unsigned pops)
{
    if (!stack_underflow(s)) {
        return;
    }
    set_st(s, destination, kF80Indefinite);
    if (pops != 0) {
        pop(s);
    }
}

template <class Operation, unsigned kPops>
void with_register(X87State& s, unsigned i, unsigned destination)
{
    const unsigned a = s.top;
    const unsigned b = physical(s, i);
    if (((s.empty >> a) | (s.empty >> b)) & 1) [[unlikely]] {
        answer_underflow(s, destination, kPops);
        return;
    }
    Context ctx = context_of(s);
    const F80 result = Operation::fast(s.regs[a], s.regs[b], ctx);
    if ((finish(s, ctx) & sw::pre_computation) != 0) [[unlikely]] {
        return;
    }
    s.regs[physical(s, destination)] = result;
    if constexpr (kPops != 0) {
        pop(s);
    }
}

template <class Operation>
void to_st0(X87State& s, unsigned i)
{
    with_register<Operation, 0>(s, i, 0);
}

template <class Operation>
void to_sti(X87State& s, unsigned i)
{
    with_register<Operation, 0>(s, i, i);
}

template <class Operation>
void to_sti_pop(X87State& s, unsigned i)
{
    with_register<Operation, 1>(s, i, i);
}

template <class Operation>
void with_memory(X87State& s, Widened operand)
{
    if (is_empty(s, 0)) [[unlikely]] {
        answer_underflow(s, 0, 0);
        return;
    }
    Context ctx = context_of(s);
    ctx.memory_denormal = operand.is_denormal;
    const F80 result = operand.is_denormal ? Operation::slow(st(s, 0), operand.value, ctx)
                                           : Operation::fast(st(s, 0), operand.value, ctx);
    if ((finish(s, ctx) & sw::pre_computation) == 0) [[likely]] {
        st(s, 0) = result;
    }
}

template <class Operation>
void with_f32(X87State& s, u32 bits)
{
    with_memory<Operation>(s, widen_f32(bits));
}

template <class Operation>
void with_f64(X87State& s, u64 bits)
{
    with_memory<Operation>(s, widen_f64(bits));
}

template <class Operation>
void with_integer(X87State& s, i32 value)
{
    with_memory<Operation>(s, {from_integer(value), false});
}

template <unsigned kPops>
void compare_f32(X87State& s, u32 bits)
{
    compare_with_memory(s, widen_f32(bits), kPops);
}

template <unsigned kPops>
void compare_f64(X87State& s, u64 bits)
{
    compare_with_memory(s, widen_f64(bits), kPops);
}

template <unsigned kPops>
void compare_integer(X87State& s, i32 value)
{
    compare_with_memory(s, {from_integer(value), false}, kPops);
}

void fcompp_alias(X87State& s, unsigned)
{
    fcompp(s);
}

} // namespace

const std::array<RegisterOperation, 8> kArithSt0Sti{
    to_st0<Add>,      to_st0<Multiply>,           fcom,           fcomp,
    to_st0<Subtract>, to_st0<Reversed<Subtract>>, to_st0<Divide>, to_st0<Reversed<Divide>>};

const std::array<RegisterOperation, 8> kArithStiSt0{
    to_sti<Add>,      to_sti<Multiply>,           fcom,           fcomp,
    to_sti<Subtract>, to_sti<Reversed<Subtract>>, to_sti<Divide>, to_sti<Reversed<Divide>>};

const std::array<RegisterOperation, 8> kArithStiSt0Pop{
    to_sti_pop<Add>,    to_sti_pop<Multiply>,        fcomp,
    fcompp_alias,       to_sti_pop<Subtract>,        to_sti_pop<Reversed<Subtract>>,
    to_sti_pop<Divide>, to_sti_pop<Reversed<Divide>>};

const std::array<F32Operation, 8> kArithF32{
    with_f32<Add>,      with_f32<Multiply>,           compare_f32<0>,   compare_f32<1>,
    with_f32<Subtract>, with_f32<Reversed<Subtract>>, with_f32<Divide>, with_f32<Reversed<Divide>>};

const std::array<F64Operation, 8> kArithF64{
    with_f64<Add>,      with_f64<Multiply>,           compare_f64<0>,   compare_f64<1>,
    with_f64<Subtract>, with_f64<Reversed<Subtract>>, with_f64<Divide>, with_f64<Reversed<Divide>>};

const std::array<IntegerOperation, 8> kArithInteger{
    with_integer<Add>,    with_integer<Multiply>,        compare_integer<0>,
    compare_integer<1>,   with_integer<Subtract>,        with_integer<Reversed<Subtract>>,
    with_integer<Divide>, with_integer<Reversed<Divide>>};

} // namespace emu::fpu
