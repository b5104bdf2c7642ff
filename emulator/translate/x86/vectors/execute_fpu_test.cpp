// x87 and MMX instructions through the translator, in both tiers.
#include "emulator/translate/x86/vectors/guest.hpp"

#include <bit>
#include <catch2/catch.hpp>

using namespace emu;
using namespace emu::x86;

namespace {

const accel::Tier kTiers[] = {accel::Tier::interpret, accel::Tier::compile};

u64 bits_of(double value)
{
    return std::bit_cast<u64>(value);
}

} // namespace

TEST_CASE("x86 x87: loads, arithmetic and stores of doubles", "[x86][x87]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.state().set_reg32(kEbx, 0x20000);
        guest.write32(0x20000, static_cast<u32>(bits_of(1.5)));
        guest.write32(0x20004, static_cast<u32>(bits_of(1.5) >> 32));
        guest.run({0xdb, 0xe3,         // fninit
                   0xdd, 0x03,         // fld qword [ebx]
                   0xd9, 0xe8,         // fld1
                   0xde, 0xc1,         // faddp
                   0xdc, 0x0b,         // fmul qword [ebx]
                   0xdd, 0x5b, 0x08}); // fstp qword [ebx+8]
        CHECK(guest.read64(0x20008) == bits_of(3.75));
        CHECK(guest.state().x87.empty == 0xff);
    }
}

TEST_CASE("x86 x87: integers, BCD, ten-byte numbers and FNSTSW", "[x86][x87]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.state().set_reg32(kEbx, 0x20000);
        guest.write32(0x20000, 0u - 1234);
        guest.run({0xdb, 0xe3,       // fninit
                   0xdb, 0x03,       // fild dword [ebx]
                   0xd9, 0xc0,       // fld st0
                   0xdf, 0x73, 0x10, // fbstp [ebx+16]
                   0xdb, 0x7b, 0x20, // fstp tword [ebx+32]
                   0xdb, 0x6b, 0x20, // fld tword [ebx+32]
                   0xdf, 0x7b, 0x30, // fistp qword [ebx+48]
                   0xdf, 0xe0});     // fnstsw ax
        CHECK(guest.read64(0x20010) == 0x1234);
        CHECK((guest.read32(0x20018) & 0xffff) == 0x8000);
        CHECK(guest.read64(0x20030) == ~u64{1233});
        CHECK((guest.state().reg32(kEax) & 0xffff) == 0);
    }
}

TEST_CASE("x86 x87: FCOMI sets the processor's flags, FCMOV reads them", "[x86][x87]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.run({0xdb, 0xe3,   // fninit
                   0xd9, 0xe8,   // fld1
                   0xd9, 0xee,   // fldz
                   0xdb, 0xf1,   // fcomi st0, st1: 0 < 1
                   0xda, 0xc1}); // fcmovb st0, st1
        CHECK((guest.state().full_eflags() & ir::kArithmeticFlags) == ir::kCf);
        CHECK(fpu::st(guest.state().x87, 0) == fpu::kF80One);
    }
}

TEST_CASE("x86 x87: CR0.TS and CR0.EM raise #NM before memory is touched", "[x86][x87]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.enable_paging({0x40000});
        guest.state().cr0 |= kCr0Ts;
        guest.state().set_reg32(kEbx, 0x40000);
        guest.run({0xdd, 0x03});
        CHECK(guest.vector_taken() == kDeviceNotAvailable);
        CHECK(guest.stacked(0) == Guest::kCode);
    }
}

TEST_CASE("x86 x87: an unmasked error waits for the next instruction", "[x86][x87]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.state().set_reg32(kEbx, 0x20000);
        guest.write32(0x20000, 0x037b); // zero divide unmasked
        guest.run({0xdb, 0xe3,          // fninit
                   0xd9, 0x2b,          // fldcw [ebx]
                   0xd9, 0xe8,          // fld1
                   0xd8, 0xf1,          // fdiv st0, st1: st1 is empty; masked
                   0xd9, 0xee,          // fldz
                   0xd9, 0xe8,          // fld1
                   0xd8, 0xf1,          // fdiv st0, st1
                   0x90,                // nop
                   0x9b});              // fwait
        CHECK(guest.vector_taken() == kFloatingPoint);
        CHECK(guest.stacked(0) == Guest::kCode + 15);
    }
}

TEST_CASE("x86 x87: FNSAVE and FRSTOR carry the whole state", "[x86][x87]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.state().set_reg32(kEbx, 0x20000);
        guest.run({0xdb, 0xe3,                           // fninit
                   0xd9, 0xeb,                           // fldpi
                   0xdd, 0x33,                           // fnsave [ebx]
                   0xdd, 0x23,                           // frstor [ebx]
                   0xdd, 0x9b, 0x00, 0x01, 0x00, 0x00}); // fstp qword [ebx+256]
        CHECK(guest.read64(0x20100) == bits_of(3.14159265358979323846));
        CHECK(guest.read32(0x20000) == 0xffff'037f);
    }
}

TEST_CASE("x86 MMX: PADDB, shifts and MOVQ, EMMS empties the stack", "[x86][mmx]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.state().set_reg32(kEbx, 0x20000);
        guest.write32(0x20000, 0xff01'0203);
        guest.write32(0x20004, 0x0405'0607);
        guest.run({0x0f, 0x6f, 0x03,       // movq mm0, [ebx]
                   0x0f, 0xfc, 0xc0,       // paddb mm0, mm0
                   0x0f, 0x73, 0xd0, 0x08, // psrlq mm0, 8
                   0x0f, 0x7f, 0x43, 0x08, // movq [ebx+8], mm0
                   0x0f, 0x7e, 0xc0,       // movd eax, mm0
                   0x0f, 0x77});           // emms
        CHECK(guest.read64(0x20008) == 0x0008'0a0c'0efe'0204);
        CHECK(guest.state().reg32(kEax) == 0x0efe'0204);
        CHECK(guest.state().x87.empty == 0xff);
    }
}

TEST_CASE("x86 FXSAVE: needs 16-byte alignment, and FXRSTOR brings the state back", "[x86][x87]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.state().set_reg32(kEbx, 0x20000);
        guest.run({0xdb, 0xe3, 0xd9, 0xe8, // fninit; fld1
                   0x0f, 0xae, 0x03,       // fxsave [ebx]
                   0xdb, 0xe3,             // fninit
                   0x0f, 0xae, 0x0b});     // fxrstor [ebx]
        CHECK(fpu::st(guest.state().x87, 0) == fpu::kF80One);
        guest.state().set_reg32(kEbx, 0x20008);
        guest.run({0x0f, 0xae, 0x03});
        CHECK(guest.vector_taken() == kGeneralProtection);
    }
}
