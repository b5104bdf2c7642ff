#include "emulator/cpu/fpu/host_x87.hpp"
#include "emulator/cpu/fpu/mmx.hpp"
#include "emulator/cpu/fpu/sample_values.hpp"
#include "emulator/cpu/fpu/x87.hpp"

#include <catch2/catch.hpp>

using namespace emu::fpu;

namespace {

/// Bytes at the borders of every lane width, often.
u64 operand(sample::Random& random)
{
    constexpr u8 kBytes[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    u64 value = random.next();
    for (unsigned i = 0; i < 8; ++i) {
        if (random.below(2) == 0) {
            const u64 byte = kBytes[random.below(5)];
            value = (value & ~(u64{0xff} << (8 * i))) | (byte << (8 * i));
        }
    }
    return random.below(3) == 0 ? value & 0x7f : value; // small ones for shift counts
}

} // namespace

TEST_CASE("mmx: every register instruction gives the host's result")
{
    unsigned instructions = 0;
    for (unsigned opcode = 0; opcode < 256; ++opcode) {
        const MmxOperation operation = mmx_operation(static_cast<u8>(opcode));
        if (operation == nullptr || !host::kHasHostX87) {
            continue;
        }
        ++instructions;
        const host::Instruction instruction{0x0f, static_cast<u8>(opcode), 0xc1}; // op mm0, mm1
        sample::Random random{opcode};
        unsigned differences = 0;
        for (int i = 0; i < 2000; ++i) {
            const u64 a = operand(random);
            const u64 b = operand(random);
            host::RegisterFile before;
            before.st[0].significand = a;
            before.st[1].significand = b;
            const F80 host = instruction.run(before).registers.st[0];
            differences += host != F80{operation(a, b), 0xffff};
        }
        INFO("opcode " << std::hex << opcode);
        CHECK(differences == 0);
    }
    CHECK(instructions == (host::kHasHostX87 ? 44 : 0));
}

TEST_CASE("mmx: shifts by an immediate give the host's result")
{
    for (unsigned opcode : {0x71u, 0x72u, 0x73u}) {
        for (unsigned reg : {2u, 4u, 6u}) {
            const MmxOperation operation = mmx_shift_by_immediate(static_cast<u8>(opcode), reg);
            if (operation == nullptr || !host::kHasHostX87) {
                continue;
            }
            for (u8 count : {0, 1, 7, 15, 16, 31, 32, 63, 64, 255}) {
                const host::Instruction instruction{0x0f, static_cast<u8>(opcode),
                                                    static_cast<u8>(0xc0 + 8 * reg), count};
                host::RegisterFile before;
                before.st[0].significand = 0x8123'4567'89ab'cdef;
                CHECK(instruction.run(before).registers.st[0].significand ==
                      operation(0x8123'4567'89ab'cdef, count));
            }
        }
    }
}

TEST_CASE("mmx: opcodes without an instruction have no operation")
{
    CHECK(mmx_operation(0x77) == nullptr);
    CHECK(mmx_operation(0xe0) == nullptr); // PAVGB came with SSE
    CHECK(mmx_shift_by_immediate(0x73, 4) == nullptr);
    CHECK(mmx_shift_by_immediate(0x71, 0) == nullptr);
    CHECK(mmx_shift_by_immediate(0x70, 2) == nullptr);
}

TEST_CASE("mmx: known results of saturation, packing and multiplication")
{
    CHECK(mmx_operation(0xdc)(0xff01'f080'0000'0000, 0x02fe'2080'0000'0001) ==
          0xffff'ffff'0000'0001); // PADDUSB
    CHECK(mmx_operation(0xed)(0x7fff'8000'0001'ffff, 0x0001'ffff'0001'0001) ==
          0x7fff'8000'0002'0000); // PADDSW
    CHECK(mmx_operation(0x67)(0xffff'0100'00ff'0080, 0x8000'7fff'0000'0001) ==
          0x00ff'0001'00ff'ff80); // PACKUSWB
    CHECK(mmx_operation(0xf5)(0x8000'8000'0002'0003, 0x8000'8000'0004'0005) ==
          0x8000'0000'0000'0017); // PMADDWD
}

TEST_CASE("mmx: a write makes the register a NaN of the x87, and all registers full")
{
    X87State s;
    fninit(s);
    fld_f80(s, kF80One);

    begin_mmx(s);
    set_mmx_register(s, 3, 0x0123'4567'89ab'cdef);

    CHECK(s.regs[3] == F80{0x0123'4567'89ab'cdef, 0xffff});
    CHECK(s.top == 0);
    CHECK(s.empty == 0);
    CHECK(mmx_register(s, 7) == kIntegerBit); // the 1 pushed before
}

TEST_CASE("mmx: EMMS empties the register stack")
{
    X87State s;
    begin_mmx(s);
    set_mmx_register(s, 0, 5);

    emms(s);

    CHECK(tag_word(s) == 0xffff);
    CHECK(mmx_register(s, 0) == 5);
}
