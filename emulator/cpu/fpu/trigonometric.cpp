#include "emulator/cpu/fpu/arith.hpp"
#include "emulator/cpu/fpu/transcendental.hpp"
#include "emulator/cpu/fpu/wide.hpp"

namespace emu::fpu {

namespace {

constexpr auto kSineSeries = inverse_factorials<14>(1, 2);
constexpr auto kCosineSeries = inverse_factorials<14>(0, 2);

/// pi/2 in units of 2^-65: the 66 bits of pi in SDM volume 1, 8.3.8.
constexpr u128 kHalfPi = make_u128(0x3, 0x243f'6a88'85a3'08d3);

/// A magnitude brought to [0, pi/4]: the angle is quadrant * pi/2 + (negative ? -rest : rest).
struct Reduced {
    Wide rest;
    bool negative;
    unsigned quadrant;
};

Reduced reduce(const Unpacked& a)
{
    const i32 exponent = a.exponent - kF80Bias;
    if (exponent < -1) {
        return {{make_u128(a.significand, 0), exponent}, false, 0};
    }
    const u128 units = static_cast<u128>(a.significand) << (exponent + 2); // of 2^-65
    const u128 quotient = units / kHalfPi;
    const u128 rest = units % kHalfPi;
    const bool above_half = 2 * rest > kHalfPi;
    // 2^-65 is bit 62 of a number whose bit 127 is 1. rest is never 0: pi/2 is odd and longer than
    // the significand.
    return {normalized(above_half ? kHalfPi - rest : rest, 127 - 65), above_half,
            static_cast<unsigned>(quotient & 3) + (above_half ? 1 : 0)};
}

/// One below 1 is enough to say that a series was truncated, not exact.
constexpr u128 below_one(u128 series)
{
    return series == kOneQ127 ? series - 1 : series;
}

Wide sine_of_rest(const Wide& rest)
{
    const u128 series = below_one(alternating_series(kSineSeries, square_fraction(rest)));
    return normalized(mul_high(rest.significand, series), rest.exponent + 1);
}

Wide cosine_of_rest(const Wide& rest)
{
    return normalized(below_one(alternating_series(kCosineSeries, square_fraction(rest))), 0);
}

F80 round_inexact(bool negative, const Wide& value, Context& ctx)
{
    return round_pack_slow(negative, value.exponent + kF80Bias, value.significand | 1, 0, ctx);
}

/// sin(a), or cos(a) = sin(a + pi/2) when `quarter_turns` is 1.
F80 sine_or_cosine(F80 a, unsigned quarter_turns, Context& ctx)
{
    const Unpacked u = unpack_finite(a);
    const Reduced r = reduce(u);
    const unsigned quadrant = r.quadrant + quarter_turns;
    const bool is_sine = (quadrant & 1) == 0;
    const bool odd_sign = u.negative && quarter_turns == 0;
    const bool lower_half = (quadrant & 2) != 0;
    const bool negative = (lower_half != odd_sign) != (is_sine && r.negative);
    return round_inexact(negative, is_sine ? sine_of_rest(r.rest) : cosine_of_rest(r.rest), ctx);
}

/// NaNs, infinities, zeros and abandoned denormals; `true` when `result` is the answer.
bool answer_special(F80 a, F80 at_zero, Context& ctx, F80& result)
{
    if (answer_nan(a, ctx, result)) {
        return true;
    }
    if (classify(a) == F80Class::infinity) {
        ctx.raise(sw::ie);
        result = kF80Indefinite;
        return true;
    }
    note_denormals(a, ctx);
    result = at_zero;
    return classify(a) == F80Class::zero || ctx.is_abandoned();
}

} // namespace

bool is_out_of_trigonometric_range(F80 a)
{
    return classify(a) == F80Class::normal && exponent_of(a) >= kF80Bias + 63;
}

F80 sine(F80 a, Context& ctx)
{
    F80 result;
    return answer_special(a, a, ctx, result) ? result : sine_or_cosine(a, 0, ctx);
}

F80 cosine(F80 a, Context& ctx)
{
    F80 result;
    return answer_special(a, kF80One, ctx, result) ? result : sine_or_cosine(a, 1, ctx);
}

F80 tangent(F80 a, Context& ctx)
{
    F80 result;
    if (answer_special(a, a, ctx, result)) {
        return result;
    }
    const Unpacked u = unpack_finite(a);
    const Reduced r = reduce(u);
    const bool negative = u.negative != r.negative;
    if (r.rest.exponent < -60 && (r.quadrant & 1) == 0) {
        // tan(x) = x * (1 + x^2/3 ...): only just above x.
        return round_inexact(negative, r.rest, ctx);
    }
    const Wide sin = sine_of_rest(r.rest);
    const Wide cos = cosine_of_rest(r.rest);
    return (r.quadrant & 1) == 0 ? round_inexact(negative, divide(sin, cos), ctx)
                                 : round_inexact(!negative, divide(cos, sin), ctx);
}

namespace {

/// pi with 126 bits below the point.
constexpr u128 kPiQ126 = make_u128(0xc90f'daa2'2168'c234, 0xc4c6'628b'80dc'1cd1);

constexpr auto kArctangentSeries = inverse_odd_numbers<11>();

/// For |u| of at most 1/32 in 128 fraction bits.
constexpr u128 small_arctangent(u128 u)
{
    return mul_high(u, alternating_series(kArctangentSeries, mul_high(u, u))) << 1;
}

constexpr unsigned kSteps = 32;

/// atan(k / 32) in 128 fraction bits, each from the one before:
/// atan(k/32) - atan((k-1)/32) = atan(32 / (1024 + k(k-1))).
consteval std::array<u128, kSteps + 1> arctangent_table()
{
    std::array<u128, kSteps + 1> table{};
    for (unsigned k = 1; k <= kSteps; ++k) {
        const u128 divisor = 1024 + k * (k - 1);
        // floor(2^133 / divisor), in two digits since 2^133 does not fit
        const u128 high = (u128{1} << 127) / divisor;
        const u128 rest = (u128{1} << 127) % divisor;
        table[k] = table[k - 1] + small_arctangent((high << 6) + (rest << 6) / divisor);
    }
    return table;
}
constexpr auto kArctangents = arctangent_table();

/// atan(t) for 0 < t < 1.
Wide arctangent_of_ratio(const Wide& t)
{
    const u128 fixed = to_fixed(t, 127);
    const unsigned k = static_cast<unsigned>((fixed + (kOneQ127 >> 6)) >> (127 - 5));
    if (k == 0) {
        const u128 series = below_one(alternating_series(kArctangentSeries, square_fraction(t)));
        return normalized(mul_high(t.significand, series), t.exponent + 1);
    }
    // atan(t) = atan(c) + atan((t - c) / (1 + t * c)), c = k/32
    const u128 c = static_cast<u128>(k) << (127 - 5);
    const u128 divisor = kOneQ127 + (fixed >> 5) * k;
    const u128 rest = small_arctangent(divide_fraction(fixed > c ? fixed - c : c - fixed, divisor));
    return normalized(fixed > c ? kArctangents[k] + rest : kArctangents[k] - rest, -1);
}

/// base +- angle, with 126 bits below the point; `base` is 0, pi/2 or pi.
F80 turned(u128 base, bool subtract, const Wide& angle, bool negative, Context& ctx)
{
    if (base == 0) {
        return round_inexact(negative, angle, ctx);
    }
    const u128 fixed = to_fixed(angle, 126);
    return round_inexact(negative, normalized(subtract ? base - fixed : base + fixed, 1), ctx);
}

F80 arctangent_finite(const Unpacked& y, const Unpacked& x, Context& ctx)
{
    const Wide wide_y{make_u128(y.significand, 0), y.exponent};
    const Wide wide_x{make_u128(x.significand, 0), x.exponent};
    if (x.exponent == y.exponent && x.significand == y.significand) {
        const u128 quarter = kPiQ126 / 4;
        return round_inexact(y.negative, normalized(x.negative ? 3 * quarter : quarter, 1), ctx);
    }
    const bool steep =
        y.exponent > x.exponent || (y.exponent == x.exponent && y.significand > x.significand);
    const Wide ratio = steep ? divide(wide_x, wide_y) : divide(wide_y, wide_x);
    const Wide angle = arctangent_of_ratio(ratio);
    if (steep) {
        return turned(kPiQ126 / 2, !x.negative, angle, y.negative, ctx);
    }
    return turned(x.negative ? kPiQ126 : 0, true, angle, y.negative, ctx);
}

F80 multiple_of_quarter_pi(unsigned quarters, bool negative, Context& ctx)
{
    if (quarters == 0) {
        return f80_zero(negative);
    }
    return round_inexact(negative, normalized(kPiQ126 / 4 * quarters, 1), ctx);
}

} // namespace

F80 arctangent(F80 y, F80 x, Context& ctx)
{
    F80 nan;
    if (answer_nan(y, x, ctx, nan)) {
        return nan;
    }
    note_denormals(y, x, ctx);
    if (ctx.is_abandoned()) {
        return y;
    }
    // SDM volume 2, FPATAN, table "FPATAN Results".
    const bool y_infinite = classify(y) == F80Class::infinity;
    const bool x_infinite = classify(x) == F80Class::infinity;
    const bool y_zero = classify(y) == F80Class::zero;
    const bool x_zero = classify(x) == F80Class::zero;
    if (y_infinite && x_infinite) {
        return multiple_of_quarter_pi(is_negative(x) ? 3 : 1, is_negative(y), ctx);
    }
    if (y_zero || x_infinite) {
        return multiple_of_quarter_pi(is_negative(x) ? 4 : 0, is_negative(y), ctx);
    }
    if (y_infinite || x_zero) {
        return multiple_of_quarter_pi(2, is_negative(y), ctx);
    }
    return arctangent_finite(unpack_finite(y), unpack_finite(x), ctx);
}

} // namespace emu::fpu
