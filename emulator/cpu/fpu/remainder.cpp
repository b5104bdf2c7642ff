#include "emulator/cpu/fpu/remainder.hpp"

#include "emulator/cpu/fpu/arith.hpp"

namespace emu::fpu {

namespace {

enum class Quotient { truncated, nearest };

/// `significand` * 2^(exponent - bias - 63), an exact result.
F80 pack_exact(bool negative, i32 exponent, u64 significand, Context& ctx)
{
    if (significand == 0) {
        return f80_zero(negative);
    }
    const int shift = std::countl_zero(significand);
    return round_pack_slow(negative, exponent - shift,
                           static_cast<u128>(significand << shift) << 64, 0, ctx);
}

/// The exponents differ by 64 or more. The SDM leaves the number of quotient bits of one step (32
/// to 63) to the implementation; this choice always leaves a multiple of 32 for the next ones.
Remainder partial_step(Unpacked a, Unpacked b, i32 difference, Context& ctx)
{
    const i32 bits = 32 + difference % 32;
    const u64 rest = static_cast<u64>((static_cast<u128>(a.significand) << bits) % b.significand);
    Remainder r;
    r.value = pack_exact(a.negative, b.exponent + difference - bits, rest, ctx);
    r.is_partial = true;
    return r;
}

/// |a| is between b/4 and b: only the rounded quotient can be 1, when |a| is more than b/2.
Remainder below_divisor(Unpacked a, Unpacked b, Context& ctx)
{
    if (a.significand <= b.significand) {
        return {pack_exact(a.negative, a.exponent, a.significand, ctx), 0, false};
    }
    // 2b - a in units of a's exponent; it fits, since a > b.
    return {pack_exact(!a.negative, a.exponent, 2 * b.significand - a.significand, ctx), 1, false};
}

Remainder finite_remainder(Unpacked a, Unpacked b, Quotient kind, Context& ctx)
{
    const i32 difference = a.exponent - b.exponent;
    if (difference >= 64) {
        return partial_step(a, b, difference, ctx);
    }
    if (difference < 0) {
        if (difference == -1 && kind == Quotient::nearest) {
            return below_divisor(a, b, ctx);
        }
        return {pack_exact(a.negative, a.exponent, a.significand, ctx), 0, false};
    }
    const u128 dividend = static_cast<u128>(a.significand) << difference;
    u64 quotient = static_cast<u64>(dividend / b.significand);
    u64 rest = static_cast<u64>(dividend % b.significand);
    bool negative = a.negative;
    if (kind == Quotient::nearest) {
        const u64 other = b.significand - rest;
        if (rest > other || (rest == other && (quotient & 1) != 0)) {
            rest = other;
            negative = !negative;
            ++quotient;
        }
    }
    // A zero remainder has the dividend's sign (IEEE 754-1985, 5.1).
    const F80 value = pack_exact(rest == 0 ? a.negative : negative, b.exponent, rest, ctx);
    return {value, static_cast<u8>(quotient & 7), false};
}

Remainder remainder(F80 a, F80 b, Quotient kind, Context& ctx)
{
    F80 nan;
    if (answer_nan(a, b, ctx, nan)) {
        return {nan};
    }
    const F80Class a_class = classify(a);
    const F80Class b_class = classify(b);
    if (a_class == F80Class::infinity || b_class == F80Class::zero) {
        ctx.raise(sw::ie);
        return {kF80Indefinite};
    }
    note_denormals(a, b, ctx);
    if (a_class == F80Class::zero || ctx.is_abandoned()) {
        return {a};
    }
    const Unpacked dividend = unpack_finite(a);
    if (b_class == F80Class::infinity) {
        return {pack_exact(dividend.negative, dividend.exponent, dividend.significand, ctx)};
    }
    return finite_remainder(dividend, unpack_finite(b), kind, ctx);
}

} // namespace

Remainder remainder_truncating(F80 a, F80 b, Context& ctx)
{
    return remainder(a, b, Quotient::truncated, ctx);
}

Remainder remainder_nearest(F80 a, F80 b, Context& ctx)
{
    return remainder(a, b, Quotient::nearest, ctx);
}

} // namespace emu::fpu
