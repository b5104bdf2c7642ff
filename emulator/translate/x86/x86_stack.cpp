// PUSH POP and their relatives, ENTER LEAVE.
#include "emulator/translate/x86/emitter.hpp"

namespace emu::x86 {

namespace {

// 50+r. PUSH ESP stores the pointer's value from before (SDM vol. 2, PUSH).
Flow push_reg(Emitter& e)
{
    e.push(e.operand_size(), e.insn.opcode & 7);
    return Flow::next;
}

// 58+r. POP ESP keeps the popped value.
Flow pop_reg(Emitter& e)
{
    const u8 number = e.insn.opcode & 7;
    const unsigned size = e.operand_size();
    if (size == 4 && number != kEsp) { // straight into the register: only the load can fault
        const Slot pointer = e.stack_pointer(0);
        const Slot at = e.linear(kSs, pointer, size, Intent::read);
        e.ir.emit({.op = Op::ld, .d = number, .a = at});
        e.drop(size);
        return Flow::next;
    }
    const Slot value = e.peek(size);
    e.drop(size);
    e.set_reg(size, number, value);
    return Flow::next;
}

// 68 iz, 6A ib.
Flow push_imm(Emitter& e)
{
    const Slot value = e.constant(e.insn.imm);
    e.push(e.operand_size(), value);
    return Flow::next;
}

// FF /6.
Flow push_rm(Emitter& e)
{
    const Slot value = e.rm(e.operand_size());
    e.push(e.operand_size(), value);
    return Flow::next;
}

// 8F /0. An address with ESP as base is computed after the pointer has moved (SDM vol. 2, POP).
Flow pop_rm(Emitter& e)
{
    const unsigned size = e.operand_size();
    const Slot value = e.peek(size);
    if (e.insn.is_memory()) {
        const Slot at = e.address(size, Intent::write, e.insn.base == kEsp ? size : 0);
        e.store(size, at, value);
        e.drop(size);
    } else {
        e.drop(size);
        e.set_reg(size, e.insn.rm, value);
    }
    return Flow::next;
}

// 60. All eight below the pointer, which moves last.
Flow pusha(Emitter& e)
{
    const unsigned size = e.operand_size();
    for (u32 number = 0; number < 8; ++number) {
        const Slot pointer = e.stack_pointer(0u - size * (number + 1));
        const Slot at = e.linear(kSs, pointer, size, Intent::write);
        e.store(size, at, static_cast<Slot>(number));
    }
    e.drop(0u - size * 8);
    return Flow::next;
}

// 61. The stored stack pointer is skipped.
Flow popa(Emitter& e)
{
    const unsigned size = e.operand_size();
    std::array<Slot, 8> values{};
    for (u32 number = 0; number < 8; ++number) {
        if (number != kEsp) {
            values[number] = e.peek(size, size * (7 - number));
        }
    }
    e.drop(size * 8);
    for (u32 number = 0; number < 8; ++number) {
        if (number != kEsp) {
            e.set_reg(size, number, values[number]);
        }
    }
    return Flow::next;
}

u8 segment_of_opcode(u16 opcode)
{
    if ((opcode & kTwoByte) != 0) {
        return (opcode & 8) != 0 ? kGs : kFs; // 0F A0 A1, 0F A8 A9
    }
    return (opcode >> 3) & 3;
}

// 06 0E 16 1E, 0F A0, 0F A8. With a 32-bit operand the upper half is written as zero.
Flow push_sreg(Emitter& e)
{
    const u8 segment = segment_of_opcode(e.insn.opcode);
    const Slot selector = e.selector(segment);
    e.push(e.operand_size(), selector);
    return Flow::next;
}

// 07 17 1F, 0F A1, 0F A9.
Flow pop_sreg(Emitter& e)
{
    const u8 segment = segment_of_opcode(e.insn.opcode);
    const unsigned size = e.operand_size();
    const Slot value = e.peek(size);
    const Slot selector = e.unary(Op::zx, 2, value);
    const Slot pointer = e.stack_pointer(size);
    // Where SS changes the stack's width, the pointer is still the old segment's.
    return e.load_segment(segment, selector, {pointer, kEsp, e.stack_size()});
}

// 9C.
Flow pushf(Emitter& e)
{
    const Slot width = e.constant(e.operand_size());
    const Slot image = e.call(helper<"pushf">(), kNone, kNone, width);
    e.push(e.operand_size(), image);
    return Flow::next;
}

// 9D. The helper may refuse (virtual-8086 mode), so the pointer moves after it.
Flow popf(Emitter& e)
{
    const unsigned size = e.operand_size();
    const Slot value = e.peek(size);
    const Slot width = e.constant(size);
    e.call(helper<"popf">(), value, kNone, width);
    e.drop(size);
    return e.leave_to_next();
}

// C8 iw ib.
Flow enter(Emitter& e)
{
    const unsigned size = e.operand_size();
    const u32 level = e.insn.imm2 & 31;
    if (level != 0) {
        const Slot bytes = e.constant(e.insn.imm);
        const Slot levels = e.constant(level);
        const Slot width = e.constant(size);
        e.call(helper<"enter">(), bytes, levels, width);
        return Flow::next;
    }
    const Slot frame = e.stack_pointer(0u - size);
    const Slot at = e.linear(kSs, frame, size, Intent::write);
    e.store(size, at, kEbp);
    const Slot pointer = e.lea(e.stack_size(), frame, 0u - e.insn.imm);
    if (e.insn.imm != 0) { // it also faults where a write at the new top would
        const Slot top = e.linear(kSs, pointer, size, Intent::write);
        e.load(size, top, Intent::modify);
    }
    if (size == 4 && e.stack_size() == 2) { // the upper half is that of ESP
        const Slot whole = e.copy(4, kEsp);
        e.ir.emit({.op = Op::put16, .size = 2, .d = whole, .a = frame});
        e.set_reg(4, kEbp, whole);
    } else {
        e.set_reg(size, kEbp, frame);
    }
    e.set_stack_pointer(pointer);
    return Flow::next;
}

// C9.
Flow leave(Emitter& e)
{
    const unsigned size = e.operand_size();
    const Slot frame = e.stack_size() == 4 ? Slot{kEbp} : e.zero_extended(2, kEbp);
    const Slot at = e.linear(kSs, frame, size, Intent::read);
    const Slot value = e.load(size, at);
    const Slot pointer = e.lea(e.stack_size(), frame, size);
    e.set_stack_pointer(pointer);
    e.set_reg(size, kEbp, value);
    return Flow::next;
}

// 62 /r: two signed limits in memory.
Flow bound(Emitter& e)
{
    const unsigned size = e.operand_size();
    const Slot low = e.load_operand(size);
    const Slot high = e.load_operand(size, size);
    const Slot index = e.sign_extended(size, e.insn.reg);
    const Slot wide_low = e.sign_extended(size, low);
    const Slot wide_high = e.sign_extended(size, high);
    e.call(helper<"bound">(), index, wide_low, wide_high);
    return Flow::next;
}

constexpr std::array kRows{
    OpcodeRow{0x06, 1, kAnyReg, 0, Imm::none, push_sreg},
    OpcodeRow{0x07, 1, kAnyReg, 0, Imm::none, pop_sreg},
    OpcodeRow{0x0e, 1, kAnyReg, 0, Imm::none, push_sreg},
    OpcodeRow{0x16, 1, kAnyReg, 0, Imm::none, push_sreg},
    OpcodeRow{0x17, 1, kAnyReg, 0, Imm::none, pop_sreg},
    OpcodeRow{0x1e, 1, kAnyReg, 0, Imm::none, push_sreg},
    OpcodeRow{0x1f, 1, kAnyReg, 0, Imm::none, pop_sreg},
    OpcodeRow{0x50, 8, kAnyReg, 0, Imm::none, push_reg},
    OpcodeRow{0x58, 8, kAnyReg, 0, Imm::none, pop_reg},
    OpcodeRow{0x60, 1, kAnyReg, 0, Imm::none, pusha},
    OpcodeRow{0x61, 1, kAnyReg, 0, Imm::none, popa},
    OpcodeRow{0x62, 1, kAnyReg, kModRm | kMemOnly, Imm::none, bound},
    OpcodeRow{0x68, 1, kAnyReg, 0, Imm::iz, push_imm},
    OpcodeRow{0x6a, 1, kAnyReg, 0, Imm::i8, push_imm},
    OpcodeRow{0x8f, 1, 0, kModRm, Imm::none, pop_rm},
    OpcodeRow{0x9c, 1, kAnyReg, 0, Imm::none, pushf},
    OpcodeRow{0x9d, 1, kAnyReg, 0, Imm::none, popf},
    OpcodeRow{0xc8, 1, kAnyReg, 0, Imm::enter, enter},
    OpcodeRow{0xc9, 1, kAnyReg, 0, Imm::none, leave},
    OpcodeRow{0xff, 1, 6, kModRm, Imm::none, push_rm},
    OpcodeRow{kTwoByte | 0xa0, 1, kAnyReg, 0, Imm::none, push_sreg},
    OpcodeRow{kTwoByte | 0xa1, 1, kAnyReg, 0, Imm::none, pop_sreg},
    OpcodeRow{kTwoByte | 0xa8, 1, kAnyReg, 0, Imm::none, push_sreg},
    OpcodeRow{kTwoByte | 0xa9, 1, kAnyReg, 0, Imm::none, pop_sreg},
};

} // namespace

std::span<const OpcodeRow> stack_rows()
{
    return kRows;
}

} // namespace emu::x86
