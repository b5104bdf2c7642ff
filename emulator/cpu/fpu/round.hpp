// Rounding an exact or sticky-extended significand to what a register can hold.
//
// Source: Intel SDM volume 1, 4.8.4 "Rounding", 8.1.5.2 "Precision Control Field", 8.5.4 "Numeric
// Overflow Exception", 8.5.5 "Numeric Underflow Exception", 8.5.6 "Inexact-Result".
#pragma once

#include "emulator/cpu/fpu/context.hpp"

#include <bit>

namespace emu::fpu {

constexpr unsigned count_leading_zeros(u128 value)
{
    const u64 high = static_cast<u64>(value >> 64);
    return static_cast<unsigned>(high != 0 ? std::countl_zero(high)
                                           : 64 + std::countl_zero(static_cast<u64>(value)));
}

/// Shifts right, keeping "something was lost" in the lowest bit.
constexpr u128 shift_right_sticky(u128 value, unsigned count)
{
    if (count == 0) {
        return value;
    }
    if (count >= 128) {
        return value != 0;
    }
    return (value >> count) | ((value << (128 - count)) != 0);
}

/// What rounding at one bit position does to a 128-bit significand.
struct Rounded {
    u64 significand; // of the upper 64 bits, with the dropped ones zero; 0 when it carried out
    bool is_inexact;
    bool is_up; // away from zero
    bool carry; // significand wrapped: it is 2^64
};

/// Keeps the upper 64 - `dropped` bits of `value`.
constexpr Rounded round_at(u128 value, unsigned dropped, Rounding mode, bool negative)
{
    const unsigned cut = 64 + dropped;
    const u128 unit = u128{1} << cut;
    const u128 rest = value & (unit - 1);
    const u128 half = unit >> 1;
    bool up = false;
    switch (mode) {
    case Rounding::nearest_even:
        up = rest > half || (rest == half && (value & unit) != 0);
        break;
    case Rounding::down:
        up = negative && rest != 0;
        break;
    case Rounding::up:
        up = !negative && rest != 0;
        break;
    case Rounding::toward_zero:
        break;
    }
    const u128 kept = (value - rest) + (up ? unit : 0);
    const bool carry = up && kept < unit;
    return {static_cast<u64>(kept >> 64), rest != 0, up, carry};
}

/// The general case of round_pack: any rounding, precision and exponent. `dropped` is the number
/// of low significand bits to give up.
F80 round_pack_slow(bool negative, i32 exponent, u128 significand, unsigned dropped, Context& ctx);

/// Delivers `significand` * 2^(exponent - bias - 127) to a register. Bit 127 of `significand` is
/// set; the exponent may be out of range. The low 64 bits may be sticky.
inline F80 round_pack(bool negative, i32 exponent, u128 significand, Context& ctx)
{
    const unsigned dropped = ctx.dropped_bits();
    if (ctx.rounding() != Rounding::nearest_even || static_cast<u32>(exponent - 1) >= 0x7ffd)
        [[unlikely]] {
        return round_pack_slow(negative, exponent, significand, dropped, ctx);
    }
    u64 high = static_cast<u64>(significand >> 64);
    u64 low = static_cast<u64>(significand);
    if (dropped != 0) { // bring the cut between the two halves
        low = (high << (64 - dropped)) | (low != 0);
        high &= ~u64{0} << dropped;
    }
    if (low != 0) {
        const u64 unit = u64{1} << dropped;
        const bool up = low > kIntegerBit || (low == kIntegerBit && (high & unit) != 0);
        ctx.raise(sw::pe);
        ctx.rounded_up = up;
        high += up ? unit : 0;
        if (high == 0) { // 0xffff... carried; only upwards
            high = kIntegerBit;
            ++exponent;
        }
    }
    return make_f80(negative, exponent, high);
}

} // namespace emu::fpu
