// Unsigned floating-point numbers of 128 bits, for the inside of the transcendental functions.
//
// Results are truncated, each within a few units of 2^-126; the functions built on them need 2^-66.
#pragma once

#include "emulator/cpu/fpu/round.hpp"

#include <array>

namespace emu::fpu {

/// significand * 2^(exponent - 127), with bit 127 of the significand set; or zero.
struct Wide {
    u128 significand = 0;
    i32 exponent = 0;
};

constexpr u128 make_u128(u64 high, u64 low)
{
    return (static_cast<u128>(high) << 64) | low;
}

/// The upper half of the 256-bit product.
constexpr u128 mul_high(u128 a, u128 b)
{
    const u64 a_low = static_cast<u64>(a);
    const u64 b_low = static_cast<u64>(b);
    const u64 a_high = static_cast<u64>(a >> 64);
    const u64 b_high = static_cast<u64>(b >> 64);
    const u128 low = static_cast<u128>(a_low) * b_low;
    const u128 middle = static_cast<u128>(a_high) * b_low + static_cast<u64>(low >> 64);
    const u128 other = static_cast<u128>(a_low) * b_high + static_cast<u64>(middle);
    return static_cast<u128>(a_high) * b_high + (middle >> 64) + (other >> 64);
}

namespace detail {

/// One 64-bit digit of rest * 2^64 / divisor; `rest` becomes the remainder. Knuth, The Art of
/// Computer Programming, volume 2, 4.3.1, algorithm D.
constexpr u64 quotient_digit(u128& rest, u128 divisor)
{
    const u64 high = static_cast<u64>(divisor >> 64);
    const u64 low = static_cast<u64>(divisor);
    u128 digit = (rest >> 64) >= high ? static_cast<u128>(~u64{0}) : rest / high;
    u128 partial = rest - digit * high;
    while ((partial >> 64) == 0 && digit * low > (partial << 64)) {
        --digit;
        partial += high;
    }
    rest = (partial << 64) - digit * low;
    return static_cast<u64>(digit);
}

} // namespace detail

/// floor(a * 2^128 / b) for a < b and b with bit 127 set.
constexpr u128 divide_fraction(u128 a, u128 b)
{
    const u64 high = detail::quotient_digit(a, b);
    const u64 low = detail::quotient_digit(a, b);
    return make_u128(high, low);
}

/// value * 2^(exponent - 127)
constexpr Wide normalized(u128 value, i32 exponent)
{
    if (value == 0) {
        return {};
    }
    const unsigned shift = count_leading_zeros(value);
    return {value << shift, exponent - static_cast<i32>(shift)};
}

constexpr Wide multiply(const Wide& a, const Wide& b)
{
    return normalized(mul_high(a.significand, b.significand), a.exponent + b.exponent + 1);
}

constexpr Wide divide(const Wide& a, const Wide& b)
{
    if (a.significand < b.significand) {
        return {divide_fraction(a.significand, b.significand), a.exponent - b.exponent - 1};
    }
    return {divide_fraction(a.significand >> 1, b.significand), a.exponent - b.exponent};
}

/// The number as a fixed-point one with `fraction_bits` below the point, truncated; it must fit.
constexpr u128 to_fixed(const Wide& a, i32 fraction_bits)
{
    const i32 shift = 127 - fraction_bits - a.exponent;
    return shift >= 128 ? 0 : a.significand >> shift;
}

/// The square of a number below 1, with 128 bits below the point.
constexpr u128 square_fraction(const Wide& a)
{
    return to_fixed({mul_high(a.significand, a.significand), 2 * a.exponent + 1}, 128);
}

/// 1 with 127 bits below the point: the format of series and their coefficients ("Q1.127").
constexpr u128 kOneQ127 = u128{1} << 127;

/// c[0] - x * (c[1] - x * (c[2] ...)), with x below 1 in 128 fraction bits. The coefficients must
/// fall fast enough for every bracket to be positive.
template <std::size_t kTerms>
constexpr u128 alternating_series(const std::array<u128, kTerms>& c, u128 x)
{
    u128 sum = c[kTerms - 1];
    for (std::size_t i = kTerms - 1; i > 0; --i) {
        sum = c[i - 1] - mul_high(sum, x);
    }
    return sum;
}

/// c[0] + x * (c[1] + x * (c[2] ...)); the sum must stay below 2.
template <std::size_t kTerms>
constexpr u128 positive_series(const std::array<u128, kTerms>& c, u128 x)
{
    u128 sum = c[kTerms - 1];
    for (std::size_t i = kTerms - 1; i > 0; --i) {
        sum = c[i - 1] + mul_high(sum, x);
    }
    return sum;
}

/// 1/first!, 1/(first + step)!, ...
template <std::size_t kTerms>
consteval std::array<u128, kTerms> inverse_factorials(unsigned first, unsigned step)
{
    std::array<u128, kTerms> c{};
    u128 factorial = 1;
    unsigned n = 1;
    for (std::size_t i = 0; i < kTerms; ++i) {
        for (; n <= first + step * i; ++n) {
            factorial *= n; // 33! is the largest below 2^127
        }
        c[i] = kOneQ127 / factorial;
    }
    return c;
}

/// 1, 1/3, 1/5, ...: atan and its hyperbolic sister.
template <std::size_t kTerms>
consteval std::array<u128, kTerms> inverse_odd_numbers()
{
    std::array<u128, kTerms> c{};
    for (std::size_t i = 0; i < kTerms; ++i) {
        c[i] = kOneQ127 / (2 * i + 1);
    }
    return c;
}

} // namespace emu::fpu
