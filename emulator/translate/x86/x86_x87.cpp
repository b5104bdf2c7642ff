// x87 and MMX: helper calls that get the encoding and the operand's offset.
//
// The helpers check CR0 and pending exceptions before they touch memory, so they do their own
// accesses.
#include "emulator/translate/x86/emitter.hpp"

#include "emulator/cpu/fpu/mmx.hpp"
#include "emulator/cpu/x86/fpu_args.hpp"

namespace emu::x86 {

namespace {

Slot packed_args(Emitter& e, u8 opcode)
{
    const Decoded& insn = e.insn;
    const auto modrm = static_cast<u8>(insn.mod << 6 | insn.reg << 3 | insn.rm);
    return e.constant(pack_fpu_args(
        {.opcode = opcode, .modrm = modrm, .segment = insn.segment, .operand32 = insn.operand32}));
}

void call_with_operand(Emitter& e, u32 index, u8 opcode)
{
    const Slot args = packed_args(e, opcode);
    const Slot offset = e.insn.is_memory() ? e.effective_address() : Slot{kNone};
    e.call(index, args, offset);
}

// D8 to DF.
Flow escape(Emitter& e)
{
    const u8 opcode = e.insn.opcode & 7;
    call_with_operand(e, e.insn.is_memory() ? helper<"x87_memory">() : helper<"x87_register">(),
                      opcode);
    return Flow::next;
}

// 9B.
Flow fwait(Emitter& e)
{
    e.call(helper<"fwait">());
    return Flow::next;
}

// 0F AE /0, /1.
Flow fxsave(Emitter& e)
{
    call_with_operand(e, e.insn.reg == 0 ? helper<"fxsave">() : helper<"fxrstor">(), 0);
    return Flow::next;
}

// 0F AE /5, /6, /7 of registers: LFENCE, MFENCE, SFENCE. Memory is in order for the only CPU there
// is. Deviation: they work where the others of SSE and SSE2 are undefined; U-Boot has them without
// a look at CPUID.
Flow fence(Emitter&)
{
    return Flow::next;
}

Flow mmx(Emitter& e)
{
    const auto opcode = static_cast<u8>(e.insn.opcode);
    if (fpu::mmx_operation(opcode) == nullptr) {
        return e.undefined();
    }
    call_with_operand(e, helper<"mmx_operation">(), opcode);
    return Flow::next;
}

// 0F 71, 72, 73.
Flow mmx_shift(Emitter& e)
{
    const auto opcode = static_cast<u8>(e.insn.opcode);
    if (fpu::mmx_shift_by_immediate(opcode, e.insn.reg) == nullptr) {
        return e.undefined();
    }
    const Slot args = packed_args(e, opcode);
    const Slot count = e.constant(e.insn.imm & 0xff);
    e.call(helper<"mmx_shift">(), args, count);
    return Flow::next;
}

// 0F 6E, 6F, 7E, 7F.
Flow mmx_move(Emitter& e)
{
    const auto opcode = static_cast<u8>(e.insn.opcode);
    switch (opcode) {
    case 0x6e:
        call_with_operand(e, helper<"mmx_load32">(), opcode);
        break;
    case 0x6f:
        call_with_operand(e, helper<"mmx_load64">(), opcode);
        break;
    case 0x7e:
        call_with_operand(e, helper<"mmx_store32">(), opcode);
        break;
    default:
        call_with_operand(e, helper<"mmx_store64">(), opcode);
        break;
    }
    return Flow::next;
}

// 0F 77.
Flow emms(Emitter& e)
{
    e.call(helper<"emms">());
    return Flow::next;
}

constexpr OpcodeRow mmx_row(u8 opcode, u16 count)
{
    return {
        static_cast<u16>(kTwoByte | opcode), count, kAnyReg, kModRm, Imm::none, mmx, kFeatureMmx};
}

constexpr std::array kRows{
    OpcodeRow{0x9b, 1, kAnyReg, 0, Imm::none, fwait},
    OpcodeRow{0xd8, 8, kAnyReg, kModRm, Imm::none, escape, kFeatureFpu},
    mmx_row(0x60, 14),
    OpcodeRow{kTwoByte | 0x6e, 2, kAnyReg, kModRm, Imm::none, mmx_move, kFeatureMmx},
    OpcodeRow{kTwoByte | 0x71, 3, kAnyReg, kModRm | kRegOnly, Imm::i8, mmx_shift, kFeatureMmx},
    mmx_row(0x74, 3),
    OpcodeRow{kTwoByte | 0x77, 1, kAnyReg, 0, Imm::none, emms, kFeatureMmx},
    OpcodeRow{kTwoByte | 0x7e, 2, kAnyReg, kModRm, Imm::none, mmx_move, kFeatureMmx},
    OpcodeRow{kTwoByte | 0xae, 1, 0, kModRm | kMemOnly, Imm::none, fxsave, kFeatureFxsr},
    OpcodeRow{kTwoByte | 0xae, 1, 1, kModRm | kMemOnly, Imm::none, fxsave, kFeatureFxsr},
    OpcodeRow{kTwoByte | 0xae, 1, 5, kModRm | kRegOnly, Imm::none, fence, kFeatureFxsr},
    OpcodeRow{kTwoByte | 0xae, 1, 6, kModRm | kRegOnly, Imm::none, fence, kFeatureFxsr},
    OpcodeRow{kTwoByte | 0xae, 1, 7, kModRm | kRegOnly, Imm::none, fence, kFeatureFxsr},
    mmx_row(0xd0, 48), // those of them that exist; see fpu::mmx_operation()
};

} // namespace

std::span<const OpcodeRow> x87_rows()
{
    return kRows;
}

} // namespace emu::x86
