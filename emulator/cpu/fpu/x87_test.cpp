// What the manual says about the stack, the words and pending exceptions, spelled out. The
// instructions' results are compared with a real FPU in host_x87_test.cpp.
#include "emulator/cpu/fpu/x87.hpp"

#include <catch2/catch.hpp>

using namespace emu::fpu;

namespace {

X87State initialized()
{
    X87State s;
    fninit(s);
    return s;
}

constexpr F80 kTwo = make_f80(false, kF80Bias + 1, kIntegerBit);

} // namespace

TEST_CASE("x87 state: reset and FNINIT differ in the control word and the tags")
{
    X87State s;
    CHECK(s.control == 0x0040);
    CHECK(tag_word(s) == 0x5555); // all zeros

    fninit(s);
    CHECK(s.control == 0x037f);
    CHECK(status_word(s) == 0);
    CHECK(tag_word(s) == 0xffff);
}

TEST_CASE("x87 state: loads push downwards and tag by content")
{
    X87State s = initialized();

    fld_constant(s, 0); // 1
    fld_constant(s, 6); // 0
    fld_f32(s, 0x7f80'0000);

    CHECK(status_word(s) == 5 << 11);
    CHECK(tag_word(s) == 0x1bff); // R7 valid, R6 zero, R5 special
    CHECK(st(s, 2) == kF80One);
}

TEST_CASE("x87 state: the ninth load is a stack overflow and gives the indefinite")
{
    X87State s = initialized();
    for (int i = 0; i < 8; ++i) {
        fild(s, i);
    }

    fild(s, 8);

    CHECK(status_word(s) == (sw::ie | sw::sf | sw::c1 | (7 << 11)));
    CHECK(st(s, 0) == kF80Indefinite);
    CHECK_FALSE(exception_pending(s));
}

TEST_CASE("x87 state: an unmasked stack overflow changes nothing but the status")
{
    X87State s = initialized();
    for (int i = 0; i < 8; ++i) {
        fild(s, i);
    }
    set_control_word(s, 0x037e);
    const X87State before = s;

    fild(s, 8);

    CHECK(exception_pending(s));
    CHECK(status_word(s) == (sw::ie | sw::sf | sw::c1 | sw::es | sw::busy));
    CHECK(s.regs == before.regs);
    CHECK(s.top == before.top);
}

TEST_CASE("x87 state: using an empty register is a stack underflow with C1 clear")
{
    X87State s = initialized();
    fld_constant(s, 0);
    s.status |= sw::c1;

    kArithSt0Sti[0](s, 1); // FADD ST(0), ST(1)

    CHECK(status_word(s) == (sw::ie | sw::sf | (7 << 11)));
    CHECK(st(s, 0) == kF80Indefinite);
}

TEST_CASE("x87 state: unmasking a flag that is set makes its exception pending")
{
    X87State s = initialized();
    fld_constant(s, 6);
    fld_constant(s, 0);
    kArithSt0Sti[6](s, 1); // FDIV ST(0), ST(1): 1 / 0
    REQUIRE(s.status == sw::ze);
    REQUIRE_FALSE(exception_pending(s));

    set_control_word(s, 0x037b);
    CHECK(exception_pending(s));

    fnclex(s);
    CHECK_FALSE(exception_pending(s));
    CHECK(s.status == 0);
}

TEST_CASE("x87 state: an unmasked division by zero leaves both operands")
{
    X87State s = initialized();
    set_control_word(s, 0x037b);
    fld_constant(s, 6);
    fld_constant(s, 0);

    kArithStiSt0Pop[6](s, 1); // DE F1: ST(1) = ST(0) / ST(1), pop

    CHECK(exception_pending(s));
    CHECK(st(s, 0) == kF80One);
    CHECK(st(s, 1) == f80_zero(false));
}

TEST_CASE("x87 state: an unmasked overflow delivers the result with a reduced exponent")
{
    X87State s = initialized();
    set_control_word(s, 0x0377);
    fld_f80(s, {kIntegerBit, 0x7ffe});

    kArithSt0Sti[1](s, 0); // square

    CHECK(exception_pending(s));
    CHECK(st(s, 0) == F80{kIntegerBit, 0x7ffe + 0x7ffe - 0x3fff - 24576});
}

TEST_CASE("x87 store: nothing changes until the store is committed")
{
    X87State s = initialized();
    fld_f80(s, {kIntegerBit + 1, kF80Bias});
    const X87State before = s;

    const Store<u64> store = prepare_store_f64(s);
    CHECK(s == before);
    CHECK(store.value == 0x3ff0'0000'0000'0000);
    CHECK(store.status.allowed);

    commit_store(s, store.status, 1);
    CHECK(status_word(s) == sw::pe);
    CHECK(tag_word(s) == 0xffff);
}

TEST_CASE("x87 store: an unmasked invalid operation forbids the store and the pop")
{
    X87State s = initialized();
    set_control_word(s, 0x037e);
    fld_f80(s, {kIntegerBit, kF80Bias + 40});

    const Store<i32> store = prepare_store_i32(s);
    commit_store(s, store.status, 1);

    CHECK_FALSE(store.status.allowed);
    CHECK(exception_pending(s));
    CHECK(s.top == 7);
}

TEST_CASE("x87 store: a packed decimal has 18 digits and a sign")
{
    X87State s = initialized();
    fild(s, -123'456'789'012'345'678);

    CHECK(prepare_store_bcd(s).value == PackedBcd{0x3456'7890'1234'5678, 0x8012});
}

TEST_CASE("x87 reverse forms: DC E0 subtracts ST(i) from ST(0), DC E8 the other way round")
{
    X87State s = initialized();
    fld_f80(s, kF80One);
    fld_f80(s, kTwo);
    kArithStiSt0[4](s, 1); // FSUBR ST(1), ST(0)
    CHECK(st(s, 1) == kF80One);

    kArithStiSt0[5](s, 1); // FSUB ST(1), ST(0)
    CHECK(st(s, 1) == negated(kF80One));
}

TEST_CASE("x87 compare: FCOMI reports unordered in all three flags")
{
    X87State s = initialized();
    fld_f80(s, kF80Indefinite);
    fld_f80(s, kF80One);

    CHECK(fucomi(s, 1) == (eflags::zf | eflags::pf | eflags::cf));
    CHECK((s.status & sw::ie) == 0);
    CHECK(fcomi(s, 0) == eflags::zf);
    CHECK(fcomi(s, 1) == (eflags::zf | eflags::pf | eflags::cf));
    CHECK((s.status & sw::ie) != 0);
}

TEST_CASE("x87 trigonometric: an operand of 2^63 stays and sets C2")
{
    X87State s = initialized();
    fld_f80(s, {kIntegerBit, kF80Bias + 63});

    fsincos(s);

    CHECK(status_word(s) == (sw::c2 | (7 << 11)));
    CHECK(st(s, 0) == F80{kIntegerBit, kF80Bias + 63});
}

TEST_CASE("x87 D9: the table has an instruction for every defined opcode")
{
    unsigned defined = 0;
    for (PlainOperation operation : kD9Register) {
        defined += operation != nullptr;
    }
    X87State s = initialized();
    kD9Register[0xe8 - 0xe0](s); // FLD1

    CHECK(defined == 27);
    CHECK(st(s, 0) == kF80One);
    CHECK(kD9Register[0xef - 0xe0] == nullptr);
}
