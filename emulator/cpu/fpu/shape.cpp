#include "emulator/cpu/fpu/shape.hpp"

#include "emulator/cpu/fpu/arith.hpp"
#include "emulator/cpu/fpu/convert.hpp"

namespace emu::fpu {

F80 round_to_integral(F80 a, Context& ctx)
{
    F80 nan;
    if (answer_nan(a, ctx, nan)) {
        return nan;
    }
    note_denormals(a, ctx);
    const F80Class a_class = classify(a);
    const i32 exponent = exponent_of(a);
    if (a_class == F80Class::zero || exponent >= kF80Bias + 63 || ctx.is_abandoned()) {
        return a;
    }
    const bool negative = is_negative(a);
    // Bits of the significand below the binary point; 65 and more all behave alike.
    const int fraction_bits = kF80Bias + 63 - exponent;
    const unsigned below = static_cast<unsigned>(fraction_bits > 65 ? 65 : fraction_bits);
    const u128 aligned = shift_right_sticky(static_cast<u128>(a.significand) << 64, below);
    const Rounded r = round_at(aligned, 0, ctx.rounding(), negative);
    if (r.is_inexact) {
        ctx.raise(sw::pe);
        ctx.rounded_up = r.is_up;
    }
    if (r.significand == 0) {
        return f80_zero(negative);
    }
    const int shift = std::countl_zero(r.significand);
    return make_f80(negative, kF80Bias + 63 - shift, r.significand << shift);
}

namespace {

/// FSCALE with an infinite scale; `a` is zero, finite or infinite.
F80 scale_by_infinity(F80 a, F80Class a_class, bool down, Context& ctx)
{
    const bool is_invalid = down ? a_class == F80Class::infinity : a_class == F80Class::zero;
    if (is_invalid) {
        ctx.raise(sw::ie);
        return kF80Indefinite;
    }
    note_denormals(a, ctx);
    return down ? f80_zero(is_negative(a)) : f80_infinity(is_negative(a));
}

/// The scale truncated to an integer. More than 2^16 leaves the range of any operand, even after
/// the wrap of an unmasked overflow.
i32 truncated_scale(F80 scale)
{
    constexpr i32 kLimit = 0x10000;
    const i32 unbiased = exponent_of(scale) - kF80Bias;
    if (unbiased < 0) {
        return 0;
    }
    const i32 magnitude =
        unbiased >= 16 ? kLimit : static_cast<i32>(scale.significand >> (63 - unbiased));
    return is_negative(scale) ? -magnitude : magnitude;
}

} // namespace

F80 scale(F80 a, F80 scale, Context& ctx)
{
    F80 nan;
    if (answer_nan(a, scale, ctx, nan)) {
        return nan;
    }
    const F80Class a_class = classify(a);
    if (classify(scale) == F80Class::infinity) {
        return scale_by_infinity(a, a_class, is_negative(scale), ctx);
    }
    note_denormals(a, scale, ctx);
    if (a_class == F80Class::zero || a_class == F80Class::infinity || ctx.is_abandoned()) {
        return a;
    }
    const Unpacked u = unpack_finite(a);
    return round_pack_slow(u.negative, u.exponent + truncated_scale(scale),
                           static_cast<u128>(u.significand) << 64, 0, ctx);
}

Extracted extract(F80 a, Context& ctx)
{
    F80 nan;
    if (answer_nan(a, ctx, nan)) {
        return {nan, nan};
    }
    switch (classify(a)) {
    case F80Class::zero:
        ctx.raise(sw::ze);
        return {f80_infinity(true), a};
    case F80Class::infinity:
        return {f80_infinity(false), a};
    default:
        break;
    }
    note_denormals(a, ctx);
    const Unpacked u = unpack_finite(a);
    return {from_integer(u.exponent - kF80Bias), make_f80(u.negative, kF80Bias, u.significand)};
}

} // namespace emu::fpu
