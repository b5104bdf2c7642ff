// Literal cases that hold on every host; the bulk is compared with a real FPU in
// host_arith_test.cpp.
#include "emulator/cpu/fpu/arith.hpp"
#include "emulator/cpu/fpu/compare.hpp"
#include "emulator/cpu/fpu/convert.hpp"
#include "emulator/cpu/fpu/remainder.hpp"
#include "emulator/cpu/fpu/shape.hpp"

#include <catch2/catch.hpp>

using namespace emu::fpu;

namespace {

constexpr F80 kHalfUnit = make_f80(false, kF80Bias - 64, kIntegerBit); // half of 1's last place
constexpr F80 kNextAfterOne = make_f80(false, kF80Bias, kIntegerBit + 1);
constexpr F80 kSmallestDenormal = make_f80(false, 0, 1);
constexpr F80 kSmallestNormal = make_f80(false, 1, kIntegerBit);
constexpr F80 kLargest = make_f80(false, 0x7ffe, ~u64{0});
constexpr F80 kSignalingNan = make_f80(false, 0x7fff, kIntegerBit + 1);

Context with_control(u16 control)
{
    Context ctx;
    ctx.control = control;
    return ctx;
}

} // namespace

TEST_CASE("f80: a tie goes to the even neighbour")
{
    Context ctx;
    CHECK(add(kF80One, kHalfUnit, ctx) == kF80One);
    CHECK(ctx.raised == sw::pe);
    CHECK_FALSE(ctx.rounded_up);

    CHECK(add(kNextAfterOne, kHalfUnit, ctx) == F80{kIntegerBit + 2, kF80Bias});
    CHECK(ctx.rounded_up);
}

TEST_CASE("f80: rounding up and down take the neighbours")
{
    Context up = with_control(0x0b7f);
    Context down = with_control(0x077f);

    CHECK(add(kF80One, kSmallestDenormal, up) == kNextAfterOne);
    CHECK(add(kF80One, kSmallestDenormal, down) == kF80One);
    CHECK(up.raised == (sw::pe | sw::de));
}

TEST_CASE("f80: precision control rounds the significand to 53 and 24 bits")
{
    Context to_double = with_control(0x027f);
    Context to_single = with_control(0x007f);
    const F80 three = from_integer(3);

    CHECK(div(kF80One, three, to_double) == F80{0xaaaa'aaaa'aaaa'a800, kF80Bias - 2});
    CHECK(div(kF80One, three, to_single) == F80{0xaaaa'ab00'0000'0000, kF80Bias - 2});
}

TEST_CASE("f80: the difference of equal numbers is minus zero only when rounding down")
{
    Context nearest;
    Context down = with_control(0x077f);

    CHECK(sub(kF80One, kF80One, nearest) == f80_zero(false));
    CHECK(sub(kF80One, kF80One, down) == f80_zero(true));
}

TEST_CASE("f80: masked overflow is infinity or the largest number")
{
    Context nearest;
    Context truncating = with_control(0x0f7f);

    CHECK(add(kLargest, kLargest, nearest) == f80_infinity(false));
    CHECK(nearest.raised == (sw::oe | sw::pe));
    CHECK(add(kLargest, kLargest, truncating) == kLargest);
}

TEST_CASE("f80: underflow is reported when tiny and inexact, or when unmasked")
{
    Context exact;
    const F80 half = make_f80(false, kF80Bias - 1, kIntegerBit);
    CHECK(mul(kSmallestNormal, half, exact) == F80{kIntegerBit >> 1, 0});
    CHECK(exact.raised == 0);

    Context unmasked = with_control(0x036f);
    CHECK(mul(kSmallestNormal, half, unmasked) == F80{kIntegerBit, 24576});
    CHECK(unmasked.raised == sw::ue);
}

TEST_CASE("f80: invalid operations give the indefinite, signaling NaNs are quieted")
{
    Context ctx;
    CHECK(sub(f80_infinity(false), f80_infinity(false), ctx) == kF80Indefinite);
    CHECK(ctx.raised == sw::ie);

    Context with_nan;
    CHECK(add(kSignalingNan, kF80One, with_nan) == F80{kIntegerBit | kQuietBit | 1, 0x7fff});
    CHECK(with_nan.raised == sw::ie);
}

TEST_CASE("f80: unnormals are invalid")
{
    Context ctx;
    CHECK(mul({1, kF80Bias}, kF80One, ctx) == kF80Indefinite);
    CHECK(ctx.raised == sw::ie);
}

TEST_CASE("f80: the square root of 2 is rounded to nearest, that of -1 is invalid")
{
    Context ctx;
    CHECK(emu::fpu::sqrt(from_integer(2), ctx) == F80{0xb504'f333'f9de'6484, kF80Bias});
    CHECK(emu::fpu::sqrt(from_integer(-1), ctx) == kF80Indefinite);
    CHECK(ctx.raised == (sw::pe | sw::ie));
}

TEST_CASE("f80: FPREM1 rounds the quotient to nearest, FPREM truncates it")
{
    Context ctx;
    const Remainder truncated = remainder_truncating(from_integer(11), from_integer(4), ctx);
    const Remainder nearest = remainder_nearest(from_integer(11), from_integer(4), ctx);

    CHECK(truncated.value == from_integer(3));
    CHECK(truncated.quotient == 2);
    CHECK(nearest.value == from_integer(-1));
    CHECK(nearest.quotient == 3);
}

TEST_CASE("f80: conversions of numbers that do not fit are invalid")
{
    Context ctx;
    CHECK(to_i16(from_integer(40000), ctx) == -32768);
    CHECK(ctx.raised == sw::ie);
    CHECK(to_bcd(from_integer(1'000'000'000'000'000'000), ctx) == kBcdIndefinite);
}

TEST_CASE("f80: conversion to float rounds into the denormals")
{
    Context ctx;
    // 2^-149 * 1.5 is a tie between 1 and 2 units
    CHECK(to_f32(make_f80(false, kF80Bias - 149, 0xc000'0000'0000'0000), ctx) == 2);
    CHECK(ctx.raised == (sw::ue | sw::pe));
}

TEST_CASE("f80: comparison of a NaN is unordered, and invalid when ordered was asked for")
{
    Context quiet;
    Context ordered;
    CHECK(compare_unordered(kF80Indefinite, kF80One, quiet) == Relation::unordered);
    CHECK(quiet.raised == 0);
    CHECK(compare_ordered(kF80Indefinite, kF80One, ordered) == Relation::unordered);
    CHECK(ordered.raised == sw::ie);
}

TEST_CASE("f80: extraction takes a number apart, scaling puts it together")
{
    Context ctx;
    const Extracted parts = extract(from_integer(-24), ctx);
    CHECK(parts.exponent == from_integer(4));
    CHECK(parts.significand == F80{0xc000'0000'0000'0000, 0xbfff});
    CHECK(scale(parts.significand, parts.exponent, ctx) == from_integer(-24));
    CHECK(ctx.raised == 0);
}
