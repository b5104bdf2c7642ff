// Faults, interrupts, virtual-8086 mode, task switches, SMM and debug traps.
#include "emulator/cpu/x86/test_cpu.hpp"

using namespace emu;
using namespace emu::x86;
using namespace emu::x86::test;

namespace {

/// Enters virtual-8086 mode at 2000:0010 with SS:SP 3000:0100.
void enter_v86(Cpu& cpu, u32 eflags)
{
    const std::array<u32, 9> frame{0x10,   0x2000, eflags | kVm, 0x100, 0x3000,
                                   0x4000, 0x5000, 0x6000,       0x7000};
    for (u32 i = 0; i < frame.size(); ++i) {
        cpu.poke(0x7f00 + i * 4, frame[i]);
    }
    cpu.state.set_reg32(kEsp, 0x7f00);
    cpu.call("iret", 0, 0, 4);
    REQUIRE_FALSE(cpu.state.fault_pending);
    REQUIRE((cpu.state.mode & kModeV86) != 0);
}

void fill_task(Cpu& cpu, u32 tss)
{
    cpu.poke(tss + 0x1c, 0);
    cpu.poke(tss + 0x20, 0x1111);
    cpu.poke(tss + 0x24, 0x246);
    for (u32 n = 0; n < 8; ++n) {
        cpu.poke(tss + 0x28 + n * 4, n == kEsp ? 0xa000 : 0x100 + n);
    }
    for (u32 n = 0; n < 6; ++n) {
        cpu.poke(tss + 0x48 + n * 4, n == kCs ? kCode0 : kData0);
    }
    cpu.poke(tss + 0x60, 0);
    cpu.poke(tss + 0x64, 0x0068'0000);
}

} // namespace

TEST_CASE("interrupts: real mode pushes FLAGS, CS, IP and goes through the vector table")
{
    Cpu cpu;
    cpu.call("far_jump", 0x1000, 0x100, 2);
    cpu.call("load_segment", kSs, 0x2000);
    cpu.state.set_reg32(kEsp, 0x100);
    cpu.state.eflags |= kIf | kTf;
    cpu.state.set_arithmetic_flags(ir::kCf);
    cpu.state.idtr = {0, 0x3ff};
    cpu.poke(0x21 * 4, 0xf000'1234);
    cpu.state.next_pc = 0x102;

    cpu.call("software_int", 0x21);

    CHECK(cpu.state.seg[kCs].selector == 0xf000);
    CHECK(cpu.state.pc == 0x1234);
    CHECK(cpu.state.full_eflags() == 3);
    CHECK(cpu.peek(0x200fa) == 0x1000'0102);
    CHECK(cpu.peek(0x200fe, 2) == 0x303);
    cpu.call("iret", 0, 0, 2);
    CHECK(cpu.state.pc == 0x102);
    CHECK(cpu.state.full_eflags() == 0x303);
}

TEST_CASE("interrupts: an interrupt in ring 3 switches to the ring 0 stack, and IRETD returns")
{
    Cpu cpu;
    cpu.protect();
    cpu.drop_to_user();
    cpu.state.interrupt_line = true;
    cpu.board.vector = 0x40;
    REQUIRE(interrupt_deliverable(cpu.state));

    REQUIRE(take_pending_interrupt(cpu.state));

    CHECK(cpu.state.pc == kHandler + 0x40);
    CHECK(cpu.state.cpl == 0);
    CHECK(cpu.state.reg32(kEsp) == kStack0 - 20);
    CHECK(cpu.stack(0) == 0x6000);
    CHECK(cpu.stack(1) == kCode3);
    CHECK(cpu.stack(2) == 0x202);
    CHECK(cpu.stack(3) == 0x7000);
    CHECK(cpu.stack(4) == kData3);
    CHECK_FALSE(interrupt_deliverable(cpu.state));
    cpu.call("iret", 0, 0, 4);
    CHECK(cpu.state.cpl == 3);
    CHECK(cpu.state.reg32(kEsp) == 0x7000);
    CHECK(interrupt_deliverable(cpu.state));
}

TEST_CASE("interrupts: STI holds interrupts off for one instruction, nobody answering is harmless")
{
    Cpu cpu;
    cpu.state.interrupt_line = true;
    cpu.call("sti");
    CHECK_FALSE(take_pending_interrupt(cpu.state));
    cpu.state.interrupt_shadow = false;
    CHECK(interrupt_deliverable(cpu.state));
    CHECK_FALSE(take_pending_interrupt(cpu.state));
}

TEST_CASE("interrupts: NMI is blocked until IRET")
{
    Cpu cpu;
    cpu.protect();
    cpu.state.nmi_pending = true;
    REQUIRE(take_pending_interrupt(cpu.state));
    CHECK(cpu.state.pc == kHandler + 2);
    cpu.state.nmi_pending = true;
    CHECK_FALSE(take_pending_interrupt(cpu.state));
    cpu.call("iret", 0, 0, 4);
    CHECK(take_pending_interrupt(cpu.state));
}

TEST_CASE("faults: the frame has RF, the error code and the instruction's start")
{
    Cpu cpu;
    cpu.protect();
    cpu.state.pc = 0x4321;
    raise_page_fault(cpu.state, 0xdead'beef, 2);
    deliver_fault(cpu.state);
    CHECK(cpu.state.cr2 == 0xdead'beef);
    CHECK(cpu.state.pc == kHandler + 14);
    CHECK(cpu.stack(0) == 2);
    CHECK(cpu.stack(1) == 0x4321);
    CHECK(cpu.stack(2) == kCode0);
    CHECK(cpu.stack(3) == 0x1'0002);
}

TEST_CASE("faults: INT n needs the gate's privilege, exceptions do not")
{
    Cpu cpu;
    cpu.protect();
    cpu.gate(kIdt + 0x30 * 8, kCode0, 0x1000, 0x8e);
    cpu.gate(kIdt + 13 * 8, kCode0, 0x1300, 0x8f);
    cpu.drop_to_user();
    cpu.call("software_int", 0x30);
    CHECK(cpu.state.fault_error_code == 0x30 * 8 + 2);
    REQUIRE(cpu.state.fault_pending);
    deliver_fault(cpu.state);
    CHECK(cpu.state.pc == 0x1300);
    CHECK(cpu.stack(0) == 0x30 * 8 + 2);
    CHECK((cpu.state.eflags & kIf) != 0); // a trap gate
}

TEST_CASE("faults: contributory ones become a double fault, then a shutdown")
{
    Cpu cpu;
    cpu.protect();
    cpu.state.pc = 0x4321;
    cpu.poke(kIdt + 13 * 8 + 4, 0); // no gate for #GP
    raise_fault(cpu.state, kGeneralProtection, 0);
    deliver_fault(cpu.state);
    CHECK(cpu.state.pc == kHandler + 8);
    CHECK(cpu.stack(0) == 0);
    CHECK(cpu.stack(1) == 0x4321);
    CHECK_FALSE(cpu.state.shutdown);

    cpu.poke(kIdt + 8 * 8 + 4, 0);
    raise_fault(cpu.state, kGeneralProtection, 0);
    deliver_fault(cpu.state);
    CHECK(cpu.state.shutdown);
    CHECK_FALSE(cpu.state.fault_pending);
}

TEST_CASE("faults: a benign first exception is followed by the second, with EXT set")
{
    Cpu cpu;
    cpu.protect();
    cpu.poke(kIdt + 6 * 8 + 4, 0x0000'0e00); // #UD: gate not present
    raise_fault(cpu.state, kInvalidOpcode);
    deliver_fault(cpu.state);
    CHECK(cpu.state.pc == kHandler + 11);
    CHECK(cpu.stack(0) == 6 * 8 + 3);
}

TEST_CASE("v86: IRETD enters, an interrupt leaves with all segments saved")
{
    Cpu cpu;
    cpu.protect();
    enter_v86(cpu, 0x202);
    CHECK(cpu.state.cpl == 3);
    CHECK(cpu.state.seg[kCs].base == 0x20000);
    CHECK(cpu.state.seg[kGs].selector == 0x7000);
    cpu.state.interrupt_line = true;
    cpu.board.vector = 0x20;
    REQUIRE(take_pending_interrupt(cpu.state));
    CHECK(cpu.state.cpl == 0);
    CHECK(cpu.state.seg[kDs].selector == 0);
    CHECK(cpu.state.reg32(kEsp) == kStack0 - 36);
    constexpr std::array<u32, 9> kFrame{0x10,   0x2000, 0x2'0202, 0x100, 0x3000,
                                        0x4000, 0x5000, 0x6000,   0x7000};
    for (u32 i = 0; i < kFrame.size(); ++i) {
        CHECK(cpu.stack(i) == kFrame[i]);
    }
    cpu.call("iret", 0, 0, 4);
    CHECK((cpu.state.mode & kModeV86) != 0);
    CHECK(cpu.state.pc == 0x10);
}

TEST_CASE("v86: INT n and PUSHF fault below IOPL 3")
{
    Cpu cpu;
    cpu.protect();
    enter_v86(cpu, 0x202);
    cpu.call("software_int", 0x21);
    CHECK(cpu.faulted(kGeneralProtection, 0));
    cpu.call("pushf", 0, 0, 2);
    CHECK(cpu.faulted(kGeneralProtection, 0));
    cpu.call("cli");
    CHECK(cpu.faulted(kGeneralProtection, 0));
}

TEST_CASE("v86: with VME, INT n stays in the program and VIF stands for IF")
{
    Cpu cpu;
    cpu.protect();
    cpu.descriptor(kFree, kTss, 0x200, 0x0089);
    cpu.call("ltr", kFree);
    cpu.poke(kTss + 0x66, 0x88, 2); // redirection map at 68h, all clear
    cpu.call("mov_to_cr", 4, kCr4Vme);
    cpu.poke(0x21 * 4, 0x5000'0042);
    enter_v86(cpu, 0x202);
    cpu.call("sti");
    CHECK((cpu.state.eflags & kVif) != 0);
    cpu.state.next_pc = 0x12;
    cpu.call("software_int", 0x21);
    REQUIRE_FALSE(cpu.state.fault_pending);
    CHECK(cpu.state.seg[kCs].selector == 0x5000);
    CHECK(cpu.state.pc == 0x42);
    CHECK((cpu.state.eflags & (kVif | kIf)) == kIf);
    CHECK(cpu.peek(0x300fe, 2) == 0x3202);
    cpu.call("iret", 0, 0, 2);
    CHECK((cpu.state.eflags & kVif) != 0);
    CHECK(cpu.state.pc == 0x12);
    CHECK(cpu.call("pushf", 0, 0, 2) == (0x3202 | kVif));
}

TEST_CASE("tasks: a jump to a TSS saves the old task and loads the new one")
{
    Cpu cpu;
    cpu.protect();
    fill_task(cpu, kTss2);
    cpu.state.set_reg32(kEbx, 0xb0b0);
    cpu.state.next_pc = 0x4007;

    cpu.call("far_jump", kTss2Selector, 0, 4);

    REQUIRE_FALSE(cpu.state.fault_pending);
    CHECK(cpu.state.tr.selector == kTss2Selector);
    CHECK(cpu.state.pc == 0x1111);
    CHECK(cpu.state.full_eflags() == 0x246);
    CHECK(cpu.state.reg32(kEbx) == 0x103);
    CHECK((cpu.state.cr0 & kCr0Ts) != 0);
    CHECK(cpu.peek(kTss + 0x20) == 0x4007);
    CHECK(cpu.peek(kTss + 0x34) == 0xb0b0);
    CHECK(cpu.peek(kTss + 0x4c, 2) == kCode0);
    CHECK((cpu.peek(kGdt + kTssSelector + 4) & 0x200) == 0);
    CHECK((cpu.peek(kGdt + kTss2Selector + 4) & 0x200) != 0);
    cpu.call("far_jump", kTss2Selector, 0, 4);
    CHECK(cpu.faulted(kGeneralProtection, kTss2Selector)); // busy
}

TEST_CASE("tasks: a call nests and IRET returns")
{
    Cpu cpu;
    cpu.protect();
    fill_task(cpu, kTss2);
    cpu.state.next_pc = 0x4007;
    cpu.call("far_call", kTss2Selector, 0, 4);
    CHECK((cpu.state.eflags & kNt) != 0);
    CHECK(cpu.peek(kTss2, 2) == kTssSelector);
    cpu.state.next_pc = 0x1112;
    cpu.call("iret", 0, 0, 4);
    REQUIRE_FALSE(cpu.state.fault_pending);
    CHECK(cpu.state.tr.selector == kTssSelector);
    CHECK(cpu.state.pc == 0x4007);
    CHECK((cpu.state.eflags & kNt) == 0);
    CHECK((cpu.peek(kTss2 + 0x24) & kNt) == 0);
    CHECK(cpu.peek(kTss2 + 0x20) == 0x1112);
}

TEST_CASE("tasks: an exception through a task gate pushes its error code in the new task")
{
    Cpu cpu;
    cpu.protect();
    fill_task(cpu, kTss2);
    cpu.gate(kIdt + 13 * 8, kTss2Selector, 0, 0x85);
    cpu.state.pc = 0x4321;
    raise_fault(cpu.state, kGeneralProtection, 0x50);
    deliver_fault(cpu.state);
    CHECK(cpu.state.pc == 0x1111);
    CHECK(cpu.state.reg32(kEsp) == 0xa000 - 4);
    CHECK(cpu.peek(0xa000 - 4) == 0x50);
    CHECK(cpu.peek(kTss + 0x20) == 0x4321);
}

TEST_CASE("tasks: a bad segment faults in the new task")
{
    Cpu cpu;
    cpu.protect();
    fill_task(cpu, kTss2);
    cpu.poke(kTss2 + 0x54, 0x7f8); // DS past every descriptor: empty
    cpu.call("far_jump", kTss2Selector, 0, 4);
    CHECK_FALSE(cpu.state.fault_pending);
    CHECK(cpu.state.tr.selector == kTss2Selector);
    CHECK(cpu.state.pc == kHandler + 10);
    CHECK(cpu.stack(0) == 0x7f8);
    CHECK(cpu.stack(1) == 0x1111);
}

TEST_CASE("tasks: a 286 task loads 16-bit registers, and the T bit raises a debug trap")
{
    Cpu cpu;
    cpu.protect();
    cpu.descriptor(kFree, kTss2, 0x2b, 0x0081);
    cpu.poke(kTss2 + 0x0e, 0x2222, 2);
    cpu.poke(kTss2 + 0x10, 0x202, 2);
    cpu.poke(kTss2 + 0x1a, 0xa000, 2);
    cpu.poke(kTss2 + 0x22, kData0, 2);
    cpu.poke(kTss2 + 0x24, kCode0, 2);
    cpu.poke(kTss2 + 0x26, kData0, 2);
    cpu.poke(kTss2 + 0x28, kData0, 2);
    cpu.call("far_jump", kFree, 0, 2);
    REQUIRE_FALSE(cpu.state.fault_pending);
    CHECK(cpu.state.pc == 0x2222);
    CHECK(cpu.state.reg32(kEsp) == 0xffff'a000);
    CHECK(cpu.state.seg[kFs].selector == 0);

    fill_task(cpu, kTss);
    cpu.poke(kTss + 0x64, 0x0068'0001);
    cpu.call("far_jump", kTssSelector, 0, 4);
    REQUIRE_FALSE(cpu.state.fault_pending);
    REQUIRE(after_instruction(cpu.state, false));
    deliver_debug_trap(cpu.state);
    CHECK(cpu.state.pc == kHandler + 1);
    CHECK((cpu.state.dr6 & 0x8000) != 0);
}

TEST_CASE("debug: execution breakpoints fault, data breakpoints and TF trap")
{
    Cpu cpu;
    cpu.protect();
    CHECK_FALSE(needs_single_step(cpu.state));
    cpu.call("mov_to_dr", 0, 0x4000);
    cpu.call("mov_to_dr", 1, 0x6000);
    cpu.call("mov_to_dr", 7, 0x00d0'0000 | 0xa); // 0: execute; 1: write, 4 bytes
    CHECK(needs_single_step(cpu.state));
    cpu.state.pc = 0x4000;
    REQUIRE(check_execution_breakpoint(cpu.state));
    deliver_fault(cpu.state);
    CHECK(cpu.state.pc == kHandler + 1);
    CHECK((cpu.state.dr6 & 0xf) == 1);
    CHECK((cpu.stack(2) & kRf) == 0);

    u64 value = 0;
    REQUIRE(load(cpu.state, 0x6000, 1, false, value));
    CHECK_FALSE(after_instruction(cpu.state, false));
    REQUIRE(store(cpu.state, 0x6003, 1, false, 0));
    CHECK(after_instruction(cpu.state, false));
    deliver_debug_trap(cpu.state);
    CHECK((cpu.state.dr6 & 0xf) == 3);
    CHECK(after_instruction(cpu.state, true));
    deliver_debug_trap(cpu.state);
    CHECK((cpu.state.dr6 & 0x4000) != 0);
}

TEST_CASE("debug: RF from IRETD covers one instruction")
{
    Cpu cpu;
    cpu.protect();
    cpu.call("mov_to_dr", 0, 0x6000);
    cpu.call("mov_to_dr", 7, 2);
    cpu.drop_to_user(0x1'0202);
    after_instruction(cpu.state, false); // the IRETD
    CHECK_FALSE(check_execution_breakpoint(cpu.state));
    after_instruction(cpu.state, false);
    CHECK(check_execution_breakpoint(cpu.state));
}

TEST_CASE("debug: alignment is checked in ring 3 with AM and AC")
{
    Cpu cpu;
    cpu.protect();
    cpu.call("mov_to_cr", 0, cpu.state.cr0 | kCr0Am);
    cpu.drop_to_user(0x4'0202);
    CHECK(needs_single_step(cpu.state));
    u64 value = 0;
    CHECK_FALSE(load(cpu.state, 0x6001, 4, true, value));
    CHECK(cpu.faulted(kAlignmentCheck, 0));
    CHECK(load(cpu.state, 0x6001, 1, true, value));
}

TEST_CASE("smm: SMI saves the state, RSM restores it and takes the new SMBASE")
{
    Cpu cpu;
    cpu.protect();
    cpu.state.set_reg32(kEbx, 0x1234);
    cpu.state.pc = 0x4321;
    cpu.state.smi_pending = true;
    REQUIRE(take_pending_interrupt(cpu.state));
    CHECK(cpu.board.smm);
    CHECK(cpu.state.seg[kCs].base + cpu.state.pc == 0x38000);
    CHECK((cpu.state.mode & kModeProtected) == 0);
    CHECK(cpu.peek(0x3fff0) == 0x4321);
    CHECK(cpu.peek(0x3ffdc) == 0x1234);
    CHECK(cpu.peek(0x3fefc) == 0x2'0000);
    cpu.poke(0x3fef8, 0xa0000);
    cpu.state.set_reg32(kEbx, 0);
    cpu.call("rsm");
    CHECK_FALSE(cpu.board.smm);
    CHECK(cpu.state.pc == 0x4321);
    CHECK(cpu.state.reg32(kEbx) == 0x1234);
    CHECK(cpu.state.smbase == 0xa0000);
    CHECK((cpu.state.mode & kModeProtected) != 0);
    CHECK(cpu.state.seg[kSs].selector == kData0);
    cpu.call("rsm");
    CHECK(cpu.state.fault_vector == kInvalidOpcode);
}
