// MUL IMUL DIV IDIV, CBW CWD, and the decimal adjustments.
#include "emulator/translate/x86/emitter.hpp"

namespace emu::x86 {

namespace {

// F6 /4, F6 /5: AX = AL * r/m8.
Flow multiply8(Emitter& e, bool is_signed)
{
    const Slot source = e.rm(1);
    const Op widen = is_signed ? Op::sx : Op::zx;
    const Slot a = e.unary(widen, 1, kEax);
    const Slot b = e.unary(widen, 1, source);
    const Slot product = e.binary(Op::mul, 4, a, b);
    e.set_reg(2, kEax, product);
    if (is_signed) {
        const Slot narrow = e.unary(Op::sx, 1, product);
        const Slot overflow = e.binary(Op::xor_, 4, narrow, product);
        e.ir.flags(FlagKind::mul, 1, product, overflow);
    } else {
        const Slot high = e.binary_imm(Op::shr, 4, product, 8);
        e.ir.flags(FlagKind::mul, 1, product, high);
    }
    return Flow::next;
}

// F7 /4, F7 /5 with 16-bit operands: DX:AX = AX * r/m16.
Flow multiply16(Emitter& e, bool is_signed)
{
    const Slot source = e.rm(2);
    const Op widen = is_signed ? Op::sx : Op::zx;
    const Slot a = e.unary(widen, 2, kEax);
    const Slot b = e.unary(widen, 2, source);
    const Slot product = e.binary(Op::mul, 4, a, b);
    const Slot high = e.binary_imm(Op::shr, 4, product, 16);
    e.set_reg(2, kEax, product);
    e.set_reg(2, kEdx, high);
    if (is_signed) {
        const Slot narrow = e.unary(Op::sx, 2, product);
        const Slot overflow = e.binary(Op::xor_, 4, narrow, product);
        e.ir.flags(FlagKind::mul, 2, product, overflow);
    } else {
        e.ir.flags(FlagKind::mul, 2, product, high);
    }
    return Flow::next;
}

/// Not zero if the high half of a signed product is not the low half's sign.
Slot signed_overflow(Emitter& e, Slot low, Slot high)
{
    const Slot sign = e.binary_imm(Op::sar, 4, low, 31);
    return e.binary(Op::xor_, 4, sign, high);
}

void emit_multiply(Emitter& e, bool is_signed, Slot low, Slot high, Slot a, Slot b)
{
    e.ir.emit({.op = is_signed ? Op::muls : Op::mulu, .d = low, .a = a, .b = b, .c = high});
}

Flow multiply32(Emitter& e, bool is_signed)
{
    const Slot source = e.rm(4);
    const Slot low = e.ir.temp();
    const Slot high = e.ir.temp();
    emit_multiply(e, is_signed, low, high, kEax, source);
    const Slot overflow = is_signed ? signed_overflow(e, low, high) : high;
    e.set_reg(4, kEax, low);
    e.set_reg(4, kEdx, high);
    e.ir.flags(FlagKind::mul, 4, low, overflow);
    return Flow::next;
}

Flow multiply_rm(Emitter& e)
{
    const bool is_signed = e.insn.reg == 5;
    switch (e.width()) {
    case 1:
        return multiply8(e, is_signed);
    case 2:
        return multiply16(e, is_signed);
    default:
        return multiply32(e, is_signed);
    }
}

/// The forms of IMUL that keep only the low half.
Flow multiply_into_reg(Emitter& e, Slot a, Slot b)
{
    if (e.operand_size() == 4) {
        const Slot low = e.ir.temp();
        const Slot high = e.ir.temp();
        emit_multiply(e, true, low, high, a, b);
        const Slot overflow = signed_overflow(e, low, high);
        e.set_reg(4, e.insn.reg, low);
        e.ir.flags(FlagKind::mul, 4, low, overflow);
        return Flow::next;
    }
    const Slot wide_a = e.sign_extended(2, a);
    const Slot wide_b = e.sign_extended(2, b);
    const Slot product = e.binary(Op::mul, 4, wide_a, wide_b);
    const Slot narrow = e.unary(Op::sx, 2, product);
    const Slot overflow = e.binary(Op::xor_, 4, narrow, product);
    e.set_reg(2, e.insn.reg, product);
    e.ir.flags(FlagKind::mul, 2, product, overflow);
    return Flow::next;
}

// 69 /r iz, 6B /r ib.
Flow imul_reg_rm_imm(Emitter& e)
{
    const Slot a = e.rm(e.operand_size());
    const Slot b = e.constant(e.insn.imm);
    return multiply_into_reg(e, a, b);
}

// 0F AF /r.
Flow imul_reg_rm(Emitter& e)
{
    const Slot b = e.rm(e.operand_size());
    return multiply_into_reg(e, e.insn.reg, b);
}

// F6 /6, F7 /6, F6 /7, F7 /7. The helpers work on the registers and raise #DE.
Flow divide_rm(Emitter& e)
{
    const unsigned size = e.width();
    const Slot source = e.rm(size);
    const Slot divisor = e.zero_extended(size, source);
    const bool is_signed = e.insn.reg == 7;
    u32 index = is_signed ? helper<"idiv32">() : helper<"div32">();
    if (size == 1) {
        index = is_signed ? helper<"idiv8">() : helper<"div8">();
    } else if (size == 2) {
        index = is_signed ? helper<"idiv16">() : helper<"div16">();
    }
    e.call(index, divisor);
    return Flow::next;
}

// 98: CBW, CWDE.
Flow widen_accumulator(Emitter& e)
{
    if (e.operand_size() == 4) {
        e.ir.unary(Op::sx, 2, kEax, kEax);
    } else {
        const Slot wide = e.unary(Op::sx, 1, kEax);
        e.set_reg(2, kEax, wide);
    }
    return Flow::next;
}

// 99: CWD, CDQ.
Flow widen_into_edx(Emitter& e)
{
    const Slot wide = e.sign_extended(e.operand_size(), kEax);
    if (e.operand_size() == 4) {
        e.ir.binary_imm(Op::sar, 4, kEdx, wide, 31);
    } else {
        const Slot sign = e.binary_imm(Op::sar, 4, wide, 31);
        e.set_reg(2, kEdx, sign);
    }
    return Flow::next;
}

// 27, 2F, 37, 3F.
Flow adjust_sum(Emitter& e)
{
    switch (e.insn.opcode) {
    case 0x27:
        e.call(helper<"daa">());
        break;
    case 0x2f:
        e.call(helper<"das">());
        break;
    case 0x37:
        e.call(helper<"aaa">());
        break;
    default:
        e.call(helper<"aas">());
        break;
    }
    return Flow::next;
}

// D4 ib, D5 ib: the immediate is the base.
Flow adjust_product(Emitter& e)
{
    const u32 index = e.insn.opcode == 0xd4 ? helper<"aam">() : helper<"aad">();
    e.call_constants(index, e.insn.imm & 0xff);
    return Flow::next;
}

constexpr std::array kRows{
    OpcodeRow{0x27, 1, kAnyReg, 0, Imm::none, adjust_sum},
    OpcodeRow{0x2f, 1, kAnyReg, 0, Imm::none, adjust_sum},
    OpcodeRow{0x37, 1, kAnyReg, 0, Imm::none, adjust_sum},
    OpcodeRow{0x3f, 1, kAnyReg, 0, Imm::none, adjust_sum},
    OpcodeRow{0x69, 1, kAnyReg, kModRm, Imm::iz, imul_reg_rm_imm},
    OpcodeRow{0x6b, 1, kAnyReg, kModRm, Imm::i8, imul_reg_rm_imm},
    OpcodeRow{0x98, 1, kAnyReg, 0, Imm::none, widen_accumulator},
    OpcodeRow{0x99, 1, kAnyReg, 0, Imm::none, widen_into_edx},
    OpcodeRow{0xd4, 2, kAnyReg, 0, Imm::i8, adjust_product},
    OpcodeRow{0xf6, 2, 4, kModRm, Imm::none, multiply_rm},
    OpcodeRow{0xf6, 2, 5, kModRm, Imm::none, multiply_rm},
    OpcodeRow{0xf6, 2, 6, kModRm, Imm::none, divide_rm},
    OpcodeRow{0xf6, 2, 7, kModRm, Imm::none, divide_rm},
    OpcodeRow{kTwoByte | 0xaf, 1, kAnyReg, kModRm, Imm::none, imul_reg_rm},
};

} // namespace

std::span<const OpcodeRow> multiply_rows()
{
    return kRows;
}

} // namespace emu::x86
