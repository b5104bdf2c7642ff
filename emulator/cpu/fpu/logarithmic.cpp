#include "emulator/cpu/fpu/arith.hpp"
#include "emulator/cpu/fpu/transcendental.hpp"
#include "emulator/cpu/fpu/wide.hpp"

namespace emu::fpu {

namespace {

constexpr Wide kLn2{make_u128(0xb172'17f7'd1cf'79ab, 0xc9e3'b398'03f2'f6af), -1};
constexpr Wide kTwoLog2E{make_u128(0xb8aa'3b29'5c17'f0bb, 0xbe87'fed0'691d'3e88), 1};

constexpr auto kExponentialSeries = inverse_factorials<27>(1, 1);
constexpr auto kLogarithmSeries = inverse_odd_numbers<22>();

F80 round_inexact(bool negative, const Wide& value, Context& ctx)
{
    return round_pack_slow(negative, value.exponent + kF80Bias, value.significand | 1, 0, ctx);
}

F80 invalid(Context& ctx)
{
    ctx.raise(sw::ie);
    return kF80Indefinite;
}

} // namespace

F80 exp2_minus_1(F80 a, Context& ctx)
{
    F80 nan;
    if (answer_nan(a, ctx, nan)) {
        return nan;
    }
    const bool negative = is_negative(a);
    if (classify(a) == F80Class::infinity) {
        return negative ? negated(kF80One) : a;
    }
    note_denormals(a, ctx);
    if (classify(a) == F80Class::zero || ctx.is_abandoned()) {
        return a;
    }
    const Unpacked u = unpack_finite(a);
    if (u.exponent > kF80Bias || (u.exponent == kF80Bias && u.significand != kIntegerBit)) {
        ctx.raise(sw::pe);
        return a;
    }
    // e^t - 1 = t * (1/1! + t/2! + t^2/3! ...), t = a * ln(2)
    const Wide t = multiply({make_u128(u.significand, 0), u.exponent - kF80Bias}, kLn2);
    const u128 fixed = to_fixed(t, 128);
    const u128 series = negative ? alternating_series(kExponentialSeries, fixed)
                                 : positive_series(kExponentialSeries, fixed);
    return round_inexact(negative, normalized(mul_high(t.significand, series), t.exponent + 1),
                         ctx);
}

namespace {

struct Logarithm {
    Wide magnitude; // zero only for log2(1)
    bool negative = false;
    bool is_exact = false;
};

/// log2((1 + s) / (1 - s)) = 2/ln(2) * (s + s^3/3 + s^5/5 ...), for s below 0.18.
Wide log2_of_ratio(const Wide& s)
{
    const u128 series = positive_series(kLogarithmSeries, square_fraction(s));
    const Wide sum = normalized(mul_high(s.significand, series), s.exponent + 1);
    return multiply(sum, kTwoLog2E);
}

/// whole + (negative ? -fraction : fraction), the fraction at most a half.
Logarithm add_whole(i32 whole, const Wide& fraction, bool fraction_negative)
{
    constexpr i32 kFractionBits = 112; // 16 remain for the exponent of any operand
    const bool negative = whole < 0;
    const u128 magnitude = static_cast<u128>(negative ? -whole : whole) << kFractionBits;
    const u128 part = fraction.significand == 0 ? 0 : to_fixed(fraction, kFractionBits);
    const u128 sum = negative == fraction_negative ? magnitude + part : magnitude - part;
    return {normalized(sum, 127 - kFractionBits), negative, fraction.significand == 0};
}

Logarithm log2_of(const Wide& x)
{
    constexpr u128 kOneQ126 = u128{1} << 126;
    constexpr u128 kSqrt2 = make_u128(0xb504'f333'f9de'6484, 0x597d'89b3'754a'be9f);
    // x = m * 2^whole with m between sqrt(1/2) and sqrt(2), which keeps the series short.
    const bool halve = x.significand > kSqrt2;
    const u128 m = x.significand >> (halve ? 2 : 1);
    const i32 whole = x.exponent + (halve ? 1 : 0);
    const bool below_one = m < kOneQ126;
    const u128 distance = below_one ? kOneQ126 - m : m - kOneQ126;
    Wide fraction;
    if (distance != 0) {
        fraction = log2_of_ratio(divide(normalized(distance, 1), normalized(kOneQ126 + m, 1)));
    }
    if (whole == 0) {
        return {fraction, below_one, fraction.significand == 0};
    }
    return add_whole(whole, fraction, below_one);
}

/// y * log, both finite and not zero.
F80 multiply_by_y(const Unpacked& y, const Logarithm& log, Context& ctx)
{
    const Wide product =
        multiply({make_u128(y.significand, 0), y.exponent - kF80Bias}, log.magnitude);
    const bool negative = y.negative != log.negative;
    if (!log.is_exact) {
        return round_inexact(negative, product, ctx);
    }
    return round_pack_slow(negative, product.exponent + kF80Bias, product.significand, 0, ctx);
}

/// What y * log gives when one of the two is zero or infinite.
enum class LogKind { minus_infinity, negative, zero, positive, plus_infinity };

F80 special_product(F80 y, LogKind log, Context& ctx)
{
    const F80Class y_class = classify(y);
    const bool log_infinite = log == LogKind::minus_infinity || log == LogKind::plus_infinity;
    const bool negative =
        is_negative(y) != (log == LogKind::minus_infinity || log == LogKind::negative);
    if ((y_class == F80Class::zero && log_infinite) ||
        (y_class == F80Class::infinity && log == LogKind::zero)) {
        return invalid(ctx);
    }
    return log_infinite || y_class == F80Class::infinity ? f80_infinity(negative)
                                                         : f80_zero(negative);
}

bool is_zero_or_infinite(F80 a)
{
    return classify(a) == F80Class::zero || classify(a) == F80Class::infinity;
}

/// log2(0): a division by zero, unless y is already infinite or makes it invalid.
F80 pole(F80 y, Context& ctx)
{
    if (!is_zero_or_infinite(y)) {
        ctx.raise(sw::ze);
    }
    return special_product(y, LogKind::minus_infinity, ctx);
}

} // namespace

F80 y_log2(F80 y, F80 x, Context& ctx)
{
    F80 nan;
    if (answer_nan(y, x, ctx, nan)) {
        return nan;
    }
    const F80Class x_class = classify(x);
    if (x_class == F80Class::zero) {
        return pole(y, ctx);
    }
    if (is_negative(x)) {
        return invalid(ctx);
    }
    const bool is_one = x == kF80One;
    if (x_class == F80Class::infinity || is_one || is_zero_or_infinite(y)) {
        const LogKind kind = x_class == F80Class::infinity ? LogKind::plus_infinity
                             : is_one                      ? LogKind::zero
                             : exponent_of(x) >= kF80Bias  ? LogKind::positive
                                                           : LogKind::negative;
        const F80 result = special_product(y, kind, ctx);
        if ((ctx.raised & sw::ie) == 0) {
            note_denormals(y, x, ctx);
        }
        return result;
    }
    note_denormals(y, x, ctx);
    if (ctx.is_abandoned()) {
        return y;
    }
    const Unpacked u = unpack_finite(x);
    return multiply_by_y(unpack_finite(y),
                         log2_of({make_u128(u.significand, 0), u.exponent - kF80Bias}), ctx);
}

namespace {

/// log2(1 + x) for finite x above -1.
Logarithm log2_plus_1(const Unpacked& x)
{
    constexpr u128 kOneQ126 = u128{1} << 126;
    const Wide magnitude{make_u128(x.significand, 0), x.exponent - kF80Bias};
    if (magnitude.exponent < -2) {
        // s = x / (2 + x) keeps every bit of a small x.
        const u128 fixed = to_fixed(magnitude, 126);
        const u128 divisor = x.negative ? 2 * kOneQ126 - fixed : 2 * kOneQ126 + fixed;
        return {log2_of_ratio(divide(magnitude, normalized(divisor, 1))), x.negative, false};
    }
    if (x.negative) {
        return log2_of(normalized(kOneQ126 - to_fixed(magnitude, 126), 1));
    }
    if (magnitude.exponent < 1) {
        return log2_of(normalized(kOneQ126 + to_fixed(magnitude, 126), 1));
    }
    // x is at least 2. Room for the carry, and the one where it belongs, if still visible.
    const u128 one = magnitude.exponent > 126 ? 0 : kOneQ126 >> magnitude.exponent;
    return log2_of(normalized((magnitude.significand >> 1) + one, magnitude.exponent + 1));
}

} // namespace

F80 y_log2_plus_1(F80 y, F80 x, Context& ctx)
{
    F80 nan;
    if (answer_nan(y, x, ctx, nan)) {
        return nan;
    }
    const F80Class x_class = classify(x);
    if (x_class == F80Class::infinity && is_negative(x)) {
        return invalid(ctx);
    }
    if (is_zero_or_infinite(x) || is_zero_or_infinite(y)) {
        if (x_class == F80Class::zero && classify(y) != F80Class::infinity) {
            note_denormals(y, ctx);
            return f80_zero(is_negative(x) != is_negative(y));
        }
        const LogKind kind = x_class == F80Class::infinity ? LogKind::plus_infinity
                             : x_class == F80Class::zero   ? LogKind::zero
                             : is_negative(x)              ? LogKind::negative
                                                           : LogKind::positive;
        const F80 result = special_product(y, kind, ctx);
        if ((ctx.raised & sw::ie) == 0) {
            note_denormals(y, x, ctx);
        }
        return result;
    }
    note_denormals(y, x, ctx);
    if (ctx.is_abandoned()) {
        return y;
    }
    if (is_negative(x) && exponent_of(x) >= kF80Bias) { // -1 and below
        ctx.raise(sw::pe);
        return x;
    }
    return multiply_by_y(unpack_finite(y), log2_plus_1(unpack_finite(x)), ctx);
}

} // namespace emu::fpu
