// The x87's 80-bit double extended-precision format as a plain integer pair.
//
// Source: Intel 64 and IA-32 Architectures SDM, volume 1, 4.2.2 "Floating-Point Data Types",
// 4.8.3 "Real Number and Non-number Encodings", 8.2.2 "Unsupported Double Extended-Precision
// Floating-Point Encodings and Pseudo-Denormals".
#pragma once

#include "base/types.hpp"

namespace emu::fpu {

using namespace base;

__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 i128;

/// One register's contents. Bit 63 of the significand is the explicit integer bit ("J").
struct F80 {
    u64 significand = 0;
    u16 sign_exponent = 0; // bit 15 is the sign, bits 14..0 the exponent biased by 16383

    bool operator==(const F80&) const = default;
};

constexpr i32 kF80Bias = 0x3fff;
constexpr i32 kF80MaxExponent = 0x7fff;
constexpr u64 kIntegerBit = u64{1} << 63;
constexpr u64 kQuietBit = u64{1} << 62;

constexpr F80 make_f80(bool negative, i32 exponent, u64 significand)
{
    return {significand, static_cast<u16>((negative ? 0x8000 : 0) | exponent)};
}

constexpr bool is_negative(F80 a)
{
    return (a.sign_exponent & 0x8000) != 0;
}

constexpr i32 exponent_of(F80 a)
{
    return a.sign_exponent & 0x7fff;
}

constexpr F80 negated(F80 a)
{
    return {a.significand, static_cast<u16>(a.sign_exponent ^ 0x8000)};
}

constexpr F80 f80_zero(bool negative)
{
    return make_f80(negative, 0, 0);
}

constexpr F80 f80_infinity(bool negative)
{
    return make_f80(negative, kF80MaxExponent, kIntegerBit);
}

constexpr F80 kF80One = make_f80(false, kF80Bias, kIntegerBit);

/// The "QNaN floating-point indefinite", the masked answer to an invalid operation (4.8.3.7).
constexpr F80 kF80Indefinite = make_f80(true, kF80MaxExponent, kIntegerBit | kQuietBit);

/// True for what the fast paths take: integer bit set, exponent neither 0 nor all ones.
constexpr bool is_plain_normal(F80 a)
{
    return static_cast<u32>(exponent_of(a) - 1) < 0x7ffe && (a.significand >> 63) != 0;
}

enum class F80Class {
    zero,
    denormal, // includes pseudo-denormals: both raise #D and have the exponent 1 - bias
    normal,
    infinity,
    quiet_nan,
    signaling_nan,
    unsupported // unnormals, pseudo-infinities, pseudo-NaNs: every use but a move is invalid
};

constexpr F80Class classify(F80 a)
{
    const i32 exponent = exponent_of(a);
    if (exponent == 0) {
        return a.significand == 0 ? F80Class::zero : F80Class::denormal;
    }
    if ((a.significand & kIntegerBit) == 0) {
        return F80Class::unsupported;
    }
    if (exponent != kF80MaxExponent) {
        return F80Class::normal;
    }
    if (a.significand == kIntegerBit) {
        return F80Class::infinity;
    }
    return (a.significand & kQuietBit) != 0 ? F80Class::quiet_nan : F80Class::signaling_nan;
}

constexpr bool is_nan(F80Class c)
{
    return c == F80Class::quiet_nan || c == F80Class::signaling_nan;
}

constexpr F80 quieted(F80 a)
{
    return {a.significand | kQuietBit, a.sign_exponent};
}

} // namespace emu::fpu
