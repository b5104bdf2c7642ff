#include "emulator/ir/flags.hpp"

#include <catch2/catch.hpp>

using namespace emu::ir;

TEST_CASE("flags: a signed overflow of an addition sets OF and SF, not CF")
{
    const u32 flags = compute_flags(flag_op(FlagKind::add, 1), 0x80, 0x01); // 0x7f + 1

    CHECK(flags == (kOf | kSf | kAf));
}

TEST_CASE("flags: comparing less with greater sets the borrow")
{
    const u32 flags = compute_flags(flag_op(FlagKind::sub, 4), 0xffffffff, 2); // 1 - 2

    CHECK(flags == (kCf | kSf | kPf | kAf));
    CHECK(compute_carry(flag_op(FlagKind::sub, 4), 0xffffffff, 2) == 1);
    CHECK(condition_holds(Cond::l, flags));
    CHECK_FALSE(condition_holds(Cond::ae, flags));
}

TEST_CASE("flags: inc keeps the carry it is given")
{
    CHECK(compute_flags(flag_op(FlagKind::inc, 2), 0x8000, 1) == (kOf | kSf | kAf | kPf | kCf));
}

TEST_CASE("flags: adding with carry at full width carries out")
{
    // 0xff + 0xff + 1 = 0xff, carry
    const u32 flags = evaluate_raw_kind(FlagKind::adc, 1, 0, 0xff, 0xff, 1);

    CHECK(flags == (kCf | kSf | kPf | kAf));
}

TEST_CASE("flags: a shift by zero leaves the flags as they were")
{
    CHECK(evaluate_raw_kind(FlagKind::shlv, 4, kZf | kCf, 5, 5, 32) == (kZf | kCf));
}

TEST_CASE("flags: shl by one of the top bit gives carry and overflow")
{
    const u32 flags = evaluate_raw_kind(FlagKind::shlv, 1, 0, 0x00, 0x80, 1);

    CHECK(flags == (kCf | kOf | kZf | kPf));
}

TEST_CASE("flags: a rotate touches only carry and overflow")
{
    CHECK(evaluate_raw_kind(FlagKind::rolv, 1, kZf | kPf, 0x01, 0, 1) == (kZf | kPf | kCf | kOf));
}
