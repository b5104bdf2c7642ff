// Whole instructions run in both tiers: faults leave nothing behind, strings stop where they must.
#include "emulator/translate/x86/vectors/guest.hpp"

#include <catch2/catch.hpp>

using namespace emu;
using namespace emu::x86;

namespace {

const accel::Tier kTiers[] = {accel::Tier::interpret, accel::Tier::compile};

constexpr u32 kAbsent = 0x40000; // a page that is not there

} // namespace

TEST_CASE("x86 faults: a store to an absent page tells its address and points at the store",
          "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.enable_paging({kAbsent});
        guest.state().set_reg32(kEax, 0x1234);
        guest.state().set_reg32(kEbx, kAbsent);
        guest.run({0x89, 0x03}); // mov [ebx], eax
        CHECK(guest.vector_taken() == kPageFault);
        CHECK(guest.state().cr2 == kAbsent);
        CHECK(guest.stacked(0) == 2); // a write, page not present
        CHECK(guest.stacked(1) == Guest::kCode);
    }
}

TEST_CASE("x86 faults: POP to an absent page leaves ESP where it was", "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.enable_paging({kAbsent});
        guest.state().set_reg32(kEbx, kAbsent);
        guest.run({0x6a, 0x05, 0x8f, 0x03}); // push 5; pop dword [ebx]
        CHECK(guest.vector_taken() == kPageFault);
        CHECK(guest.stacked(1) == Guest::kCode + 2);
        // Error code, EIP, CS, EFLAGS, then the 5 that was not popped.
        CHECK(guest.stacked(4) == 5);
    }
}

TEST_CASE("x86 faults: XADD and CMPXCHG to an absent page change no register or flag",
          "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.enable_paging({kAbsent});
        guest.state().set_reg32(kEbx, kAbsent + 8);
        guest.state().set_reg32(kEax, 7);
        guest.run({0x31, 0xc9, 0x0f, 0xc1, 0x03}); // xor ecx, ecx; xadd [ebx], eax
        CHECK(guest.vector_taken() == kPageFault);
        CHECK(guest.state().reg32(kEax) == 7);
        CHECK((guest.stacked(3) & ir::kArithmeticFlags) == (ir::kZf | ir::kPf));
    }
}

TEST_CASE("x86 fences: the register forms are instructions, the memory forms are not",
          "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.state().set_reg32(kEax, 1);
        // lfence; inc eax; mfence; inc eax; sfence; inc eax; clflush [eax]
        guest.run({0x0f, 0xae, 0xe8, 0x40, 0x0f, 0xae, 0xf0, 0x40, 0x0f, 0xae, 0xf8, 0x40, 0x0f,
                   0xae, 0x38});
        CHECK(guest.vector_taken() == kInvalidOpcode);
        CHECK(guest.state().reg32(kEax) == 4);
        CHECK(guest.stacked(0) == Guest::kCode + 12);
    }
}

TEST_CASE("x86 divide: errors raise #DE with the registers unchanged", "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.state().set_reg32(kEax, 0x8000'0000);
        guest.state().set_reg32(kEdx, 0xffff'ffff);
        guest.state().set_reg32(kEcx, 0xffff'ffff);
        guest.run({0xf7, 0xf9}); // idiv ecx: -2^31 / -1
        CHECK(guest.vector_taken() == kDivideError);
        CHECK(guest.state().reg32(kEax) == 0x8000'0000);
        CHECK(guest.stacked(0) == Guest::kCode);
    }
}

TEST_CASE("x86 strings: REP MOVSD stops at the iteration that faults", "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.enable_paging({kAbsent});
        guest.state().set_reg32(kEsi, 0x20000);
        guest.state().set_reg32(kEdi, kAbsent - 12);
        guest.state().set_reg32(kEcx, 10);
        guest.write32(0x20008, 0xdead'beef);
        guest.run({0xf3, 0xa5});
        CHECK(guest.vector_taken() == kPageFault);
        CHECK(guest.state().cr2 == kAbsent);
        CHECK(guest.state().reg32(kEcx) == 7);
        CHECK(guest.state().reg32(kEsi) == 0x2000c);
        CHECK(guest.state().reg32(kEdi) == kAbsent);
        CHECK(guest.read32(kAbsent - 4) == 0xdead'beef);
        CHECK(guest.stacked(1) == Guest::kCode);
    }
}

TEST_CASE("x86 strings: every iteration counts as one instruction", "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.state().set_reg32(kEdi, 0x20000);
        guest.state().set_reg32(kEcx, 5000);
        const u64 before = guest.state().retired();
        guest.run({0xf3, 0xaa}); // rep stosb over more than a page
        CHECK(guest.state().retired() - before == 5001);
        CHECK(guest.state().reg32(kEdi) == 0x20000 + 5000);
        CHECK(guest.state().reg32(kEcx) == 0);
    }
}

TEST_CASE("x86 strings: a budget that ends within a repetition stops there", "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.state().set_reg32(kEdi, 0x20000);
        guest.state().set_reg32(kEcx, 5000);
        const std::array<u8, 2> rep_stosb{0xf3, 0xaa};
        guest.run(rep_stosb, 1234);
        CHECK(guest.state().reg32(kEcx) == 5000 - 1234);
        CHECK(guest.state().pc == Guest::kCode);
    }
}

TEST_CASE("x86 strings: overlapping and backward copies go element by element", "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.write32(0x20000, 0x4433'2211);
        guest.state().set_reg32(kEsi, 0x20000);
        guest.state().set_reg32(kEdi, 0x20001);
        guest.state().set_reg32(kEcx, 7);
        guest.run({0xf3, 0xa4}); // the first byte spreads
        CHECK(guest.read64(0x20000) == 0x1111'1111'1111'1111);

        guest.write32(0x20000, 0x4433'2211);
        guest.state().set_reg32(kEsi, 0x20003);
        guest.state().set_reg32(kEdi, 0x20004);
        guest.state().set_reg32(kEcx, 4);
        guest.run({0xfd, 0xf3, 0xa4, 0xfc}); // std; rep movsb; cld
        CHECK(guest.read64(0x20000) == 0x1111'1144'3322'1111);
    }
}

TEST_CASE("x86 strings: REPNE SCASB finds, REPE CMPSB stops behind the difference",
          "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.write32(0x20000, 0x0043'4241);
        guest.state().set_reg32(kEax, 0);
        guest.state().set_reg32(kEdi, 0x20000);
        guest.state().set_reg32(kEcx, 100);
        guest.run({0xf2, 0xae});
        CHECK(guest.state().reg32(kEcx) == 96);
        CHECK(guest.state().reg32(kEdi) == 0x20004);
        CHECK((guest.state().full_eflags() & ir::kZf) != 0);

        guest.write32(0x20010, 0x0044'4241);
        guest.state().set_reg32(kEsi, 0x20000);
        guest.state().set_reg32(kEdi, 0x20010);
        guest.state().set_reg32(kEcx, 100);
        guest.run({0xf3, 0xa6});
        CHECK(guest.state().reg32(kEcx) == 97);
        CHECK((guest.state().full_eflags() & (ir::kZf | ir::kCf)) == ir::kCf);
    }
}

TEST_CASE("x86 strings: REP OUTSB writes in order, REP INSB reads into memory", "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.write32(0x20000, 0x0000'4241);
        guest.state().set_reg32(kEsi, 0x20000);
        guest.state().set_reg32(kEcx, 2);
        guest.state().set_reg32(kEdx, 0x80);
        guest.run({0xf3, 0x6e});
        CHECK(guest.board.writes == std::vector<RecordingBoard::Write>{{0x80, 0x41}, {0x80, 0x42}});
        guest.state().set_reg32(kEdi, 0x20010);
        guest.state().set_reg32(kEcx, 4);
        guest.run({0xf3, 0x6c});
        CHECK(guest.read32(0x20010) == 0x4443'4241);
    }
}

TEST_CASE("x86 bits: BT with a register reaches beyond the operand, also backwards",
          "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.write32(0x20000, 0);
        guest.state().set_reg32(kEbx, 0x20010);
        guest.state().set_reg32(kEax, 0u - 128); // 16 bytes below
        guest.run({0x0f, 0xab, 0x03});           // bts [ebx], eax
        CHECK(guest.read32(0x20000) == 1);
        CHECK((guest.state().full_eflags() & ir::kCf) == 0);
    }
}

TEST_CASE("x86 stack: ENTER with nesting copies the frame pointers", "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.state().set_reg32(kEbp, 0x6800);
        guest.write32(0x67fc, 0x1111);
        guest.run({0xc8, 0x08, 0x00, 0x02}); // enter 8, 2
        CHECK(guest.read32(Guest::kStack - 4) == 0x6800);
        CHECK(guest.read32(Guest::kStack - 8) == 0x1111);
        CHECK(guest.read32(Guest::kStack - 12) == Guest::kStack - 4);
        CHECK(guest.state().reg32(kEbp) == Guest::kStack - 4);
        CHECK(guest.state().reg32(kEsp) == Guest::kStack - 20);
    }
}

TEST_CASE("x86 CMPXCHG8B: exchanges on equality, else loads EDX:EAX", "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest guest{tier};
        guest.write32(0x20000, 1);
        guest.write32(0x20004, 2);
        guest.state().set_reg32(kEax, 1);
        guest.state().set_reg32(kEdx, 2);
        guest.state().set_reg32(kEbx, 3);
        guest.state().set_reg32(kEcx, 4);
        guest.state().set_reg32(kEsi, 0x20000);
        guest.run({0x0f, 0xc7, 0x0e});
        CHECK(guest.read64(0x20000) == 0x0000'0004'0000'0003);
        CHECK((guest.state().full_eflags() & ir::kZf) != 0);
        guest.run({0x0f, 0xc7, 0x0e});
        CHECK(guest.state().reg32(kEax) == 3);
        CHECK(guest.state().reg32(kEdx) == 4);
        CHECK((guest.state().full_eflags() & ir::kZf) == 0);
    }
}

TEST_CASE("x86 faults: undefined opcodes, LOCK where it is not allowed, 16 bytes", "[x86][execute]")
{
    for (const accel::Tier tier : kTiers) {
        Guest ud2{tier};
        ud2.run({0x0f, 0x0b});
        CHECK(ud2.vector_taken() == kInvalidOpcode);
        Guest lock{tier};
        lock.run({0xf0, 0x01, 0xc0});
        CHECK(lock.vector_taken() == kInvalidOpcode);
        Guest sse{tier}; // not offered by CPUID: addps xmm0, xmm0
        sse.run({0x0f, 0x58, 0xc0});
        CHECK(sse.vector_taken() == kInvalidOpcode);
        Guest long_one{tier};
        const std::vector<u8> prefixes(15, 0x66);
        long_one.run(prefixes);
        CHECK(long_one.vector_taken() == kGeneralProtection);
    }
}
