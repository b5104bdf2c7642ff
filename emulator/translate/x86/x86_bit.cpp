// BT BTS BTR BTC, BSF BSR.
#include "emulator/translate/x86/emitter.hpp"

namespace emu::x86 {

namespace {

enum BitOp : u8 { kTest, kSet, kReset, kComplement };

/// Replaces the carry; ZF is kept, and so are the flags that the manual leaves undefined.
void set_carry(Emitter& e, Slot carry)
{
    const Slot all = e.ir.temp();
    e.ir.emit({.op = Op::getflags, .d = all});
    const Slot others = e.binary_imm(Op::and_, 4, all, ~ir::kCf);
    const Slot bits = e.binary(Op::or_, 4, others, carry);
    e.ir.flags(FlagKind::raw, 4, bits);
}

Slot changed(Emitter& e, BitOp op, Slot value, Slot mask)
{
    if (op == kSet) {
        return e.binary(Op::or_, 4, value, mask);
    }
    if (op == kComplement) {
        return e.binary(Op::xor_, 4, value, mask);
    }
    const Slot kept = e.unary(Op::not_, 4, mask);
    return e.binary(Op::and_, 4, value, kept);
}

/// `number` is the bit within the operand, which `operand` holds or (kTest) has as its value.
Flow apply(Emitter& e, BitOp op, const Rm& operand, Slot number)
{
    const unsigned size = e.operand_size();
    const Slot shifted = e.binary(Op::shr, 4, operand.value, number);
    const Slot carry = e.binary_imm(Op::and_, 4, shifted, 1);
    if (op != kTest) {
        const Slot one = e.constant(1);
        const Slot mask = e.binary(Op::shl, 4, one, number);
        const Slot result = changed(e, op, operand.value, mask);
        e.write_back(size, operand, result);
    }
    set_carry(e, carry);
    return Flow::next;
}

/// A bit offset in a register reaches beyond the memory operand (SDM vol. 2, BT).
Rm addressed_element(Emitter& e, BitOp op, unsigned size)
{
    const Slot offset = e.sign_extended(size, e.insn.reg);
    const Slot element = e.binary_imm(Op::sar, 4, offset, size == 4 ? 5 : 4);
    const Slot first = e.effective_address();
    const Slot at = e.ir.temp();
    e.ir.emit({.op = Op::lea,
               .size = static_cast<u8>(e.address_size()),
               .aux = static_cast<u8>(size == 4 ? 2 : 1),
               .d = at,
               .a = first,
               .b = element});
    const Intent intent = op == kTest ? Intent::read : Intent::modify;
    const Slot address = e.linear(e.insn.segment, at, size, intent);
    return {address, e.load(size, address, intent)};
}

// 0F A3 /r, AB /r, B3 /r, BB /r.
Flow bit_by_reg(Emitter& e)
{
    const auto op = static_cast<BitOp>((e.insn.opcode >> 3) & 3);
    const unsigned size = e.operand_size();
    const Rm operand = e.insn.is_memory() ? addressed_element(e, op, size) : Rm{kNone, e.insn.rm};
    const Slot number = e.binary_imm(Op::and_, 4, e.insn.reg, size * 8 - 1);
    return apply(e, op, operand, number);
}

// 0F BA /4../7 ib.
Flow bit_by_imm(Emitter& e)
{
    const auto op = static_cast<BitOp>(e.insn.reg & 3);
    const unsigned size = e.operand_size();
    const Rm operand = op == kTest ? Rm{kNone, e.rm(size)} : e.modify_rm(size);
    const Slot number = e.constant(e.insn.imm & (size * 8 - 1));
    return apply(e, op, operand, number);
}

// 0F BC /r, 0F BD /r. A zero source sets ZF and leaves the destination alone.
Flow scan(Emitter& e)
{
    const bool forward = e.insn.opcode == (kTwoByte | 0xbc);
    const unsigned size = e.operand_size();
    const Slot value = e.rm(size);
    const Slot source = e.zero_extended(size, value);
    // The IR's scan wants a bit: one that no other search result can be hidden by.
    const Slot guarded = e.binary_imm(Op::or_, 4, source, forward ? 0x8000'0000 : 1);
    const Slot index = e.unary(forward ? Op::bsf : Op::bsr, 4, guarded);
    e.ir.flags(FlagKind::logic, size, source);
    const Slot chosen = e.ir.temp();
    e.ir.emit({.op = Op::select,
               .aux = static_cast<u8>(Cond::e),
               .d = chosen,
               .a = e.insn.reg,
               .b = index});
    e.set_reg(size, e.insn.reg, chosen);
    return Flow::next;
}

constexpr u8 kRmw = kModRm | kLockable;

constexpr std::array kRows{
    OpcodeRow{kTwoByte | 0xa3, 1, kAnyReg, kModRm, Imm::none, bit_by_reg},
    OpcodeRow{kTwoByte | 0xab, 1, kAnyReg, kRmw, Imm::none, bit_by_reg},
    OpcodeRow{kTwoByte | 0xb3, 1, kAnyReg, kRmw, Imm::none, bit_by_reg},
    OpcodeRow{kTwoByte | 0xbb, 1, kAnyReg, kRmw, Imm::none, bit_by_reg},
    OpcodeRow{kTwoByte | 0xba, 1, 4, kModRm, Imm::i8, bit_by_imm},
    OpcodeRow{kTwoByte | 0xba, 1, 5, kRmw, Imm::i8, bit_by_imm},
    OpcodeRow{kTwoByte | 0xba, 1, 6, kRmw, Imm::i8, bit_by_imm},
    OpcodeRow{kTwoByte | 0xba, 1, 7, kRmw, Imm::i8, bit_by_imm},
    OpcodeRow{kTwoByte | 0xbc, 2, kAnyReg, kModRm, Imm::none, scan},
};

} // namespace

std::span<const OpcodeRow> bit_rows()
{
    return kRows;
}

} // namespace emu::x86
