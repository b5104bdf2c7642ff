// ADD OR ADC SBB AND SUB XOR CMP, TEST, INC DEC, NEG NOT, XADD CMPXCHG.
#include "emulator/translate/x86/emitter.hpp"

namespace emu::x86 {

namespace {

enum Alu : u8 { kAdd, kOr, kAdc, kSbb, kAnd, kSub, kXor, kCmp };

/// A source that is a slot or a constant.
struct Source {
    Slot slot = kNone; // kImm for a constant
    u32 imm = 0;
};

/// What an operation computed, and its flag record, to be emitted once all accesses are done.
struct Outcome {
    Slot result;
    FlagKind kind;
    Source source;
    Slot extra = kNone;
};

void emit_flags(Emitter& e, unsigned size, const Outcome& outcome)
{
    e.ir.emit({.op = Op::flags,
               .size = static_cast<u8>(size),
               .aux = static_cast<u8>(outcome.kind),
               .a = outcome.result,
               .b = outcome.source.slot,
               .c = outcome.extra,
               .imm = outcome.source.imm});
}

void emit_binary(Emitter& e, Op op, unsigned size, Slot d, Slot a, Source b)
{
    e.ir.emit({.op = op, .size = static_cast<u8>(size), .d = d, .a = a, .b = b.slot, .imm = b.imm});
}

/// d = a op b. d may be a; d must not be the slot of b where the flags still need it.
Outcome compute(Emitter& e, Alu op, unsigned size, Slot d, Slot a, Source b)
{
    switch (op) {
    case kAdd:
        emit_binary(e, Op::add, size, d, a, b);
        return {d, FlagKind::add, b};
    case kSub:
    case kCmp:
        emit_binary(e, Op::sub, size, d, a, b);
        return {d, FlagKind::sub, b};
    case kAdc:
    case kSbb: {
        const Op step = op == kAdc ? Op::add : Op::sub;
        const Slot carry = e.carry();
        emit_binary(e, step, size, d, a, b);
        emit_binary(e, step, size, d, d, {carry});
        return {d, op == kAdc ? FlagKind::adc : FlagKind::sbb, b, carry};
    }
    case kOr:
        emit_binary(e, Op::or_, size, d, a, b);
        break;
    case kAnd:
        emit_binary(e, Op::and_, size, d, a, b);
        break;
    case kXor:
        emit_binary(e, Op::xor_, size, d, a, b);
        break;
    }
    return {d, FlagKind::logic, {}};
}

/// The destination is a 32-bit register: computed in place.
Flow alu_into_reg32(Emitter& e, Alu op, Slot reg, Source b)
{
    const bool same = b.slot == reg;
    if (op == kXor && same) {
        e.ir.mov_imm(4, reg, 0);
        e.ir.flags(FlagKind::logic, 4, reg);
        return Flow::next;
    }
    if ((op == kAnd || op == kOr) && same) {
        e.ir.flags(FlagKind::logic, 4, reg);
        return Flow::next;
    }
    if (same && (op == kAdd || op == kAdc || op == kSbb || op == kSub)) {
        b.slot = e.copy(4, reg);
    }
    const Outcome outcome = compute(e, op, 4, reg, reg, b);
    emit_flags(e, 4, outcome);
    return Flow::next;
}

Flow alu_into_reg(Emitter& e, Alu op, unsigned size, unsigned number, Source b)
{
    if (size == 4 && op != kCmp) {
        return alu_into_reg32(e, op, static_cast<Slot>(number), b);
    }
    const Slot a = e.reg(size, number);
    const bool written_part = op != kCmp && b.slot == static_cast<Slot>(number) && size != 4;
    if (written_part && (op == kAdd || op == kAdc || op == kSbb || op == kSub)) {
        b.slot = e.copy(4, b.slot);
    }
    const Outcome outcome = compute(e, op, size, e.ir.temp(), a, b);
    if (op != kCmp) {
        e.set_reg(size, number, outcome.result);
    }
    emit_flags(e, size, outcome);
    return Flow::next;
}

Flow alu_into_rm(Emitter& e, Alu op, unsigned size, Source b)
{
    if (!e.insn.is_memory()) {
        return alu_into_reg(e, op, size, e.insn.rm, b);
    }
    const Rm operand = op == kCmp ? Rm{kNone, e.load_operand(size)} : e.modify_rm(size);
    const Outcome outcome = compute(e, op, size, e.ir.temp(), operand.value, b);
    if (op != kCmp) {
        e.store(size, operand.address, outcome.result);
    }
    emit_flags(e, size, outcome);
    return Flow::next;
}

Alu alu_of_opcode(const Emitter& e)
{
    return static_cast<Alu>((e.insn.opcode >> 3) & 7);
}

// 00+8n /r, 01+8n /r.
Flow alu_rm_reg(Emitter& e)
{
    const Slot source = e.reg(e.width(), e.insn.reg);
    return alu_into_rm(e, alu_of_opcode(e), e.width(), {source});
}

// 02+8n /r, 03+8n /r.
Flow alu_reg_rm(Emitter& e)
{
    const Slot source = e.rm(e.width());
    return alu_into_reg(e, alu_of_opcode(e), e.width(), e.insn.reg, {source});
}

// 04+8n ib, 05+8n iz.
Flow alu_acc_imm(Emitter& e)
{
    return alu_into_reg(e, alu_of_opcode(e), e.width(), kEax, {kImm, e.insn.imm});
}

// 80 /n ib, 81 /n iz, 82 /n ib, 83 /n ib.
Flow alu_rm_imm(Emitter& e)
{
    return alu_into_rm(e, static_cast<Alu>(e.insn.reg), e.width(), {kImm, e.insn.imm});
}

Flow test(Emitter& e, Slot a, Source b)
{
    if (a == b.slot) {
        e.ir.flags(FlagKind::logic, e.width(), a);
        return Flow::next;
    }
    const Outcome outcome = compute(e, kAnd, e.width(), e.ir.temp(), a, b);
    emit_flags(e, e.width(), outcome);
    return Flow::next;
}

// 84 /r, 85 /r.
Flow test_rm_reg(Emitter& e)
{
    const Slot a = e.rm(e.width());
    const Slot b = e.reg(e.width(), e.insn.reg);
    return test(e, a, {b});
}

// A8 ib, A9 iz.
Flow test_acc_imm(Emitter& e)
{
    return test(e, kEax, {kImm, e.insn.imm});
}

// F6 /0 ib, F7 /0 iz; /1 is the same, undocumented.
Flow test_rm_imm(Emitter& e)
{
    const Slot a = e.rm(e.width());
    return test(e, a, {kImm, e.insn.imm});
}

/// INC and DEC keep the carry.
Flow step(Emitter& e, Op op, unsigned size, const Rm& operand)
{
    const Slot old_carry = e.carry();
    const bool in_place = size == 4 && operand.address == kNone;
    const Slot result = in_place ? operand.value : e.ir.temp();
    e.ir.binary_imm(op, size, result, operand.value, 1);
    if (!in_place) {
        e.write_back(size, operand, result);
    }
    e.ir.flags(op == Op::add ? FlagKind::inc : FlagKind::dec, size, result, old_carry);
    return Flow::next;
}

// FE /0, FF /0; FE /1, FF /1.
Flow step_rm(Emitter& e)
{
    const Rm operand = e.modify_rm(e.width());
    return step(e, e.insn.reg == 0 ? Op::add : Op::sub, e.width(), operand);
}

// 40+r, 48+r.
Flow step_reg(Emitter& e)
{
    const bool increments = e.insn.opcode < 0x48;
    e.insn.rm = e.insn.opcode & 7;
    return step(e, increments ? Op::add : Op::sub, e.operand_size(), {kNone, e.insn.rm});
}

// F6 /2, F7 /2.
Flow not_rm(Emitter& e)
{
    const Rm operand = e.modify_rm(e.width());
    const Slot result = e.unary(Op::not_, e.width(), operand.value);
    e.write_back(e.width(), operand, result);
    return Flow::next;
}

// F6 /3, F7 /3.
Flow neg_rm(Emitter& e)
{
    const Rm operand = e.modify_rm(e.width());
    const Slot before = operand.address == kNone ? e.copy(4, operand.value) : operand.value;
    const Slot result = e.unary(Op::neg, e.width(), before);
    e.write_back(e.width(), operand, result);
    e.ir.flags(FlagKind::sub, e.width(), result, before);
    return Flow::next;
}

// 0F C0 /r, 0F C1 /r.
Flow xadd(Emitter& e)
{
    const unsigned size = e.width();
    const Rm operand = e.modify_rm(size);
    const Slot before = operand.address == kNone ? e.copy(4, operand.value) : operand.value;
    const Slot source = e.reg(size, e.insn.reg);
    const Slot sum = e.binary(Op::add, size, before, source);
    if (operand.address != kNone) {
        e.store(size, operand.address, sum);
    }
    e.set_reg(size, e.insn.reg, before);
    if (operand.address == kNone) {
        e.set_reg(size, e.insn.rm, sum);
    }
    e.ir.flags(FlagKind::add, size, sum, before);
    return Flow::next;
}

// 0F B0 /r, 0F B1 /r. The destination is always written (SDM vol. 2, CMPXCHG). When the comparison
// succeeds the accumulator equals the old value, so it can be written always as well.
Flow cmpxchg(Emitter& e)
{
    const unsigned size = e.width();
    const Rm operand = e.modify_rm(size);
    const Slot before = operand.address == kNone ? e.copy(4, operand.value) : operand.value;
    const Slot source = e.reg(size, e.insn.reg);
    const Slot equal = e.binary(Op::seteq, size, before, kEax);
    const Slot mask = e.unary(Op::neg, 4, equal);
    const Slot difference = e.binary(Op::xor_, 4, before, source);
    const Slot chosen = e.binary(Op::and_, 4, difference, mask);
    const Slot result = e.binary(Op::xor_, 4, before, chosen);
    const Slot comparison = e.binary(Op::sub, size, kEax, before);
    if (operand.address != kNone) {
        e.store(size, operand.address, result);
    }
    e.set_reg(size, kEax, before);
    if (operand.address == kNone) {
        e.set_reg(size, e.insn.rm, result);
    }
    e.ir.flags(FlagKind::sub, size, comparison, before);
    return Flow::next;
}

constexpr std::size_t kAluOpcodeRows = 8 * 3;

consteval auto make_opcode_rows()
{
    constexpr u8 kRm = kModRm;
    constexpr u8 kRmw = kModRm | kLockable;
    std::array<OpcodeRow, kAluOpcodeRows> rows{};
    std::size_t n = 0;
    for (u16 op = 0; op < 8; ++op) {
        const u16 first = static_cast<u16>(op * 8);
        rows[n++] = {
            .opcode = first, .count = 2, .flags = op == kCmp ? kRm : kRmw, .translate = alu_rm_reg};
        rows[n++] = {.opcode = static_cast<u16>(first + 2),
                     .count = 2,
                     .flags = kRm,
                     .translate = alu_reg_rm};
        rows[n++] = {.opcode = static_cast<u16>(first + 4),
                     .count = 2,
                     .imm = Imm::iv,
                     .translate = alu_acc_imm};
    }
    return rows;
}

constexpr auto kAluOpcodes = make_opcode_rows();

consteval auto make_group1()
{
    std::array<OpcodeRow, 3 * 8> rows{};
    std::size_t n = 0;
    for (u8 op = 0; op < 8; ++op) {
        const u8 flags = op == kCmp ? u8{kModRm} : u8{kModRm | kLockable};
        rows[n++] = {0x80, 2, op, flags, Imm::iv, alu_rm_imm};
        rows[n++] = {0x82, 1, op, flags, Imm::i8, alu_rm_imm};
        rows[n++] = {0x83, 1, op, flags, Imm::i8, alu_rm_imm};
    }
    return rows;
}

constexpr std::array kOthers{
    OpcodeRow{.opcode = 0x40, .count = 16, .translate = step_reg},
    OpcodeRow{.opcode = 0x84, .count = 2, .flags = kModRm, .translate = test_rm_reg},
    OpcodeRow{.opcode = 0xa8, .count = 2, .imm = Imm::iv, .translate = test_acc_imm},
    OpcodeRow{0xf6, 2, 0, kModRm, Imm::iv, test_rm_imm},
    OpcodeRow{0xf6, 2, 1, kModRm, Imm::iv, test_rm_imm},
    OpcodeRow{0xf6, 2, 2, kModRm | kLockable, Imm::none, not_rm},
    OpcodeRow{0xf6, 2, 3, kModRm | kLockable, Imm::none, neg_rm},
    OpcodeRow{0xfe, 2, 0, kModRm | kLockable, Imm::none, step_rm},
    OpcodeRow{0xfe, 2, 1, kModRm | kLockable, Imm::none, step_rm},
    OpcodeRow{kTwoByte | 0xb0, 2, kAnyReg, kModRm | kLockable, Imm::none, cmpxchg},
    OpcodeRow{kTwoByte | 0xc0, 2, kAnyReg, kModRm | kLockable, Imm::none, xadd},
};

template <std::size_t... N>
consteval auto join(const std::array<OpcodeRow, N>&... parts)
{
    std::array<OpcodeRow, (N + ...)> all{};
    std::size_t n = 0;
    (..., [&] {
        for (const OpcodeRow& row : parts) {
            all[n++] = row;
        }
    }());
    return all;
}

} // namespace

std::span<const OpcodeRow> alu_rows()
{
    static constexpr auto kRows = join(kAluOpcodes, make_group1(), kOthers);
    return kRows;
}

} // namespace emu::x86
