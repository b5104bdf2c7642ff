#include "emulator/cpu/fpu/compare.hpp"

#include "emulator/cpu/fpu/arith.hpp"

#include <compare>

namespace emu::fpu {

namespace {

/// Orders finite and infinite magnitudes. A pseudo-denormal equals the normal number of exponent 1.
std::strong_ordering order_magnitudes(F80 a, F80 b)
{
    const i32 a_exponent = exponent_of(a) == 0 ? 1 : exponent_of(a);
    const i32 b_exponent = exponent_of(b) == 0 ? 1 : exponent_of(b);
    if (a_exponent != b_exponent) {
        return a_exponent <=> b_exponent;
    }
    return a.significand <=> b.significand;
}

Relation order(F80 a, F80 b)
{
    if (a.significand == 0 && b.significand == 0) {
        return Relation::equal; // zeros compare equal whatever their signs
    }
    if (is_negative(a) != is_negative(b)) {
        return is_negative(a) ? Relation::less : Relation::greater;
    }
    const auto magnitudes = order_magnitudes(a, b);
    if (magnitudes == 0) {
        return Relation::equal;
    }
    return (magnitudes < 0) != is_negative(a) ? Relation::less : Relation::greater;
}

} // namespace

Relation compare_unordered(F80 a, F80 b, Context& ctx)
{
    F80 nan;
    if (answer_nan(a, b, ctx, nan)) {
        return Relation::unordered;
    }
    note_denormals(a, b, ctx);
    return order(a, b);
}

Relation compare_ordered(F80 a, F80 b, Context& ctx)
{
    const Relation relation = compare_unordered(a, b, ctx);
    if (relation == Relation::unordered) {
        ctx.raise(sw::ie);
    }
    return relation;
}

} // namespace emu::fpu
