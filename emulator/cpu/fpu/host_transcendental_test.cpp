// The host's transcendental results may be one unit in the last place off; ours are compared with
// that tolerance here, and with correctly rounded values in transcendental_test.cpp.
#include "emulator/cpu/fpu/host_x87.hpp"
#include "emulator/cpu/fpu/sample_values.hpp"
#include "emulator/cpu/fpu/x87.hpp"

#include <catch2/catch.hpp>
#include <cstdio>
#include <string>

using namespace emu::fpu;

namespace {

constexpr u16 kSpecialFlags = sw::ie | sw::de | sw::ze | sw::sf | sw::c2 | sw::es;

std::string describe(F80 a)
{
    char text[32];
    std::snprintf(text, sizeof text, "%04x:%016llx ", a.sign_exponent,
                  static_cast<unsigned long long>(a.significand));
    return text;
}

std::string describe(const X87State& s)
{
    char text[48];
    std::snprintf(text, sizeof text, "sw %04x tw %04x ", status_word(s), tag_word(s));
    return text + describe(st(s, 0)) + describe(st(s, 1)) + describe(st(s, 2));
}

X87State state_of(const host::RegisterFile& registers)
{
    X87State s;
    set_control_word(s, registers.control);
    set_status_word(s, registers.status);
    set_tag_word(s, registers.tag_word);
    for (unsigned i = 0; i < 8; ++i) {
        st(s, i) = registers.st[i];
    }
    return s;
}

/// The distance in units of the last place, for numbers of the same sign.
u64 distance(F80 a, F80 b)
{
    if (a == b) {
        return 0;
    }
    if (is_negative(a) != is_negative(b)) {
        return ~u64{0};
    }
    const i32 steps = exponent_of(a) - exponent_of(b);
    if (steps == 0) {
        return a.significand > b.significand ? a.significand - b.significand
                                             : b.significand - a.significand;
    }
    const F80 larger = steps > 0 ? a : b;
    const F80 smaller = steps > 0 ? b : a;
    return steps == 1 || steps == -1 ? ~smaller.significand + (larger.significand - kIntegerBit) + 1
                                     : ~u64{0};
}

bool agree(const X87State& host, const X87State& ours)
{
    return distance(st(host, 0), st(ours, 0)) <= 1 && distance(st(host, 1), st(ours, 1)) <= 1 &&
           host.top == ours.top && host.empty == ours.empty &&
           ((host.status ^ ours.status) & kSpecialFlags) == 0;
}

struct Range {
    F80 (*st0)(sample::Random&);
    F80 (*st1)(sample::Random&);
};

F80 corner(sample::Random& random)
{
    static const std::vector<F80> corners = sample::corner_values();
    return corners[random.below(corners.size())];
}

F80 any(sample::Random& random)
{
    return random.below(3) == 0 ? corner(random) : sample::random_value(random);
}

/// Both signs, exponents from 2^-lowest up to below 2^highest.
template <i32 lowest, i32 highest>
F80 between(sample::Random& random)
{
    const i32 exponent = lowest + static_cast<i32>(random.below(highest - lowest));
    return make_f80(random.below(2) != 0, kF80Bias + exponent, random.next() | kIntegerBit);
}

template <i32 lowest, i32 highest>
F80 positive(sample::Random& random)
{
    F80 value = between<lowest, highest>(random);
    value.sign_exponent &= 0x7fff;
    return value;
}

void check(std::initializer_list<u8> bytes, PlainOperation model, Range range)
{
    if (!host::kHasHostX87) {
        return;
    }
    const host::Instruction instruction{bytes};
    sample::Random random{bytes.begin()[1]};
    unsigned differences = 0;
    for (unsigned i = 0; i < 30000; ++i) {
        const F80 st0 = range.st0(random);
        const u16 masks = i % 4 == 0 ? static_cast<u16>(random.below(8) | 0x38) : 0x3f;
        host::RegisterFile before = host::with_two(st0, range.st1(random), 0x340 | masks);
        if (i % 16 == 0) {
            before.tag_word = static_cast<u16>(random.next() | (random.next() & 0xffff));
        }
        X87State ours = state_of(before);
        const X87State host = state_of(instruction.run(before).registers);

        model(ours);

        if (!agree(host, ours) && ++differences <= 4) {
            UNSCOPED_INFO("before " << describe(state_of(before)) << std::hex << before.control
                                    << "\n host " << describe(host) << "\n ours "
                                    << describe(ours));
        }
    }
    CHECK(differences == 0);
}

} // namespace

TEST_CASE("x87: FSIN and FCOS are within one unit of the host's")
{
    check({0xd9, 0xfe}, fsin, {between<-70, 63>, any});
    check({0xd9, 0xfe}, fsin, {any, any});
    check({0xd9, 0xff}, fcos, {between<-70, 63>, any});
    check({0xd9, 0xff}, fcos, {any, any});
}

TEST_CASE("x87: FSINCOS is within one unit of the host's")
{
    check({0xd9, 0xfb}, fsincos, {between<-70, 63>, any});
    check({0xd9, 0xfb}, fsincos, {any, any});
}

TEST_CASE("x87: FPTAN is within one unit of the host's")
{
    check({0xd9, 0xf2}, fptan, {between<-70, 63>, any});
    check({0xd9, 0xf2}, fptan, {any, any});
}

TEST_CASE("x87: FPATAN is within one unit of the host's")
{
    check({0xd9, 0xf3}, fpatan, {between<-10, 10>, between<-10, 10>});
    check({0xd9, 0xf3}, fpatan, {between<-1, 1>, between<-70, 70>});
    check({0xd9, 0xf3}, fpatan, {any, any});
}

TEST_CASE("x87: F2XM1 is within one unit of the host's")
{
    check({0xd9, 0xf0}, f2xm1, {between<-8, 0>, any});
    check({0xd9, 0xf0}, f2xm1, {between<-80, 0>, any});
    check({0xd9, 0xf0}, f2xm1, {any, any});
}

TEST_CASE("x87: FYL2X is within one unit of the host's")
{
    check({0xd9, 0xf1}, fyl2x, {positive<-2, 2>, between<-1, 1>});
    check({0xd9, 0xf1}, fyl2x, {positive<-16000, 16000>, between<-100, 100>});
    check({0xd9, 0xf1}, fyl2x, {any, any});
}

TEST_CASE("x87: FYL2XP1 is within one unit of the host's")
{
    check({0xd9, 0xf9}, fyl2xp1, {between<-80, -2>, between<-1, 1>});
    check({0xd9, 0xf9}, fyl2xp1, {corner, corner});
}
