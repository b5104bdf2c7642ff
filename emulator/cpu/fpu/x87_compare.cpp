#include "emulator/cpu/fpu/x87_compare.hpp"

#include "emulator/cpu/fpu/compare.hpp"

namespace emu::fpu {

namespace {

using Comparison = Relation (*)(F80, F80, Context&);

/// SDM volume 2, FCOM, table "FCOM/FCOMP/FCOMPP Results".
constexpr u16 condition_codes(Relation relation)
{
    switch (relation) {
    case Relation::greater:
        return 0;
    case Relation::less:
        return sw::c0;
    case Relation::equal:
        return sw::c3;
    case Relation::unordered:
        break;
    }
    return sw::c3 | sw::c2 | sw::c0;
}

/// SDM volume 2, FCOMI, table "FCOMI/FCOMIP/FUCOMI/FUCOMIP Results".
constexpr u32 flags_of(Relation relation)
{
    switch (relation) {
    case Relation::greater:
        return 0;
    case Relation::less:
        return eflags::cf;
    case Relation::equal:
        return eflags::zf;
    case Relation::unordered:
        break;
    }
    return eflags::zf | eflags::pf | eflags::cf;
}

struct Compared {
    Relation relation;
    bool completed; // false: an unmasked exception forbids the pops
};

Compared compare_values(X87State& s, F80 b, bool memory_denormal, Comparison compare)
{
    Context ctx = context_of(s);
    ctx.memory_denormal = memory_denormal;
    const Relation relation = compare(st(s, 0), b, ctx);
    return {relation, (finish(s, ctx) & sw::pre_computation) == 0};
}

Compared compare_registers(X87State& s, unsigned i, Comparison compare)
{
    if (is_empty(s, 0) || is_empty(s, i)) {
        return {Relation::unordered, stack_underflow(s)};
    }
    return compare_values(s, st(s, i), false, compare);
}

/// The condition codes are set even when an unmasked exception keeps the operands on the stack.
void deliver(X87State& s, const Compared& compared, unsigned pops)
{
    s.status = static_cast<u16>((s.status & ~(sw::c0 | sw::c2 | sw::c3)) |
                                condition_codes(compared.relation));
    if (compared.completed) {
        for (unsigned i = 0; i < pops; ++i) {
            pop(s);
        }
    }
}

u32 deliver_flags(X87State& s, const Compared& compared, unsigned pops)
{
    if (compared.completed && pops != 0) {
        pop(s);
    }
    return flags_of(compared.relation);
}

} // namespace

void compare_with_memory(X87State& s, Widened operand, unsigned pops)
{
    const Compared compared =
        is_empty(s, 0) ? Compared{Relation::unordered, stack_underflow(s)}
                       : compare_values(s, operand.value, operand.is_denormal, compare_ordered);
    deliver(s, compared, pops);
}

void fcom(X87State& s, unsigned i)
{
    deliver(s, compare_registers(s, i, compare_ordered), 0);
}

void fcomp(X87State& s, unsigned i)
{
    deliver(s, compare_registers(s, i, compare_ordered), 1);
}

void fcompp(X87State& s)
{
    deliver(s, compare_registers(s, 1, compare_ordered), 2);
}

void fucom(X87State& s, unsigned i)
{
    deliver(s, compare_registers(s, i, compare_unordered), 0);
}

void fucomp(X87State& s, unsigned i)
{
    deliver(s, compare_registers(s, i, compare_unordered), 1);
}

void fucompp(X87State& s)
{
    deliver(s, compare_registers(s, 1, compare_unordered), 2);
}

void ftst(X87State& s)
{
    compare_with_memory(s, {f80_zero(false), false}, 0);
}

u32 fcomi(X87State& s, unsigned i)
{
    return deliver_flags(s, compare_registers(s, i, compare_ordered), 0);
}

u32 fcomip(X87State& s, unsigned i)
{
    return deliver_flags(s, compare_registers(s, i, compare_ordered), 1);
}

u32 fucomi(X87State& s, unsigned i)
{
    return deliver_flags(s, compare_registers(s, i, compare_unordered), 0);
}

u32 fucomip(X87State& s, unsigned i)
{
    return deliver_flags(s, compare_registers(s, i, compare_unordered), 1);
}

namespace {

/// SDM volume 2, FXAM, table "FXAM Results".
constexpr u16 class_codes(F80Class c)
{
    switch (c) {
    case F80Class::unsupported:
        return 0;
    case F80Class::quiet_nan:
    case F80Class::signaling_nan:
        return sw::c0;
    case F80Class::normal:
        return sw::c2;
    case F80Class::infinity:
        return sw::c2 | sw::c0;
    case F80Class::zero:
        return sw::c3;
    case F80Class::denormal:
        break;
    }
    return sw::c3 | sw::c2;
}

} // namespace

void fxam(X87State& s)
{
    const u16 codes = is_empty(s, 0) ? sw::c3 | sw::c0 : class_codes(classify(st(s, 0)));
    s.status = static_cast<u16>((s.status & ~sw::conditions) | codes |
                                (is_negative(st(s, 0)) ? sw::c1 : 0));
}

} // namespace emu::fpu
