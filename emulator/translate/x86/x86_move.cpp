// MOV, MOVZX MOVSX, LEA, XCHG, BSWAP, XLAT, SETcc, CMOVcc, SALC, and loads of segment registers.
#include "emulator/translate/x86/emitter.hpp"

namespace emu::x86 {

namespace {

// 88 /r, 89 /r.
Flow mov_rm_reg(Emitter& e)
{
    const Slot value = e.reg(e.width(), e.insn.reg);
    e.set_rm(e.width(), value);
    return Flow::next;
}

/// Loads that need no narrowing go straight into the register.
void load_reg32(Emitter& e, u8 number, unsigned size, bool is_signed)
{
    const Slot at = e.address(size, Intent::read);
    e.ir.emit({.op = Op::ld,
               .size = static_cast<u8>(size),
               .aux = static_cast<u8>(is_signed ? 1 : 0),
               .d = number,
               .a = at});
}

// 8A /r, 8B /r.
Flow mov_reg_rm(Emitter& e)
{
    if (e.insn.is_memory() && e.width() == 4) {
        load_reg32(e, e.insn.reg, 4, false);
        return Flow::next;
    }
    const Slot value = e.rm(e.width());
    e.set_reg(e.width(), e.insn.reg, value);
    return Flow::next;
}

void set_reg_constant(Emitter& e, unsigned size, unsigned number, u32 value)
{
    if (size == 4) {
        e.ir.mov_imm(4, static_cast<Slot>(number), value);
    } else {
        e.set_reg(size, number, e.constant(value));
    }
}

// B0+r ib.
Flow mov_reg8_imm(Emitter& e)
{
    set_reg_constant(e, 1, e.insn.opcode & 7, e.insn.imm);
    return Flow::next;
}

// B8+r iz.
Flow mov_reg_imm(Emitter& e)
{
    set_reg_constant(e, e.operand_size(), e.insn.opcode & 7, e.insn.imm);
    return Flow::next;
}

// C6 /0 ib, C7 /0 iz.
Flow mov_rm_imm(Emitter& e)
{
    if (!e.insn.is_memory()) {
        set_reg_constant(e, e.width(), e.insn.rm, e.insn.imm);
        return Flow::next;
    }
    const Slot at = e.address(e.width(), Intent::write);
    const Slot value = e.constant(e.insn.imm);
    e.store(e.width(), at, value);
    return Flow::next;
}

// A0 moffs, A1 moffs.
Flow mov_acc_moffs(Emitter& e)
{
    const Slot offset = e.constant(e.insn.imm);
    const Slot at = e.linear(e.insn.segment, offset, e.width(), Intent::read);
    if (e.width() == 4) {
        e.ir.emit({.op = Op::ld, .d = kEax, .a = at});
        return Flow::next;
    }
    const Slot value = e.load(e.width(), at);
    e.set_reg(e.width(), kEax, value);
    return Flow::next;
}

// A2 moffs, A3 moffs.
Flow mov_moffs_acc(Emitter& e)
{
    const Slot offset = e.constant(e.insn.imm);
    const Slot at = e.linear(e.insn.segment, offset, e.width(), Intent::write);
    e.store(e.width(), at, kEax);
    return Flow::next;
}

// 0F B6 /r, B7 /r (MOVZX), BE /r, BF /r (MOVSX).
Flow mov_widened(Emitter& e)
{
    const unsigned from = (e.insn.opcode & 1) != 0 ? 2 : 1;
    const bool is_signed = (e.insn.opcode & 8) != 0;
    const Op widen = is_signed ? Op::sx : Op::zx;
    if (e.operand_size() == 4 && e.insn.is_memory()) {
        load_reg32(e, e.insn.reg, from, is_signed);
    } else if (e.operand_size() == 4) {
        const Slot value = e.reg(from, e.insn.rm);
        e.ir.unary(widen, from, e.insn.reg, value);
    } else {
        const Slot value = e.rm(from);
        const Slot wide = e.unary(widen, from, value);
        e.set_reg(2, e.insn.reg, wide);
    }
    return Flow::next;
}

// 8D /r.
Flow lea(Emitter& e)
{
    const Slot offset = e.effective_address();
    e.set_reg(e.operand_size(), e.insn.reg, offset);
    return Flow::next;
}

// 86 /r, 87 /r.
Flow xchg_rm_reg(Emitter& e)
{
    const unsigned size = e.width();
    const Rm operand = e.modify_rm(size);
    const Slot other = e.reg(size, e.insn.reg);
    const Slot old = operand.address == kNone ? e.copy(4, operand.value) : operand.value;
    e.write_back(size, operand, other);
    e.set_reg(size, e.insn.reg, old);
    return Flow::next;
}

// 90+r; 90 itself is NOP, and PAUSE with REP.
Flow xchg_acc_reg(Emitter& e)
{
    const u8 number = e.insn.opcode & 7;
    if (number == kEax) {
        return Flow::next;
    }
    const Slot old = e.copy(4, kEax);
    e.set_reg(e.operand_size(), kEax, number);
    e.set_reg(e.operand_size(), number, old);
    return Flow::next;
}

// 0F C8+r. With a 16-bit operand the result is undefined; processors clear the register's half.
Flow bswap(Emitter& e)
{
    const Slot number = e.insn.opcode & 7;
    if (e.operand_size() == 4) {
        e.ir.unary(Op::bswap, 4, number, number);
    } else {
        set_reg_constant(e, 2, number, 0);
    }
    return Flow::next;
}

// D7.
Flow xlat(Emitter& e)
{
    const Slot index = e.unary(Op::zx, 1, kEax);
    const Slot offset = e.ir.temp();
    e.ir.emit({.op = Op::lea,
               .size = static_cast<u8>(e.address_size()),
               .d = offset,
               .a = kEbx,
               .b = index});
    const Slot at = e.linear(e.insn.segment, offset, 1, Intent::read);
    const Slot value = e.load(1, at);
    e.set_reg(1, kEax, value);
    return Flow::next;
}

// D6, undocumented: AL = carry ? FF : 0.
Flow salc(Emitter& e)
{
    const Slot carry = e.carry();
    const Slot value = e.unary(Op::neg, 4, carry);
    e.set_reg(1, kEax, value);
    return Flow::next;
}

// 0F 90+cc.
Flow setcc(Emitter& e)
{
    const Slot value = e.set_if(static_cast<Cond>(e.insn.opcode & 15));
    e.set_rm(1, value);
    return Flow::next;
}

// 0F 40+cc /r. A memory operand is read whether or not the condition holds.
Flow cmovcc(Emitter& e)
{
    const unsigned size = e.operand_size();
    const Slot source = e.rm(size);
    const Slot target = e.insn.reg;
    const Slot chosen = size == 4 ? target : e.ir.temp();
    e.ir.emit({.op = Op::select,
               .aux = static_cast<u8>(e.insn.opcode & 15),
               .d = chosen,
               .a = source,
               .b = target});
    e.set_reg(size, e.insn.reg, chosen);
    return Flow::next;
}

// 8C /r. To a 32-bit register the selector is zero-extended; memory gets 16 bits.
Flow mov_rm_sreg(Emitter& e)
{
    if (e.insn.reg >= kSegments) {
        return e.undefined();
    }
    const Slot selector = e.selector(e.insn.reg);
    e.set_rm(e.insn.is_memory() ? 2 : e.operand_size(), selector);
    return Flow::next;
}

// 8E /r.
Flow mov_sreg_rm(Emitter& e)
{
    if (e.insn.reg >= kSegments || e.insn.reg == kCs) {
        return e.undefined();
    }
    const Slot source = e.rm(2);
    const Slot selector = e.zero_extended(2, source);
    return e.load_segment(e.insn.reg, selector, {});
}

u8 far_pointer_segment(u16 opcode)
{
    switch (opcode) {
    case 0xc4:
        return kEs;
    case 0xc5:
        return kDs;
    case kTwoByte | 0xb2:
        return kSs;
    case kTwoByte | 0xb4:
        return kFs;
    default:
        return kGs;
    }
}

// C4 /r, C5 /r, 0F B2 /r, 0F B4 /r, 0F B5 /r: LES LDS LSS LFS LGS.
Flow load_far_pointer(Emitter& e)
{
    const unsigned size = e.operand_size();
    const Slot offset = e.load_operand(size);
    const Slot selector = e.load_operand(2, size);
    return e.load_segment(far_pointer_segment(e.insn.opcode), selector, {offset, e.insn.reg, size});
}

constexpr std::array kRows{
    OpcodeRow{0x86, 2, kAnyReg, kModRm | kLockable, Imm::none, xchg_rm_reg},
    OpcodeRow{0x88, 2, kAnyReg, kModRm, Imm::none, mov_rm_reg},
    OpcodeRow{0x8a, 2, kAnyReg, kModRm, Imm::none, mov_reg_rm},
    OpcodeRow{0x8c, 1, kAnyReg, kModRm, Imm::none, mov_rm_sreg},
    OpcodeRow{0x8d, 1, kAnyReg, kModRm | kMemOnly, Imm::none, lea},
    OpcodeRow{0x8e, 1, kAnyReg, kModRm, Imm::none, mov_sreg_rm},
    OpcodeRow{0x90, 8, kAnyReg, 0, Imm::none, xchg_acc_reg},
    OpcodeRow{0xa0, 2, kAnyReg, 0, Imm::moffs, mov_acc_moffs},
    OpcodeRow{0xa2, 2, kAnyReg, 0, Imm::moffs, mov_moffs_acc},
    OpcodeRow{0xb0, 8, kAnyReg, 0, Imm::i8, mov_reg8_imm},
    OpcodeRow{0xb8, 8, kAnyReg, 0, Imm::iz, mov_reg_imm},
    OpcodeRow{0xc4, 2, kAnyReg, kModRm | kMemOnly, Imm::none, load_far_pointer},
    OpcodeRow{0xc6, 2, 0, kModRm, Imm::iv, mov_rm_imm},
    OpcodeRow{0xd6, 1, kAnyReg, 0, Imm::none, salc},
    OpcodeRow{0xd7, 1, kAnyReg, 0, Imm::none, xlat},
    OpcodeRow{kTwoByte | 0x40, 16, kAnyReg, kModRm, Imm::none, cmovcc, kFeatureCmov},
    OpcodeRow{kTwoByte | 0x90, 16, kAnyReg, kModRm, Imm::none, setcc},
    OpcodeRow{kTwoByte | 0xb2, 1, kAnyReg, kModRm | kMemOnly, Imm::none, load_far_pointer},
    OpcodeRow{kTwoByte | 0xb4, 2, kAnyReg, kModRm | kMemOnly, Imm::none, load_far_pointer},
    OpcodeRow{kTwoByte | 0xb6, 2, kAnyReg, kModRm, Imm::none, mov_widened},
    OpcodeRow{kTwoByte | 0xbe, 2, kAnyReg, kModRm, Imm::none, mov_widened},
    OpcodeRow{kTwoByte | 0xc8, 8, kAnyReg, 0, Imm::none, bswap},
};

} // namespace

std::span<const OpcodeRow> move_rows()
{
    return kRows;
}

} // namespace emu::x86
