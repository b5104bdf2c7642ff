// Addition, multiplication, division and square root of 80-bit numbers.
//
// The functions in this header take the common case (two normal numbers) inline; everything else
// goes to arith.cpp. Source: IEEE 754-1985, clause 5; Intel SDM volume 1, 8.3.5, tables 4-7
// ("Rules for handling NaNs") and 8-10; volume 2, FADD, FSUB, FMUL, FDIV, FSQRT.
#pragma once

#include "emulator/cpu/fpu/round.hpp"

#include <utility>

namespace emu::fpu {

/// A finite, non-zero operand with its leading bit at bit 63.
struct Unpacked {
    bool negative;
    i32 exponent; // biased; below 1 for what was a denormal
    u64 significand;
};

constexpr Unpacked unpack_normal(F80 a)
{
    return {is_negative(a), exponent_of(a), a.significand};
}

/// For zero-free finite operands, normalising denormals and pseudo-denormals.
constexpr Unpacked unpack_finite(F80 a)
{
    const i32 exponent = exponent_of(a);
    const int shift = std::countl_zero(a.significand);
    return {is_negative(a), (exponent == 0 ? 1 : exponent) - shift, a.significand << shift};
}

/// Answers for NaN and unsupported operands: the SDM's table 4-7. `true` when one of the two was
/// such and `result` is the operation's result.
bool answer_nan(F80 a, F80 b, Context& ctx, F80& result);
bool answer_nan(F80 a, Context& ctx, F80& result);

/// Raises #D where an operand is denormal.
void note_denormals(F80 a, F80 b, Context& ctx);
void note_denormals(F80 a, Context& ctx);

// The complete operations, used when an operand is not a plain normal number.
F80 add_slow(F80 a, F80 b, Context& ctx);
F80 sub_slow(F80 a, F80 b, Context& ctx);
F80 mul_slow(F80 a, F80 b, Context& ctx);
F80 div_slow(F80 a, F80 b, Context& ctx);

/// The square root; negative operands but -0 are invalid.
F80 sqrt(F80 a, Context& ctx);

namespace detail {

inline F80 add_magnitudes(bool negative, Unpacked a, Unpacked b, Context& ctx)
{
    if (a.exponent < b.exponent) {
        std::swap(a, b);
    }
    const u128 addend = shift_right_sticky(static_cast<u128>(b.significand) << 64,
                                           static_cast<unsigned>(a.exponent - b.exponent));
    u128 sum = (static_cast<u128>(a.significand) << 64) + addend;
    i32 exponent = a.exponent;
    if (sum < addend) { // carried out of bit 127
        sum = (sum >> 1) | (sum & 1) | (u128{1} << 127);
        ++exponent;
    }
    return round_pack(negative, exponent, sum, ctx);
}

/// |a| - |b|, where `negative` is the sign of a.
inline F80 subtract_magnitudes(bool negative, Unpacked a, Unpacked b, Context& ctx)
{
    if (a.exponent < b.exponent || (a.exponent == b.exponent && a.significand < b.significand)) {
        std::swap(a, b);
        negative = !negative;
    }
    u128 difference = static_cast<u128>(a.significand) << 64;
    difference -= shift_right_sticky(static_cast<u128>(b.significand) << 64,
                                     static_cast<unsigned>(a.exponent - b.exponent));
    if (difference == 0) {
        return f80_zero(ctx.rounding() == Rounding::down); // IEEE 754-1985, 6.3
    }
    const unsigned shift = count_leading_zeros(difference);
    return round_pack(negative, a.exponent - static_cast<i32>(shift), difference << shift, ctx);
}

/// a + b, with b's sign replaced by `b_negative`.
inline F80 add_finite(Unpacked a, Unpacked b, bool b_negative, Context& ctx)
{
    return a.negative == b_negative ? add_magnitudes(a.negative, a, b, ctx)
                                    : subtract_magnitudes(a.negative, a, b, ctx);
}

inline F80 mul_finite(Unpacked a, Unpacked b, Context& ctx)
{
    u128 product = static_cast<u128>(a.significand) * b.significand;
    i32 exponent = a.exponent + b.exponent - (kF80Bias - 1);
    if ((product >> 127) == 0) {
        product <<= 1;
        --exponent;
    }
    return round_pack(a.negative != b.negative, exponent, product, ctx);
}

/// `dividend` / `divisor`, known to fit 64 bits.
inline u64 divide_128_by_64(u128 dividend, u64 divisor, u64& remainder)
{
#if defined(__x86_64__)
    u64 quotient = 0;
    __asm__("divq %4" // GCC calls a library function for the same
            : "=a"(quotient), "=d"(remainder)
            : "0"(static_cast<u64>(dividend)), "1"(static_cast<u64>(dividend >> 64)), "r"(divisor)
            : "cc");
    return quotient;
#else
    const u64 quotient = static_cast<u64>(dividend / divisor);
    remainder = static_cast<u64>(dividend) - quotient * divisor;
    return quotient;
#endif
}

inline F80 div_finite(Unpacked a, Unpacked b, Context& ctx)
{
    const bool less = a.significand < b.significand;
    const u128 dividend = static_cast<u128>(a.significand) << (less ? 64 : 63);
    u64 rest = 0;
    const u64 quotient = divide_128_by_64(dividend, b.significand, rest);
    // The remainder stands for the bits below: only its relation to one half matters.
    const u64 other = b.significand - rest;
    const u64 below = rest == 0 ? 0
                                : (rest > other ? kIntegerBit + 1 : 0) +
                                      (rest == other ? kIntegerBit : 0) + (rest < other);
    return round_pack(a.negative != b.negative, a.exponent - b.exponent + kF80Bias - (less ? 1 : 0),
                      (static_cast<u128>(quotient) << 64) | below, ctx);
}

} // namespace detail

inline F80 add(F80 a, F80 b, Context& ctx)
{
    if (is_plain_normal(a) && is_plain_normal(b)) [[likely]] {
        return detail::add_finite(unpack_normal(a), unpack_normal(b), is_negative(b), ctx);
    }
    return add_slow(a, b, ctx);
}

inline F80 sub(F80 a, F80 b, Context& ctx)
{
    if (is_plain_normal(a) && is_plain_normal(b)) [[likely]] {
        return detail::add_finite(unpack_normal(a), unpack_normal(b), !is_negative(b), ctx);
    }
    return sub_slow(a, b, ctx);
}

inline F80 mul(F80 a, F80 b, Context& ctx)
{
    if (is_plain_normal(a) && is_plain_normal(b)) [[likely]] {
        return detail::mul_finite(unpack_normal(a), unpack_normal(b), ctx);
    }
    return mul_slow(a, b, ctx);
}

inline F80 div(F80 a, F80 b, Context& ctx)
{
    if (is_plain_normal(a) && is_plain_normal(b)) [[likely]] {
        return detail::div_finite(unpack_normal(a), unpack_normal(b), ctx);
    }
    return div_slow(a, b, ctx);
}

} // namespace emu::fpu
