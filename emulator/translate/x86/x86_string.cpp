// MOVS CMPS STOS LODS SCAS INS OUTS.
//
// Alone they are inline; with a REP prefix one helper call does as many iterations as it may.
#include "emulator/translate/x86/emitter.hpp"

#include "emulator/cpu/x86/string_args.hpp"

namespace emu::x86 {

namespace {

/// How far SI and DI move: the operand size, negative if DF is set.
Slot string_step(Emitter& e, unsigned size)
{
    const Slot eflags = e.load_eflags();
    const Slot df = e.binary_imm(Op::and_, 4, eflags, kDf);
    const unsigned shift = size == 1 ? 9 : size == 2 ? 8 : 7; // DF, bit 10, becomes 2 * size
    const Slot twice = e.binary_imm(Op::shr, 4, df, shift);
    const Slot width = e.constant(size);
    return e.binary(Op::sub, 4, width, twice);
}

Slot string_address(Emitter& e, Slot index, u8 segment, unsigned size, Intent intent)
{
    const Slot offset = e.zero_extended(e.address_size(), index);
    return e.linear(segment, offset, size, intent);
}

Slot source_address(Emitter& e, unsigned size)
{
    return string_address(e, kEsi, e.insn.segment, size, Intent::read);
}

Slot destination_address(Emitter& e, unsigned size, Intent intent)
{
    return string_address(e, kEdi, kEs, size, intent);
}

void advance(Emitter& e, Slot index, Slot step)
{
    if (e.insn.address32) {
        e.ir.binary(Op::add, 4, index, index, step);
    } else {
        const Slot moved = e.binary(Op::add, 4, index, step);
        e.set_reg(2, index, moved);
    }
}

bool repeats(const Emitter& e)
{
    return e.insn.rep != RepPrefix::none;
}

/// The helper moves the registers and sets the program counter: to this instruction again if
/// iterations are left, else to the next one.
Flow repeat(Emitter& e, u32 index, unsigned size)
{
    const Slot args = e.constant(pack_string_args({.size = static_cast<u8>(size),
                                                   .segment = e.insn.segment,
                                                   .address32 = e.insn.address32,
                                                   .repeats = repeats(e),
                                                   .until_equal = e.insn.rep == RepPrefix::repne}));
    const Slot behind = e.constant(e.next);
    e.call(index, args, behind);
    return e.continue_there();
}

// A4, A5.
Flow movs(Emitter& e)
{
    const unsigned size = e.width();
    if (repeats(e)) {
        return repeat(e, helper<"rep_movs">(), size);
    }
    const Slot from = source_address(e, size);
    const Slot value = e.load(size, from);
    const Slot to = destination_address(e, size, Intent::write);
    e.store(size, to, value);
    const Slot step = string_step(e, size);
    advance(e, kEsi, step);
    advance(e, kEdi, step);
    return Flow::next;
}

// A6, A7.
Flow cmps(Emitter& e)
{
    const unsigned size = e.width();
    if (repeats(e)) {
        return repeat(e, helper<"rep_cmps">(), size);
    }
    const Slot left_at = source_address(e, size);
    const Slot left = e.load(size, left_at);
    const Slot right_at = destination_address(e, size, Intent::read);
    const Slot right = e.load(size, right_at);
    const Slot step = string_step(e, size);
    advance(e, kEsi, step);
    advance(e, kEdi, step);
    const Slot difference = e.binary(Op::sub, size, left, right);
    e.ir.flags(FlagKind::sub, size, difference, right);
    return Flow::next;
}

// AA, AB.
Flow stos(Emitter& e)
{
    const unsigned size = e.width();
    if (repeats(e)) {
        return repeat(e, helper<"rep_stos">(), size);
    }
    const Slot to = destination_address(e, size, Intent::write);
    e.store(size, to, kEax);
    const Slot step = string_step(e, size);
    advance(e, kEdi, step);
    return Flow::next;
}

// AC, AD.
Flow lods(Emitter& e)
{
    const unsigned size = e.width();
    if (repeats(e)) {
        return repeat(e, helper<"rep_lods">(), size);
    }
    const Slot from = source_address(e, size);
    const Slot value = e.load(size, from);
    const Slot step = string_step(e, size);
    advance(e, kEsi, step);
    e.set_reg(size, kEax, value);
    return Flow::next;
}

// AE, AF.
Flow scas(Emitter& e)
{
    const unsigned size = e.width();
    if (repeats(e)) {
        return repeat(e, helper<"rep_scas">(), size);
    }
    const Slot at = destination_address(e, size, Intent::read);
    const Slot value = e.load(size, at);
    const Slot step = string_step(e, size);
    advance(e, kEdi, step);
    const Slot difference = e.binary(Op::sub, size, kEax, value);
    e.ir.flags(FlagKind::sub, size, difference, value);
    return Flow::next;
}

// 6C, 6D; 6E, 6F: always by helper, for the permission check and the port. Port operands are at
// most four bytes wide.
Flow ins(Emitter& e)
{
    return repeat(e, helper<"ins">(), e.width());
}

Flow outs(Emitter& e)
{
    return repeat(e, helper<"outs">(), e.width());
}

constexpr std::array kRows{
    OpcodeRow{0x6c, 2, kAnyReg, 0, Imm::none, ins},
    OpcodeRow{0x6e, 2, kAnyReg, 0, Imm::none, outs},
    OpcodeRow{0xa4, 2, kAnyReg, 0, Imm::none, movs},
    OpcodeRow{0xa6, 2, kAnyReg, 0, Imm::none, cmps},
    OpcodeRow{0xaa, 2, kAnyReg, 0, Imm::none, stos},
    OpcodeRow{0xac, 2, kAnyReg, 0, Imm::none, lods},
    OpcodeRow{0xae, 2, kAnyReg, 0, Imm::none, scas},
};

} // namespace

std::span<const OpcodeRow> string_rows()
{
    return kRows;
}

} // namespace emu::x86
