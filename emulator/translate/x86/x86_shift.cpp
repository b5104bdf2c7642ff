// ROL ROR RCL RCR SHL SHR SAR, SHLD SHRD.
//
// Counts are taken modulo 32 (SDM vol. 2, SAL/SAR/SHL/SHR, "IA-32 Architecture Compatibility").
#include "emulator/translate/x86/emitter.hpp"

namespace emu::x86 {

namespace {

enum Shift : u8 { kRol, kRor, kRcl, kRcr, kShl, kShr, kSal, kSar };

struct ShiftKind {
    Op op;
    FlagKind by_constant; // wants the operand shifted by count - 1
    FlagKind by_variable; // wants the operand and the count
};

constexpr std::array<ShiftKind, 8> kShifts{{
    {Op::rol, FlagKind::rolv, FlagKind::rolv},
    {Op::ror, FlagKind::rorv, FlagKind::rorv},
    {Op::nop, FlagKind::raw, FlagKind::raw}, // RCL and RCR are helpers
    {Op::nop, FlagKind::raw, FlagKind::raw},
    {Op::shl, FlagKind::shl, FlagKind::shlv},
    {Op::shr, FlagKind::shr, FlagKind::shrv},
    {Op::shl, FlagKind::shl, FlagKind::shlv},
    {Op::sar, FlagKind::shr, FlagKind::sarv},
}};

bool is_rotate(Shift shift)
{
    return shift == kRol || shift == kRor;
}

/// The operand as the 32-bit shifts of the IR need it.
Slot widened(Emitter& e, Shift shift, unsigned size, Slot value)
{
    if (shift == kShr) {
        return e.zero_extended(size, value);
    }
    return shift == kSar ? e.sign_extended(size, value) : value;
}

/// RCL and RCR: the helper takes and leaves the carry in the flags.
Flow rotate_through_carry(Emitter& e, Shift shift, unsigned size, const Rm& operand, Slot count)
{
    const Slot value = e.zero_extended(size, operand.value);
    const Slot width = e.constant(size);
    const u32 index = shift == kRcl ? helper<"rcl">() : helper<"rcr">();
    const Slot result = e.call(index, value, count, width);
    e.write_back(size, operand, result);
    return Flow::next;
}

/// RCL and RCR of 32 bits by a constant: 33 bits rotate. Only carry and overflow change; overflow
/// is defined for a count of 1, and computed alike for all.
Flow rotate_carry_by_constant(Emitter& e, bool left, const Rm& operand, u32 count)
{
    const Slot value = operand.address == kNone ? e.copy(4, operand.value) : operand.value;
    const Slot carry_in = e.carry();
    const Slot kept = e.binary_imm(left ? Op::shl : Op::shr, 4, value, count);
    const Slot carried = e.binary_imm(Op::shl, 4, carry_in, left ? count - 1 : 32 - count);
    Slot result = e.binary(Op::or_, 4, kept, carried);
    if (count > 1) {
        const Slot around = e.binary_imm(left ? Op::shr : Op::shl, 4, value, 33 - count);
        result = e.binary(Op::or_, 4, result, around);
    }
    e.write_back(4, operand, result);
    const Slot last_out = e.binary_imm(Op::shr, 4, value, left ? 32 - count : count - 1);
    const Slot carry_out = e.binary_imm(Op::and_, 4, last_out, 1);
    // Left: the top bit against the carry; right: against the bit below it.
    const Slot top = e.binary_imm(Op::shr, 4, result, 31);
    Slot other = carry_out;
    if (!left) {
        const Slot second = e.binary_imm(Op::shr, 4, result, 30);
        other = e.binary_imm(Op::and_, 4, second, 1);
    }
    const Slot differs = e.binary(Op::xor_, 4, top, other);
    const Slot overflow = e.binary_imm(Op::shl, 4, differs, 11);
    const Slot before = e.ir.temp();
    e.ir.emit({.op = Op::getflags, .d = before});
    const Slot others = e.binary_imm(Op::and_, 4, before, ~(ir::kCf | ir::kOf));
    const Slot with_carry = e.binary(Op::or_, 4, others, carry_out);
    const Slot flags = e.binary(Op::or_, 4, with_carry, overflow);
    e.ir.flags(FlagKind::raw, 4, flags);
    return Flow::next;
}

Flow shift_by_constant(Emitter& e, Shift shift, unsigned size, const Rm& operand, u32 count)
{
    const ShiftKind& kind = kShifts[shift];
    const Slot wide = widened(e, shift, size, operand.value);
    // Only the flags want the value before the last step: dead code when nobody reads them.
    const Slot before_last =
        count > 1 ? e.binary_imm(kind.op, 4, wide, count - 1) : e.copy(4, wide);
    const bool in_place = operand.address == kNone && size == 4;
    const Slot result = in_place ? Slot{e.insn.rm} : e.ir.temp();
    e.ir.binary_imm(kind.op, 4, result, wide, count);
    if (!in_place) {
        e.write_back(size, operand, result);
    }
    e.ir.flags(kind.by_constant, size, result, before_last);
    return Flow::next;
}

/// Also rotates by a constant: their flags have only the variable kind.
Flow shift_by_slot(Emitter& e, Shift shift, unsigned size, const Rm& operand, Slot count)
{
    const ShiftKind& kind = kShifts[shift];
    const Slot wide = widened(e, shift, size, operand.value);
    const Slot result = e.binary(kind.op, is_rotate(shift) ? size : 4, wide, count);
    if (operand.address != kNone) {
        e.store(size, operand.address, result);
    }
    e.ir.flags(kind.by_variable, size, result, wide, count);
    if (operand.address == kNone) {
        e.set_reg(size, e.insn.rm, result);
    }
    return Flow::next;
}

Flow shift_constant(Emitter& e, u32 count)
{
    const auto shift = static_cast<Shift>(e.insn.reg);
    const unsigned size = e.width();
    const Rm operand = e.modify_rm(size);
    count &= 31;
    if (count == 0) {
        e.write_back(size, operand, operand.value);
        return Flow::next;
    }
    if (shift == kRcl || shift == kRcr) {
        return size == 4 ? rotate_carry_by_constant(e, shift == kRcl, operand, count)
                         : rotate_through_carry(e, shift, size, operand, e.constant(count));
    }
    if (is_rotate(shift)) {
        return shift_by_slot(e, shift, size, operand, e.constant(count));
    }
    return shift_by_constant(e, shift, size, operand, count);
}

// C0 /n ib, C1 /n ib.
Flow shift_rm_imm(Emitter& e)
{
    return shift_constant(e, e.insn.imm);
}

// D0 /n, D1 /n.
Flow shift_rm_1(Emitter& e)
{
    return shift_constant(e, 1);
}

// D2 /n, D3 /n: by CL.
Flow shift_rm_cl(Emitter& e)
{
    const auto shift = static_cast<Shift>(e.insn.reg);
    const unsigned size = e.width();
    const Rm operand = e.modify_rm(size);
    const Slot count = e.binary_imm(Op::and_, 4, kEcx, 31);
    if (shift == kRcl || shift == kRcr) {
        return rotate_through_carry(e, shift, size, operand, count);
    }
    return shift_by_slot(e, shift, size, operand, count);
}

bool shifts_left(const Emitter& e)
{
    return e.insn.opcode < (kTwoByte | 0xa8); // A4 A5 are SHLD, AC AD are SHRD
}

Flow double_shift32(Emitter& e, const Rm& operand, Slot source, u32 count)
{
    const bool left = shifts_left(e);
    const Op out = left ? Op::shl : Op::shr;
    const Op in = left ? Op::shr : Op::shl;
    const Slot before_last =
        count > 1 ? e.binary_imm(out, 4, operand.value, count - 1) : e.copy(4, operand.value);
    const Slot kept = e.binary_imm(out, 4, operand.value, count);
    const Slot filled = e.binary_imm(in, 4, source, 32 - count);
    const Slot result = e.binary(Op::or_, 4, kept, filled);
    e.write_back(4, operand, result);
    e.ir.flags(left ? FlagKind::shl : FlagKind::shr, 4, result, before_last);
    return Flow::next;
}

/// The helper's third argument: count in bits 4..0, then the size in bytes.
Flow double_shift_by_helper(Emitter& e, const Rm& operand, Slot source, Slot count)
{
    const unsigned size = e.operand_size();
    const Slot both = e.binary_imm(Op::or_, 4, count, size << 8);
    const Slot value = e.zero_extended(size, operand.value);
    const Slot fill = e.zero_extended(size, source);
    const u32 index = shifts_left(e) ? helper<"shld">() : helper<"shrd">();
    const Slot result = e.call(index, value, fill, both);
    e.write_back(size, operand, result);
    return Flow::next;
}

// 0F A4 /r ib, 0F AC /r ib.
Flow double_shift_imm(Emitter& e)
{
    const Rm operand = e.modify_rm(e.operand_size());
    const u32 count = e.insn.imm & 31;
    if (count == 0) {
        e.write_back(e.operand_size(), operand, operand.value);
        return Flow::next;
    }
    if (e.operand_size() == 4) {
        return double_shift32(e, operand, e.insn.reg, count);
    }
    return double_shift_by_helper(e, operand, e.insn.reg, e.constant(count));
}

/// A count of 0 needs no test: the source is shifted by 1 and then by 31 - count.
Flow double_shift32_by_slot(Emitter& e, const Rm& operand, Slot source, Slot count)
{
    const bool left = shifts_left(e);
    const Op out = left ? Op::shl : Op::shr;
    const Op in = left ? Op::shr : Op::shl;
    const Slot value = operand.address == kNone ? e.copy(4, operand.value) : operand.value;
    const Slot rest = e.binary_imm(Op::xor_, 4, count, 31);
    const Slot first = e.binary_imm(in, 4, source, 1);
    const Slot filled = e.binary(in, 4, first, rest);
    const Slot kept = e.binary(out, 4, value, count);
    const Slot result = e.binary(Op::or_, 4, kept, filled);
    e.write_back(4, operand, result);
    e.ir.flags(left ? FlagKind::shlv : FlagKind::shrv, 4, result, value, count);
    return Flow::next;
}

// 0F A5 /r, 0F AD /r: by CL.
Flow double_shift_cl(Emitter& e)
{
    const Rm operand = e.modify_rm(e.operand_size());
    const Slot count = e.binary_imm(Op::and_, 4, kEcx, 31);
    if (e.operand_size() == 4) {
        return double_shift32_by_slot(e, operand, e.insn.reg, count);
    }
    return double_shift_by_helper(e, operand, e.insn.reg, count);
}

constexpr std::array kRows{
    OpcodeRow{0xc0, 2, kAnyReg, kModRm, Imm::i8, shift_rm_imm},
    OpcodeRow{0xd0, 2, kAnyReg, kModRm, Imm::none, shift_rm_1},
    OpcodeRow{0xd2, 2, kAnyReg, kModRm, Imm::none, shift_rm_cl},
    OpcodeRow{kTwoByte | 0xa4, 1, kAnyReg, kModRm, Imm::i8, double_shift_imm},
    OpcodeRow{kTwoByte | 0xa5, 1, kAnyReg, kModRm, Imm::none, double_shift_cl},
    OpcodeRow{kTwoByte | 0xac, 1, kAnyReg, kModRm, Imm::i8, double_shift_imm},
    OpcodeRow{kTwoByte | 0xad, 1, kAnyReg, kModRm, Imm::none, double_shift_cl},
};

} // namespace

std::span<const OpcodeRow> shift_rows()
{
    return kRows;
}

} // namespace emu::x86
