// Instructions that the system helpers do: control registers, descriptor tables, ports, flags.
#include "emulator/translate/x86/emitter.hpp"

namespace emu::x86 {

namespace {

// E4 ib, E5 ib; EC, ED.
Flow in(Emitter& e)
{
    const unsigned size = e.width();
    const Slot port =
        e.insn.opcode < 0xe8 ? e.constant(e.insn.imm & 0xff) : e.unary(Op::zx, 2, kEdx);
    const Slot width = e.constant(size);
    const Slot value = e.call(helper<"in">(), port, width);
    e.set_reg(size, kEax, value);
    e.ir.emit({.op = Op::poll, .imm = e.next});
    return e.jump_to(e.next);
}

// E6 ib, E7 ib; EE, EF.
Flow out(Emitter& e)
{
    const unsigned size = e.width();
    const Slot port =
        e.insn.opcode < 0xe8 ? e.constant(e.insn.imm & 0xff) : e.unary(Op::zx, 2, kEdx);
    const Slot width = e.constant(size);
    const Slot value = e.zero_extended(size, kEax);
    e.call(helper<"out">(), port, width, value);
    e.ir.emit({.op = Op::poll, .imm = e.next});
    return e.jump_to(e.next);
}

// F5, F8, F9: CMC CLC STC.
Flow change_carry(Emitter& e)
{
    const Slot flags = e.ir.temp();
    e.ir.emit({.op = Op::getflags, .d = flags});
    const Op op = e.insn.opcode == 0xf5 ? Op::xor_ : Op::or_;
    const Slot bits = e.insn.opcode == 0xf8 ? e.binary_imm(Op::and_, 4, flags, ~ir::kCf)
                                            : e.binary_imm(op, 4, flags, ir::kCf);
    e.ir.flags(FlagKind::raw, 4, bits);
    return Flow::next;
}

// FC, FD: CLD STD.
Flow change_direction(Emitter& e)
{
    const Slot eflags = e.load_eflags();
    const Slot changed = e.insn.opcode == 0xfc ? e.binary_imm(Op::and_, 4, eflags, ~kDf)
                                               : e.binary_imm(Op::or_, 4, eflags, kDf);
    e.store_eflags(changed);
    return Flow::next;
}

// 9F: LAHF. Bit 1 reads as one.
Flow lahf(Emitter& e)
{
    const Slot flags = e.ir.temp();
    e.ir.emit({.op = Op::getflags, .d = flags});
    const Slot low = e.binary_imm(Op::or_, 4, flags, 2);
    e.ir.unary(Op::put8h, 4, kEax, low);
    return Flow::next;
}

// 9E: SAHF. OF is kept.
Flow sahf(Emitter& e)
{
    const Slot flags = e.ir.temp();
    e.ir.emit({.op = Op::getflags, .d = flags});
    const Slot overflow = e.binary_imm(Op::and_, 4, flags, ir::kOf);
    const Slot ah = e.unary(Op::gethi, 4, kEax);
    const Slot low = e.binary_imm(Op::and_, 4, ah, ir::kArithmeticFlags & 0xff);
    const Slot bits = e.binary(Op::or_, 4, low, overflow);
    e.ir.flags(FlagKind::raw, 4, bits);
    return Flow::next;
}

// FA.
Flow cli(Emitter& e)
{
    e.call(helper<"cli">());
    return Flow::next;
}

// FB.
Flow sti(Emitter& e)
{
    e.call(helper<"sti">());
    return e.leave_to_next();
}

// F4.
Flow hlt(Emitter& e)
{
    e.call(helper<"hlt">());
    return e.leave_to_next();
}

// 63 /r, protected mode only.
Flow arpl(Emitter& e)
{
    if (!e.has_mode(kModeProtected)) {
        return e.undefined();
    }
    const Slot source = e.zero_extended(2, e.insn.reg);
    if (e.insn.is_memory()) {
        const Slot offset = e.effective_address();
        const Slot segment = e.constant(e.insn.segment);
        e.call(helper<"arpl_memory">(), offset, segment, source);
        return Flow::next;
    }
    const Rm operand = e.modify_rm(2);
    const Slot value = e.zero_extended(2, operand.value);
    const Slot result = e.call(helper<"arpl">(), value, source);
    e.write_back(2, operand, result);
    return Flow::next;
}

// 0F 00 /0, /1.
Flow store_system_selector(Emitter& e)
{
    if (!e.has_mode(kModeProtected)) {
        return e.undefined();
    }
    const Slot selector = e.call(e.insn.reg == 0 ? helper<"sldt">() : helper<"str">());
    e.set_rm(e.insn.is_memory() ? 2 : e.operand_size(), selector);
    return Flow::next;
}

/// A 16-bit operand as a selector.
Slot selector_operand(Emitter& e)
{
    const Slot value = e.rm(2);
    return e.zero_extended(2, value);
}

// 0F 00 /2../5.
Flow load_system_selector(Emitter& e)
{
    if (!e.has_mode(kModeProtected)) {
        return e.undefined();
    }
    const Slot selector = selector_operand(e);
    switch (e.insn.reg) {
    case 2:
        e.call(helper<"lldt">(), selector);
        break;
    case 3:
        e.call(helper<"ltr">(), selector);
        break;
    case 4:
        e.call(helper<"verr">(), selector);
        break;
    default:
        e.call(helper<"verw">(), selector);
        break;
    }
    return Flow::next;
}

// 0F 01 /0../3: the helpers do their own accesses, from an offset in a segment.
Flow descriptor_table(Emitter& e)
{
    const Slot offset = e.effective_address();
    const Slot segment = e.constant(e.insn.segment);
    const Slot size = e.constant(e.operand_size());
    switch (e.insn.reg) {
    case 0:
        e.call(helper<"sgdt">(), offset, segment, size);
        break;
    case 1:
        e.call(helper<"sidt">(), offset, segment, size);
        break;
    case 2:
        e.call(helper<"lgdt">(), offset, segment, size);
        break;
    default:
        e.call(helper<"lidt">(), offset, segment, size);
        break;
    }
    return Flow::next;
}

// 0F 01 /4.
Flow smsw(Emitter& e)
{
    const Slot word = e.call(helper<"smsw">());
    e.set_rm(e.insn.is_memory() ? 2 : e.operand_size(), word);
    return Flow::next;
}

// 0F 01 /6.
Flow lmsw(Emitter& e)
{
    const Slot word = selector_operand(e);
    e.call(helper<"lmsw">(), word);
    return e.leave_to_next();
}

// 0F 01 /7.
Flow invlpg(Emitter& e)
{
    const Slot offset = e.effective_address();
    const Slot linear = e.ir.temp();
    e.ir.emit({.op = Op::segbase, .aux = e.insn.segment, .d = linear, .a = offset});
    e.call(helper<"invlpg">(), linear);
    return e.leave_to_next();
}

// 0F 02 /r, 0F 03 /r. The helper sets ZF; where it clears it, it gives back the old value.
Flow inspect_descriptor(Emitter& e)
{
    if (!e.has_mode(kModeProtected)) {
        return e.undefined();
    }
    const Slot selector = selector_operand(e);
    const bool rights = e.insn.opcode == (kTwoByte | 0x02);
    const u32 index = rights ? helper<"lar">() : helper<"lsl">();
    const Slot found = e.call(index, selector, e.insn.reg);
    e.set_reg(e.operand_size(), e.insn.reg, found);
    return Flow::next;
}

// 0F 06.
Flow clts(Emitter& e)
{
    e.call(helper<"clts">());
    return e.leave_to_next();
}

// 0F 08, 0F 09: INVD WBINVD. There is no cache to empty; privilege is checked.
Flow wbinvd(Emitter& e)
{
    e.call(helper<"wbinvd">());
    return Flow::next;
}

// 0F 0B, 0F B9: reserved to be undefined.
Flow ud2(Emitter& e)
{
    return e.undefined();
}

// 0F 20 /r, 0F 21 /r.
Flow mov_from_special(Emitter& e)
{
    const bool control = e.insn.opcode == (kTwoByte | 0x20);
    const u32 index = control ? helper<"mov_from_cr">() : helper<"mov_from_dr">();
    const Slot value = e.call_constants(index, e.insn.reg);
    e.set_reg(4, e.insn.rm, value);
    return Flow::next;
}

// 0F 22 /r, 0F 23 /r.
Flow mov_to_special(Emitter& e)
{
    const bool control = e.insn.opcode == (kTwoByte | 0x22);
    const u32 index = control ? helper<"mov_to_cr">() : helper<"mov_to_dr">();
    const Slot number = e.constant(e.insn.reg);
    e.call(index, number, e.insn.rm);
    return e.leave_to_next();
}

// 0F 30.
Flow wrmsr(Emitter& e)
{
    e.call(helper<"wrmsr">());
    return e.leave_to_next();
}

// 0F 31, 32, 33, A2: the helpers write EAX, EDX and others.
Flow rdtsc(Emitter& e)
{
    e.call(helper<"rdtsc">());
    return Flow::next;
}

Flow rdmsr(Emitter& e)
{
    e.call(helper<"rdmsr">());
    return Flow::next;
}

Flow rdpmc(Emitter& e)
{
    e.call(helper<"rdpmc">());
    return Flow::next;
}

Flow cpuid(Emitter& e)
{
    e.call(helper<"cpuid">());
    return Flow::next;
}

// 0F 34, 0F 35, 0F AA: they set the program counter.
Flow sysenter(Emitter& e)
{
    e.call(helper<"sysenter">());
    return e.leave();
}

Flow sysexit(Emitter& e)
{
    e.call(helper<"sysexit">());
    return e.leave();
}

Flow rsm(Emitter& e)
{
    e.call(helper<"rsm">());
    return e.leave();
}

// 0F C7 /1.
Flow cmpxchg8b(Emitter& e)
{
    const Slot at = e.address(8, Intent::modify);
    e.call(helper<"cmpxchg8b">(), at);
    return Flow::next;
}

// 0F 0D /r, 0F 18 /r, 0F 1F /r: reserved as no-operations from the Pentium Pro on.
Flow nop_modrm(Emitter&)
{
    return Flow::next;
}

constexpr u8 kMem = kModRm | kMemOnly;
constexpr u8 kReg = kModRm | kModIgnored;

constexpr std::array kRows{
    OpcodeRow{0x63, 1, kAnyReg, kModRm, Imm::none, arpl},
    OpcodeRow{0x9e, 1, kAnyReg, 0, Imm::none, sahf},
    OpcodeRow{0x9f, 1, kAnyReg, 0, Imm::none, lahf},
    OpcodeRow{0xe4, 2, kAnyReg, 0, Imm::i8, in},
    OpcodeRow{0xe6, 2, kAnyReg, 0, Imm::i8, out},
    OpcodeRow{0xec, 2, kAnyReg, 0, Imm::none, in},
    OpcodeRow{0xee, 2, kAnyReg, 0, Imm::none, out},
    OpcodeRow{0xf4, 1, kAnyReg, 0, Imm::none, hlt},
    OpcodeRow{0xf5, 1, kAnyReg, 0, Imm::none, change_carry},
    OpcodeRow{0xf8, 2, kAnyReg, 0, Imm::none, change_carry},
    OpcodeRow{0xfa, 1, kAnyReg, 0, Imm::none, cli},
    OpcodeRow{0xfb, 1, kAnyReg, 0, Imm::none, sti},
    OpcodeRow{0xfc, 2, kAnyReg, 0, Imm::none, change_direction},
    OpcodeRow{kTwoByte | 0x00, 1, 0, kModRm, Imm::none, store_system_selector},
    OpcodeRow{kTwoByte | 0x00, 1, 1, kModRm, Imm::none, store_system_selector},
    OpcodeRow{kTwoByte | 0x00, 1, 2, kModRm, Imm::none, load_system_selector},
    OpcodeRow{kTwoByte | 0x00, 1, 3, kModRm, Imm::none, load_system_selector},
    OpcodeRow{kTwoByte | 0x00, 1, 4, kModRm, Imm::none, load_system_selector},
    OpcodeRow{kTwoByte | 0x00, 1, 5, kModRm, Imm::none, load_system_selector},
    OpcodeRow{kTwoByte | 0x01, 1, 0, kMem, Imm::none, descriptor_table},
    OpcodeRow{kTwoByte | 0x01, 1, 1, kMem, Imm::none, descriptor_table},
    OpcodeRow{kTwoByte | 0x01, 1, 2, kMem, Imm::none, descriptor_table},
    OpcodeRow{kTwoByte | 0x01, 1, 3, kMem, Imm::none, descriptor_table},
    OpcodeRow{kTwoByte | 0x01, 1, 4, kModRm, Imm::none, smsw},
    OpcodeRow{kTwoByte | 0x01, 1, 6, kModRm, Imm::none, lmsw},
    OpcodeRow{kTwoByte | 0x01, 1, 7, kMem, Imm::none, invlpg},
    OpcodeRow{kTwoByte | 0x02, 2, kAnyReg, kModRm, Imm::none, inspect_descriptor},
    OpcodeRow{kTwoByte | 0x06, 1, kAnyReg, 0, Imm::none, clts},
    OpcodeRow{kTwoByte | 0x08, 2, kAnyReg, 0, Imm::none, wbinvd},
    OpcodeRow{kTwoByte | 0x0b, 1, kAnyReg, 0, Imm::none, ud2},
    OpcodeRow{kTwoByte | 0x0d, 1, kAnyReg, kModRm, Imm::none, nop_modrm, kFeatureCmov},
    OpcodeRow{kTwoByte | 0x18, 8, kAnyReg, kModRm, Imm::none, nop_modrm, kFeatureCmov},
    OpcodeRow{kTwoByte | 0x20, 2, kAnyReg, kReg, Imm::none, mov_from_special},
    OpcodeRow{kTwoByte | 0x22, 2, kAnyReg, kReg, Imm::none, mov_to_special},
    OpcodeRow{kTwoByte | 0x30, 1, kAnyReg, 0, Imm::none, wrmsr, kFeatureMsr},
    OpcodeRow{kTwoByte | 0x31, 1, kAnyReg, 0, Imm::none, rdtsc, kFeatureTsc},
    OpcodeRow{kTwoByte | 0x32, 1, kAnyReg, 0, Imm::none, rdmsr, kFeatureMsr},
    OpcodeRow{kTwoByte | 0x33, 1, kAnyReg, 0, Imm::none, rdpmc, kFeatureCmov},
    OpcodeRow{kTwoByte | 0x34, 1, kAnyReg, 0, Imm::none, sysenter, kFeatureSep},
    OpcodeRow{kTwoByte | 0x35, 1, kAnyReg, 0, Imm::none, sysexit, kFeatureSep},
    OpcodeRow{kTwoByte | 0xa2, 1, kAnyReg, 0, Imm::none, cpuid},
    OpcodeRow{kTwoByte | 0xaa, 1, kAnyReg, 0, Imm::none, rsm},
    OpcodeRow{kTwoByte | 0xb9, 1, kAnyReg, kModRm, Imm::none, ud2},
    OpcodeRow{kTwoByte | 0xc7, 1, 1, kModRm | kMemOnly | kLockable, Imm::none, cmpxchg8b,
              kFeatureCx8},
};

} // namespace

std::span<const OpcodeRow> system_rows()
{
    return kRows;
}

} // namespace emu::x86
