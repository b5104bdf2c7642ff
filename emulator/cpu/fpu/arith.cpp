#include "emulator/cpu/fpu/arith.hpp"

#include <cmath>

namespace emu::fpu {

namespace {

/// Added to or taken from the exponent of a result delivered with overflow or underflow unmasked
/// (SDM 8.5.4 and 8.5.5: 3 * 2^13).
constexpr i32 kExponentWrap = 24576;

bool is_invalid_operand(F80Class c)
{
    return c == F80Class::signaling_nan || c == F80Class::unsupported;
}

/// SDM table 4-7: of two NaNs the larger significand wins, a QNaN wins over an SNaN, and of two
/// that differ in the sign only the positive one is taken.
F80 choose_nan(F80 a, F80Class a_class, F80 b, F80Class b_class)
{
    if (!is_nan(b_class)) {
        return quieted(a);
    }
    if (!is_nan(a_class)) {
        return quieted(b);
    }
    if (a_class != b_class) {
        return a_class == F80Class::quiet_nan ? a : b;
    }
    if (a.significand != b.significand) {
        return quieted(a.significand > b.significand ? a : b);
    }
    return quieted(is_negative(a) ? b : a);
}

F80 overflow(bool negative, unsigned dropped, Context& ctx)
{
    const Rounding mode = ctx.rounding();
    const bool to_infinity = mode == Rounding::nearest_even ||
                             (mode == Rounding::down && negative) ||
                             (mode == Rounding::up && !negative);
    ctx.raise(sw::oe | sw::pe);
    ctx.rounded_up = to_infinity;
    return to_infinity ? f80_infinity(negative)
                       : make_f80(negative, kF80MaxExponent - 1, ~u64{0} << dropped);
}

/// `significand` is too small for a normal number even after rounding.
F80 underflow(bool negative, i32 exponent, u128 significand, unsigned dropped, Context& ctx)
{
    const i64 distance = i64{1} - exponent;
    const u128 shifted =
        shift_right_sticky(significand, static_cast<unsigned>(distance > 128 ? 128 : distance));
    const Rounded r = round_at(shifted, dropped, ctx.rounding(), negative);
    if (r.is_inexact) {
        ctx.raise(sw::ue | sw::pe);
        ctx.rounded_up = r.is_up;
    }
    return make_f80(negative, (r.significand & kIntegerBit) != 0 ? 1 : 0, r.significand);
}

} // namespace

F80 round_pack_slow(bool negative, i32 exponent, u128 significand, unsigned dropped, Context& ctx)
{
    const Rounded r = round_at(significand, dropped, ctx.rounding(), negative);
    i32 rounded_exponent = exponent + (r.carry ? 1 : 0);
    // Tininess is detected after rounding to the destination's precision (SDM 4.9.1.5).
    if (rounded_exponent < 1) {
        if (!ctx.is_unmasked(sw::ue)) {
            return underflow(negative, exponent, significand, dropped, ctx);
        }
        ctx.raise(sw::ue);
        if (rounded_exponent + kExponentWrap < 1) { // "massive underflow" by FSCALE
            ctx.raise(sw::pe);
            return f80_zero(negative);
        }
        rounded_exponent += kExponentWrap;
    } else if (rounded_exponent >= kF80MaxExponent) {
        if (!ctx.is_unmasked(sw::oe)) {
            return overflow(negative, dropped, ctx);
        }
        ctx.raise(sw::oe);
        if (rounded_exponent - kExponentWrap >= kF80MaxExponent) { // "massive overflow" by FSCALE
            ctx.raise(sw::pe);
            ctx.rounded_up = true;
            return f80_infinity(negative);
        }
        rounded_exponent -= kExponentWrap;
    }
    if (r.is_inexact) {
        ctx.raise(sw::pe);
        ctx.rounded_up = r.is_up;
    }
    return make_f80(negative, rounded_exponent, r.carry ? kIntegerBit : r.significand);
}

bool answer_nan(F80 a, F80 b, Context& ctx, F80& result)
{
    const F80Class a_class = classify(a);
    const F80Class b_class = classify(b);
    if (is_invalid_operand(a_class) || is_invalid_operand(b_class)) {
        ctx.raise(sw::ie);
    }
    if (a_class == F80Class::unsupported || b_class == F80Class::unsupported) {
        result = kF80Indefinite;
        return true;
    }
    if (!is_nan(a_class) && !is_nan(b_class)) {
        return false;
    }
    result = choose_nan(a, a_class, b, b_class);
    return true;
}

bool answer_nan(F80 a, Context& ctx, F80& result)
{
    return answer_nan(a, kF80One, ctx, result);
}

void note_denormals(F80 a, Context& ctx)
{
    if (classify(a) == F80Class::denormal || ctx.memory_denormal) {
        ctx.raise(sw::de);
    }
}

void note_denormals(F80 a, F80 b, Context& ctx)
{
    note_denormals(a, ctx);
    note_denormals(b, ctx);
}

namespace {

F80 invalid(Context& ctx)
{
    ctx.raise(sw::ie);
    return kF80Indefinite;
}

F80 add_signed(F80 a, F80 b, bool b_negative, Context& ctx)
{
    F80 nan;
    if (answer_nan(a, b, ctx, nan)) {
        return nan;
    }
    const F80Class a_class = classify(a);
    const F80Class b_class = classify(b);
    if (a_class == F80Class::infinity && b_class == F80Class::infinity &&
        is_negative(a) != b_negative) {
        return invalid(ctx);
    }
    note_denormals(a, b, ctx);
    if (a_class == F80Class::infinity) {
        return a;
    }
    if (b_class == F80Class::infinity) {
        return f80_infinity(b_negative);
    }
    if (ctx.is_abandoned()) {
        return a;
    }
    if (a_class == F80Class::zero && b_class == F80Class::zero) {
        const bool differ = is_negative(a) != b_negative;
        return f80_zero(differ ? ctx.rounding() == Rounding::down : b_negative);
    }
    if (a_class == F80Class::zero || b_class == F80Class::zero) {
        const Unpacked only = unpack_finite(a_class == F80Class::zero ? b : a);
        return round_pack(a_class == F80Class::zero ? b_negative : is_negative(a), only.exponent,
                          static_cast<u128>(only.significand) << 64, ctx);
    }
    return detail::add_finite(unpack_finite(a), unpack_finite(b), b_negative, ctx);
}

} // namespace

F80 add_slow(F80 a, F80 b, Context& ctx)
{
    return add_signed(a, b, is_negative(b), ctx);
}

F80 sub_slow(F80 a, F80 b, Context& ctx)
{
    return add_signed(a, b, !is_negative(b), ctx);
}

F80 mul_slow(F80 a, F80 b, Context& ctx)
{
    F80 nan;
    if (answer_nan(a, b, ctx, nan)) {
        return nan;
    }
    const F80Class a_class = classify(a);
    const F80Class b_class = classify(b);
    const bool negative = is_negative(a) != is_negative(b);
    const bool has_zero = a_class == F80Class::zero || b_class == F80Class::zero;
    const bool has_infinity = a_class == F80Class::infinity || b_class == F80Class::infinity;
    if (has_zero && has_infinity) {
        return invalid(ctx);
    }
    note_denormals(a, b, ctx);
    if (has_infinity) {
        return f80_infinity(negative);
    }
    if (has_zero || ctx.is_abandoned()) {
        return f80_zero(negative);
    }
    return detail::mul_finite(unpack_finite(a), unpack_finite(b), ctx);
}

F80 div_slow(F80 a, F80 b, Context& ctx)
{
    F80 nan;
    if (answer_nan(a, b, ctx, nan)) {
        return nan;
    }
    const F80Class a_class = classify(a);
    const F80Class b_class = classify(b);
    const bool negative = is_negative(a) != is_negative(b);
    if (a_class == b_class && (a_class == F80Class::zero || a_class == F80Class::infinity)) {
        return invalid(ctx);
    }
    if (b_class == F80Class::zero && a_class != F80Class::infinity) {
        ctx.raise(sw::ze); // comes before #D (SDM 4.9.2)
        return f80_infinity(negative);
    }
    note_denormals(a, b, ctx);
    if (a_class == F80Class::infinity) {
        return f80_infinity(negative);
    }
    if (a_class == F80Class::zero || b_class == F80Class::infinity || ctx.is_abandoned()) {
        return f80_zero(negative);
    }
    return detail::div_finite(unpack_finite(a), unpack_finite(b), ctx);
}

namespace {

/// floor(sqrt(value)) for a value of at least 2^126. The estimate comes from the host's double
/// square root, which IEEE 754 rounds the same everywhere; the integer steps make it exact.
u64 integer_sqrt(u128 value)
{
    const double estimate = std::sqrt(static_cast<double>(static_cast<u64>(value >> 64))); // < 2^32
    u128 root = static_cast<u128>(static_cast<u64>(estimate * 0x1p31)) << 1;
    root = (root + value / root) >> 1; // 52 good bits become more than 100: at most one off
    while (root * root > value || root > ~u64{0}) {
        --root;
    }
    while (root < ~u64{0} && (root + 1) * (root + 1) <= value) {
        ++root;
    }
    return static_cast<u64>(root);
}

} // namespace

F80 sqrt(F80 a, Context& ctx)
{
    F80 nan;
    if (answer_nan(a, ctx, nan)) {
        return nan;
    }
    const F80Class a_class = classify(a);
    if (a_class == F80Class::zero) {
        return a;
    }
    if (is_negative(a)) {
        return invalid(ctx);
    }
    note_denormals(a, ctx);
    if (a_class == F80Class::infinity || ctx.is_abandoned()) {
        return a;
    }
    const Unpacked u = unpack_finite(a);
    const i32 unbiased = u.exponent - kF80Bias;
    // significand * 2^unbiased with an even power of two left outside the root.
    const u128 radicand = static_cast<u128>(u.significand) << ((unbiased & 1) != 0 ? 64 : 63);
    const u64 root = integer_sqrt(radicand);
    const u128 rest = radicand - static_cast<u128>(root) * root;
    // sqrt(radicand) is never half-way between two integers, so two sticky values are enough.
    const u64 below = rest == 0 ? 0 : (rest > root ? kIntegerBit + 1 : 1);
    return round_pack(false, (unbiased >> 1) + kF80Bias, (static_cast<u128>(root) << 64) | below,
                      ctx);
}

} // namespace emu::fpu
