#include "emulator/cpu/fpu/convert.hpp"

#include "emulator/cpu/fpu/arith.hpp"

#include <optional>

namespace emu::fpu {

namespace {

/// An IEEE 754 interchange format with an implicit integer bit.
struct NarrowFormat {
    int fraction_bits;
    int exponent_bits;

    constexpr i32 bias() const { return (1 << (exponent_bits - 1)) - 1; }
    constexpr i32 max_exponent() const { return (1 << exponent_bits) - 1; }
    constexpr unsigned dropped_bits() const { return static_cast<unsigned>(63 - fraction_bits); }

    constexpr u64 assemble(bool negative, i32 exponent, u64 fraction) const
    {
        const u64 sign = negative ? u64{1} << (fraction_bits + exponent_bits) : 0;
        return sign | (static_cast<u64>(exponent) << fraction_bits) |
               (fraction & ((u64{1} << fraction_bits) - 1));
    }
};

constexpr NarrowFormat kSingle{23, 8};
constexpr NarrowFormat kDouble{52, 11};

template <NarrowFormat format>
Widened widen(u64 bits)
{
    const bool negative = ((bits >> (format.fraction_bits + format.exponent_bits)) & 1) != 0;
    const i32 exponent = static_cast<i32>(bits >> format.fraction_bits) & format.max_exponent();
    const u64 aligned = bits << format.dropped_bits() & ~kIntegerBit;
    if (static_cast<u32>(exponent - 1) < static_cast<u32>(format.max_exponent() - 1)) [[likely]] {
        return {make_f80(negative, exponent - format.bias() + kF80Bias, kIntegerBit | aligned),
                false};
    }
    if (exponent != 0) {
        return {make_f80(negative, kF80MaxExponent, kIntegerBit | aligned), false};
    }
    if (aligned == 0) {
        return {f80_zero(negative), false};
    }
    const int shift = std::countl_zero(aligned);
    return {make_f80(negative, 1 - shift - format.bias() + kF80Bias, aligned << shift), true};
}

F80 load(Widened widened, Context& ctx)
{
    if (widened.is_denormal) {
        ctx.raise(sw::de);
    } else if (classify(widened.value) == F80Class::signaling_nan) {
        ctx.raise(sw::ie);
        return quieted(widened.value);
    }
    return widened.value;
}

u64 narrow_overflow(bool negative, NarrowFormat format, Context& ctx)
{
    const Rounding mode = ctx.rounding();
    const bool to_infinity = mode == Rounding::nearest_even ||
                             (mode == Rounding::down && negative) ||
                             (mode == Rounding::up && !negative);
    ctx.raise(sw::oe);
    if (!ctx.is_unmasked(sw::oe)) {
        ctx.raise(sw::pe);
        ctx.rounded_up = to_infinity;
    }
    return to_infinity ? format.assemble(negative, format.max_exponent(), 0)
                       : format.assemble(negative, format.max_exponent() - 1, ~u64{0});
}

u64 narrow_finite(F80 a, NarrowFormat format, Context& ctx)
{
    const Unpacked u = unpack_finite(a);
    const unsigned dropped = format.dropped_bits();
    const u128 significand = static_cast<u128>(u.significand) << 64;
    i32 exponent = u.exponent - kF80Bias + format.bias();
    Rounded r = round_at(significand, dropped, ctx.rounding(), u.negative);
    const bool is_tiny = exponent + (r.carry ? 1 : 0) < 1; // after rounding
    if (is_tiny) {
        const i32 distance = 1 - exponent > 128 ? 128 : 1 - exponent;
        r = round_at(shift_right_sticky(significand, static_cast<unsigned>(distance)), dropped,
                     ctx.rounding(), u.negative);
        if (ctx.is_unmasked(sw::ue)) {
            ctx.raise(sw::ue);
            return 0;
        }
        // A rounding up to the smallest normal number carries into the exponent field.
        exponent = (r.significand & kIntegerBit) != 0 ? 1 : 0;
    } else {
        exponent += r.carry ? 1 : 0;
        if (exponent >= format.max_exponent()) {
            return narrow_overflow(u.negative, format, ctx);
        }
    }
    if (r.is_inexact) {
        ctx.raise(is_tiny ? sw::ue | sw::pe : sw::pe);
        ctx.rounded_up = r.is_up;
    }
    return format.assemble(u.negative, exponent, r.significand >> dropped);
}

u64 narrow_slow(F80 a, NarrowFormat format, Context& ctx)
{
    const bool negative = is_negative(a);
    switch (classify(a)) {
    case F80Class::zero:
        return format.assemble(negative, 0, 0);
    case F80Class::infinity:
        return format.assemble(negative, format.max_exponent(), 0);
    case F80Class::unsupported:
        ctx.raise(sw::ie);
        return format.assemble(true, format.max_exponent(), kQuietBit >> format.dropped_bits());
    case F80Class::signaling_nan:
        ctx.raise(sw::ie);
        [[fallthrough]];
    case F80Class::quiet_nan:
        return format.assemble(negative, format.max_exponent(),
                               quieted(a).significand >> format.dropped_bits());
    case F80Class::denormal:
    case F80Class::normal:
        break;
    }
    return narrow_finite(a, format, ctx);
}

/// The common case in line: a number normal in both formats, rounded to nearest.
template <NarrowFormat format>
u64 narrow(F80 a, Context& ctx)
{
    const i32 exponent = exponent_of(a) - kF80Bias + format.bias();
    const bool fits = static_cast<u32>(exponent - 1) < static_cast<u32>(format.max_exponent() - 2);
    if (!fits || (a.significand >> 63) == 0 || ctx.rounding() != Rounding::nearest_even)
        [[unlikely]] {
        return narrow_slow(a, format, ctx);
    }
    constexpr unsigned kDropped = format.dropped_bits();
    const u64 rest = a.significand << (64 - kDropped);
    const u64 kept = a.significand >> kDropped;
    const bool up = rest > kIntegerBit || (rest == kIntegerBit && (kept & 1) != 0);
    if (rest != 0) {
        ctx.raise(sw::pe);
        ctx.rounded_up = up;
    }
    // The integer bit adds one to the exponent field, and so does a carry out of the fraction.
    return format.assemble(is_negative(a), 0, 0) +
           (static_cast<u64>(exponent - 1) << format.fraction_bits) + kept + (up ? 1 : 0);
}

} // namespace

Widened widen_f32(u32 bits)
{
    return widen<kSingle>(bits);
}

Widened widen_f64(u64 bits)
{
    return widen<kDouble>(bits);
}

F80 from_f32(u32 bits, Context& ctx)
{
    return load(widen_f32(bits), ctx);
}

F80 from_f64(u64 bits, Context& ctx)
{
    return load(widen_f64(bits), ctx);
}

u32 to_f32(F80 a, Context& ctx)
{
    return static_cast<u32>(narrow<kSingle>(a, ctx));
}

u64 to_f64(F80 a, Context& ctx)
{
    return narrow<kDouble>(a, ctx);
}

F80 from_integer(i64 value)
{
    if (value == 0) {
        return {};
    }
    const u64 magnitude = value < 0 ? u64{0} - static_cast<u64>(value) : static_cast<u64>(value);
    const int shift = std::countl_zero(magnitude);
    return make_f80(value < 0, kF80Bias + 63 - shift, magnitude << shift);
}

namespace {

struct Magnitude {
    bool negative;
    u64 value;
};

/// Rounds to an integer of at most `limit` (`limit` + 1 when negative and `twos_complement`).
/// Nothing when it does not fit or is no number: the caller answers with its indefinite.
std::optional<Magnitude> to_magnitude(F80 a, u64 positive_limit, u64 negative_limit, Context& ctx)
{
    const bool negative = is_negative(a);
    const F80Class a_class = classify(a);
    const i32 exponent = exponent_of(a);
    if (a_class == F80Class::zero) {
        return Magnitude{negative, 0};
    }
    if ((a_class != F80Class::normal && a_class != F80Class::denormal) ||
        exponent > kF80Bias + 63) {
        ctx.raise(sw::ie);
        return {};
    }
    const int fraction_bits = kF80Bias + 63 - exponent;
    const unsigned below = static_cast<unsigned>(fraction_bits > 65 ? 65 : fraction_bits);
    const u128 aligned = shift_right_sticky(static_cast<u128>(a.significand) << 64, below);
    const Rounded r = round_at(aligned, 0, ctx.rounding(), negative);
    if (r.carry || r.significand > (negative ? negative_limit : positive_limit)) {
        ctx.raise(sw::ie);
        return {};
    }
    if (r.is_inexact) {
        ctx.raise(sw::pe);
        ctx.rounded_up = r.is_up;
    }
    return Magnitude{negative, r.significand};
}

template <class Integer, class Unsigned>
Integer to_signed(F80 a, Context& ctx)
{
    constexpr Unsigned kIndefinite =
        static_cast<Unsigned>(Unsigned{1} << (sizeof(Unsigned) * 8 - 1));
    const auto magnitude = to_magnitude(a, kIndefinite - 1u, kIndefinite, ctx);
    if (!magnitude) {
        return static_cast<Integer>(kIndefinite);
    }
    const u64 bits = magnitude->negative ? u64{0} - magnitude->value : magnitude->value;
    return static_cast<Integer>(static_cast<Unsigned>(bits));
}

} // namespace

i16 to_i16(F80 a, Context& ctx)
{
    return to_signed<i16, u16>(a, ctx);
}

i32 to_i32(F80 a, Context& ctx)
{
    return to_signed<i32, u32>(a, ctx);
}

i64 to_i64(F80 a, Context& ctx)
{
    return to_signed<i64, u64>(a, ctx);
}

F80 from_bcd(PackedBcd bcd)
{
    const bool negative = (bcd.digits_16_17_and_sign & 0x8000) != 0;
    const u16 high = bcd.digits_16_17_and_sign;
    u64 value = u64{(high >> 4) & 15u} * 10 + (high & 15u);
    for (int digit = 15; digit >= 0; --digit) {
        value = value * 10 + ((bcd.digits_0_to_15 >> (4 * digit)) & 15);
    }
    if (value == 0) {
        return f80_zero(negative);
    }
    const F80 magnitude = from_integer(static_cast<i64>(value)); // at most 1.7 * 10^18: no overflow
    return negative ? negated(magnitude) : magnitude;
}

PackedBcd to_bcd(F80 a, Context& ctx)
{
    constexpr u64 kLargest = 999'999'999'999'999'999;
    const auto magnitude = to_magnitude(a, kLargest, kLargest, ctx);
    if (!magnitude) {
        return kBcdIndefinite;
    }
    PackedBcd bcd;
    u64 rest = magnitude->value;
    for (int digit = 0; digit < 16; ++digit) {
        bcd.digits_0_to_15 |= (rest % 10) << (4 * digit);
        rest /= 10;
    }
    bcd.digits_16_17_and_sign =
        static_cast<u16>((magnitude->negative ? 0x8000 : 0) | ((rest / 10) << 4) | (rest % 10));
    return bcd;
}

} // namespace emu::fpu
