// JMP Jcc CALL RET LOOP JCXZ, far transfers and software interrupts.
#include "emulator/translate/x86/emitter.hpp"

namespace emu::x86 {

namespace {

Flow raise_limit(Emitter& e)
{
    return e.raise(helper<"raise_gp0">());
}

// E9 iz, EB ib.
Flow jmp_near(Emitter& e)
{
    const u32 target = e.branch_target(e.insn.imm);
    return e.is_target_valid(target) ? e.jump_to(target) : raise_limit(e);
}

// 70+cc ib, 0F 80+cc iz.
Flow jcc(Emitter& e)
{
    const u8 cond = e.insn.opcode & 15;
    const u32 target = e.branch_target(e.insn.imm);
    if (!e.is_target_valid(target)) {
        e.ir.emit({.op = Op::exitcc, .aux = static_cast<u8>(cond ^ 1), .imm = e.next});
        return raise_limit(e);
    }
    e.ir.emit({.op = Op::exitcc, .aux = cond, .imm = target});
    return e.jump_to(e.next);
}

// E3 ib: by the address size.
Flow jcxz(Emitter& e)
{
    const u32 target = e.branch_target(e.insn.imm);
    const auto size = static_cast<u8>(e.address_size());
    if (!e.is_target_valid(target)) {
        e.ir.emit({.op = Op::exitnz, .size = size, .a = kEcx, .imm = e.next});
        return raise_limit(e);
    }
    e.ir.emit({.op = Op::exitz, .size = size, .a = kEcx, .imm = target});
    return e.jump_to(e.next);
}

// E0 ib LOOPNE, E1 ib LOOPE, E2 ib LOOP: the count is CX or ECX by the address size.
Flow loop(Emitter& e)
{
    const u32 target = e.branch_target(e.insn.imm);
    const auto size = static_cast<u8>(e.address_size());
    const Slot before = e.copy(4, kEcx);
    const Slot count = e.binary_imm(Op::sub, size, kEcx, 1);
    e.set_reg(size, kEcx, count);
    e.ir.emit({.op = Op::exitz, .size = size, .a = count, .imm = e.next});
    if (e.insn.opcode != 0xe2) {
        const Cond leaves = e.insn.opcode == 0xe0 ? Cond::e : Cond::ne;
        e.ir.emit({.op = Op::exitcc, .aux = static_cast<u8>(leaves), .imm = e.next});
    }
    if (!e.is_target_valid(target)) {
        e.ir.mov(4, kEcx, before);
        return raise_limit(e);
    }
    return e.jump_to(target);
}

// E8 iz.
Flow call_near(Emitter& e)
{
    const u32 target = e.branch_target(e.insn.imm);
    if (!e.is_target_valid(target)) {
        return raise_limit(e);
    }
    const Slot back = e.constant(e.next);
    e.push(e.operand_size(), back);
    return e.jump_to(target);
}

// FF /2, FF /4.
Flow transfer_rm(Emitter& e)
{
    const unsigned size = e.operand_size();
    const Slot value = e.rm(size);
    Slot target = e.zero_extended(size, value);
    e.check_target(target);
    if (e.insn.reg == 2) {
        if (target == kEsp) { // the push moves it
            target = e.copy(4, target);
        }
        const Slot back = e.constant(e.next);
        e.push(size, back);
    }
    return e.exit_indirect(target);
}

// C2 iw, C3.
Flow ret_near(Emitter& e)
{
    const unsigned size = e.operand_size();
    const Slot target = e.peek(size);
    e.check_target(target);
    e.drop(size + (e.insn.opcode == 0xc2 ? e.insn.imm : 0));
    return e.exit_indirect(target);
}

/// The helper of a far transfer or interrupt has set the program counter. In real mode it can have
/// changed nothing else that the dispatcher would have to look at.
Flow transferred(Emitter& e)
{
    return e.has_mode(kModeProtected | kModeV86) ? e.leave() : e.continue_there();
}

/// Far JMP and CALL.
Flow transfer_far(Emitter& e, bool is_call, Slot selector, Slot offset)
{
    const Slot width = e.constant(e.operand_size());
    const u32 index = is_call ? helper<"far_call">() : helper<"far_jump">();
    e.store_next_pc(); // a call's return address; a task switch saves it too
    e.call(index, selector, offset, width);
    return transferred(e);
}

// 9A far, EA far.
Flow transfer_far_imm(Emitter& e)
{
    const Slot selector = e.constant(e.insn.imm2);
    const Slot offset = e.constant(e.insn.imm);
    return transfer_far(e, e.insn.opcode == 0x9a, selector, offset);
}

// FF /3, FF /5.
Flow transfer_far_rm(Emitter& e)
{
    const unsigned size = e.operand_size();
    const Slot offset = e.load_operand(size);
    const Slot selector = e.load_operand(2, size);
    return transfer_far(e, e.insn.reg == 3, selector, offset);
}

// CA iw, CB.
Flow ret_far(Emitter& e)
{
    const Slot bytes = e.constant(e.insn.opcode == 0xca ? e.insn.imm : 0);
    const Slot width = e.constant(e.operand_size());
    e.call(helper<"far_ret">(), bytes, kNone, width);
    return transferred(e);
}

// CF.
Flow iret(Emitter& e)
{
    const Slot width = e.constant(e.operand_size());
    e.store_next_pc();
    e.call(helper<"iret">(), kNone, kNone, width);
    return e.leave();
}

// CC.
Flow int3(Emitter& e)
{
    e.store_next_pc();
    e.call(helper<"int3">());
    return e.leave();
}

// CD ib.
Flow int_imm(Emitter& e)
{
    e.store_next_pc();
    e.call_constants(helper<"software_int">(), e.insn.imm & 0xff);
    return transferred(e);
}

// CE.
Flow into(Emitter& e)
{
    e.ir.emit({.op = Op::exitcc, .aux = static_cast<u8>(Cond::no), .imm = e.next});
    e.store_next_pc();
    e.call(helper<"into">());
    return e.leave();
}

// F1, ICEBP.
Flow int1(Emitter& e)
{
    e.store_next_pc();
    e.call(helper<"int1">());
    return e.leave();
}

constexpr std::array kRows{
    OpcodeRow{0x70, 16, kAnyReg, kBranch, Imm::i8, jcc},
    OpcodeRow{0x9a, 1, kAnyReg, 0, Imm::far, transfer_far_imm},
    OpcodeRow{0xc2, 1, kAnyReg, 0, Imm::i16, ret_near},
    OpcodeRow{0xc3, 1, kAnyReg, 0, Imm::none, ret_near},
    OpcodeRow{0xca, 1, kAnyReg, 0, Imm::i16, ret_far},
    OpcodeRow{0xcb, 1, kAnyReg, 0, Imm::none, ret_far},
    OpcodeRow{0xcc, 1, kAnyReg, 0, Imm::none, int3},
    OpcodeRow{0xcd, 1, kAnyReg, 0, Imm::i8, int_imm},
    OpcodeRow{0xce, 1, kAnyReg, kBranch, Imm::none, into},
    OpcodeRow{0xcf, 1, kAnyReg, 0, Imm::none, iret},
    OpcodeRow{0xe0, 3, kAnyReg, kBranch, Imm::i8, loop},
    OpcodeRow{0xe3, 1, kAnyReg, kBranch, Imm::i8, jcxz},
    OpcodeRow{0xe8, 1, kAnyReg, 0, Imm::iz, call_near},
    OpcodeRow{0xe9, 1, kAnyReg, 0, Imm::iz, jmp_near},
    OpcodeRow{0xea, 1, kAnyReg, 0, Imm::far, transfer_far_imm},
    OpcodeRow{0xeb, 1, kAnyReg, 0, Imm::i8, jmp_near},
    OpcodeRow{0xf1, 1, kAnyReg, 0, Imm::none, int1},
    OpcodeRow{0xff, 1, 2, kModRm, Imm::none, transfer_rm},
    OpcodeRow{0xff, 1, 3, kModRm | kMemOnly, Imm::none, transfer_far_rm},
    OpcodeRow{0xff, 1, 4, kModRm, Imm::none, transfer_rm},
    OpcodeRow{0xff, 1, 5, kModRm | kMemOnly, Imm::none, transfer_far_rm},
    OpcodeRow{kTwoByte | 0x80, 16, kAnyReg, kBranch, Imm::iz, jcc},
};

} // namespace

std::span<const OpcodeRow> branch_rows()
{
    return kRows;
}

} // namespace emu::x86
