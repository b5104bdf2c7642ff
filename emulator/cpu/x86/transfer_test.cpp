// Segment loads, far transfers through gates, privilege changes, and instructions on selectors.
#include "emulator/cpu/x86/test_cpu.hpp"

using namespace emu;
using namespace emu::x86;
using namespace emu::x86::test;

TEST_CASE("reset: the first instruction is at FFFFFFF0")
{
    Cpu cpu;
    CHECK(cpu.state.seg[kCs].base + cpu.state.pc == 0xffff'fff0);
    CHECK(cpu.state.cr0 == 0x6000'0010);
    CHECK(cpu.state.reg32(kEdx) == 0x686);
    CHECK(cpu.state.full_eflags() == 2);
}

TEST_CASE("segments: real mode keeps limits that protected mode loaded")
{
    Cpu cpu;
    cpu.protect();
    cpu.call("mov_to_cr", 0, cpu.state.cr0 & ~kCr0Pe);
    cpu.call("load_segment", kDs, 0x1234);

    CHECK(cpu.state.seg[kDs].base == 0x12340);
    CHECK(cpu.state.segment_read_end[kDs] == u64{1} << 32);
    CHECK(cpu.state.segment_write_end[kDs] == u64{1} << 32);
}

TEST_CASE("segments: a load in real mode tells when accesses need no base and no check")
{
    Cpu cpu;
    cpu.protect();
    cpu.call("mov_to_cr", 0, cpu.state.cr0 & ~kCr0Pe);

    cpu.call("load_segment", kDs, 0x1234);
    CHECK((cpu.state.mode & kModeFlatDs) == 0);
    CHECK(cpu.state.segment_base[kDs] == 0x12340);
    cpu.call("load_segment", kDs, 0);
    CHECK((cpu.state.mode & kModeFlatDs) == kModeFlatDs);
    CHECK(cpu.state.segment_base[kDs] == 0);
    cpu.call("load_segment", kDs, 0x10);
    CHECK((cpu.state.mode & kModeFlatDs) == 0);
    CHECK(cpu.state.segment_base[kDs] == 0x100);
}

TEST_CASE("segments: what one changes is what all together would say")
{
    Cpu cpu;
    cpu.protect();
    cpu.descriptor(kFree, 0x1'0000, 0xffff, 0x0092);      // 64 KiB of data
    cpu.descriptor(kFree + 8, 0x2'0000, 0xff, 0x0096);    // expands down
    cpu.descriptor(kFree + 16, 0x3'0000, 0xffff, 0x0090); // read-only
    const u16 selector = GENERATE(u16{0}, kData0, kFree, u16{kFree + 8}, u16{kFree + 16});
    const Seg seg = GENERATE(kEs, kDs, kFs, kGs);

    cpu.call("load_segment", seg, kFree);
    cpu.call("load_segment", seg, selector);

    REQUIRE_FALSE(cpu.state.fault_pending);
    const u32 mode = cpu.state.mode;
    const auto bases = cpu.state.segment_base;
    const auto read_ends = cpu.state.segment_read_end;
    const auto write_ends = cpu.state.segment_write_end;
    update_mode(cpu.state);
    CHECK(cpu.state.mode == mode);
    CHECK(cpu.state.segment_base == bases);
    CHECK(cpu.state.segment_read_end == read_ends);
    CHECK(cpu.state.segment_write_end == write_ends);
}

TEST_CASE("segments: loads check table, type, privilege and presence")
{
    Cpu cpu;
    cpu.protect();
    cpu.descriptor(kFree, 0, 0xfff, 0x0012);     // data, not present
    cpu.descriptor(kFree + 8, 0, 0xfff, 0x0098); // execute-only code

    cpu.call("load_segment", kDs, kFree);
    CHECK(cpu.faulted(kSegmentNotPresent, kFree));
    cpu.call("load_segment", kSs, kFree);
    CHECK(cpu.faulted(kStackFault, kFree));
    cpu.call("load_segment", kDs, kFree + 8);
    CHECK(cpu.faulted(kGeneralProtection, kFree + 8));
    cpu.call("load_segment", kDs, 0x800);
    CHECK(cpu.faulted(kGeneralProtection, 0x800));
    cpu.call("load_segment", kDs, 0x0c); // no LDT
    CHECK(cpu.faulted(kGeneralProtection, 0x0c));
    cpu.call("load_segment", kSs, 0);
    CHECK(cpu.faulted(kGeneralProtection, 0));
    cpu.call("load_segment", kSs, kData3);
    CHECK(cpu.faulted(kGeneralProtection, 0x20));
    CHECK(cpu.state.seg[kDs].selector == kData0);
}

TEST_CASE("segments: a null selector faults on use, not on load")
{
    Cpu cpu;
    cpu.protect();
    cpu.call("load_segment", kEs, 3);
    CHECK_FALSE(cpu.state.fault_pending);
    CHECK(cpu.state.segment_read_end[kEs] == 0);
    CHECK_FALSE(check_segment(cpu.state, kEs, 0, 1, false));
    CHECK(cpu.faulted(kGeneralProtection, 0));
}

TEST_CASE("segments: an expand-down segment is valid above its limit")
{
    Cpu cpu;
    cpu.protect();
    cpu.descriptor(kFree, 0, 0x1fff, 0x0096); // 16-bit
    cpu.call("load_segment", kDs, kFree);
    CHECK_FALSE(check_segment(cpu.state, kDs, 0x1fff, 1, false));
    CHECK(cpu.faulted(kGeneralProtection, 0));
    CHECK(check_segment(cpu.state, kDs, 0x2000, 4, true));
    CHECK_FALSE(check_segment(cpu.state, kDs, 0xfffe, 4, true));
    CHECK(cpu.faulted(kGeneralProtection, 0));
    CHECK((cpu.peek(kGdt + kFree + 4) & 0x100) != 0); // accessed
}

TEST_CASE("transfers: IRETD to ring 3 makes ring 0 segments null")
{
    Cpu cpu;
    cpu.protect();
    cpu.call("load_segment", kFs, kData3);
    cpu.drop_to_user();

    CHECK(cpu.state.pc == 0x6000);
    CHECK(cpu.state.reg32(kEsp) == 0x7000);
    CHECK(cpu.state.seg[kCs].selector == kCode3);
    CHECK(cpu.state.seg[kSs].selector == kData3);
    CHECK(cpu.state.seg[kDs].selector == 0);
    CHECK(cpu.state.seg[kFs].selector == kData3);
    CHECK((cpu.state.mode & kModeUser) != 0);
    CHECK(cpu.state.full_eflags() == 0x202);
}

TEST_CASE("transfers: a call gate to ring 0 switches stacks and copies parameters, RETF undoes it")
{
    Cpu cpu;
    cpu.protect();
    cpu.gate(kGdt + kFree, kCode0, 0x5678, 0xec, 2);
    cpu.drop_to_user();
    cpu.poke(0x7000, 0xaaaa);
    cpu.poke(0x7004, 0xbbbb);
    cpu.state.next_pc = 0x6007;

    cpu.call("far_call", kFree | 3, 0xdead, 4);

    REQUIRE_FALSE(cpu.state.fault_pending);
    CHECK(cpu.state.cpl == 0);
    CHECK(cpu.state.pc == 0x5678);
    CHECK(cpu.state.reg32(kEsp) == kStack0 - 24);
    CHECK(cpu.stack(0) == 0x6007);
    CHECK(cpu.stack(1) == kCode3);
    CHECK(cpu.stack(2) == 0xaaaa);
    CHECK(cpu.stack(3) == 0xbbbb);
    CHECK(cpu.stack(4) == 0x7000);
    CHECK(cpu.stack(5) == kData3);

    cpu.call("far_ret", 8, 0, 4);
    REQUIRE_FALSE(cpu.state.fault_pending);
    CHECK(cpu.state.cpl == 3);
    CHECK(cpu.state.pc == 0x6007);
    CHECK(cpu.state.reg32(kEsp) == 0x7008);
}

TEST_CASE("transfers: ring 3 may not jump to ring 0 code nor use gates of ring 0")
{
    Cpu cpu;
    cpu.protect();
    cpu.gate(kGdt + kFree, kCode0, 0x5678, 0x8c);
    cpu.drop_to_user();
    cpu.call("far_jump", kCode0, 0, 4);
    CHECK(cpu.faulted(kGeneralProtection, kCode0));
    cpu.call("far_jump", kFree, 0, 4);
    CHECK(cpu.faulted(kGeneralProtection, kFree));
    cpu.call("far_jump", kCode3, 0x1234, 4);
    CHECK(cpu.state.pc == 0x1234);
    cpu.call("far_jump", 0, 0, 4);
    CHECK(cpu.faulted(kGeneralProtection, 0));
}

TEST_CASE("transfers: a far call in real mode pushes 16-bit CS and IP")
{
    Cpu cpu;
    cpu.call("far_jump", 0x1000, 0x100, 2);
    cpu.call("load_segment", kSs, 0x2000);
    cpu.state.set_reg32(kEsp, 0x1'0004);
    cpu.state.next_pc = 0x105;

    cpu.call("far_call", 0x3000, 0x42, 2);

    CHECK(cpu.state.pc == 0x42);
    CHECK(cpu.state.seg[kCs].base == 0x30000);
    CHECK(cpu.state.reg32(kEsp) == 0x1'0000);
    CHECK(cpu.peek(0x20000) == 0x1000'0105);
    cpu.call("far_ret", 2, 0, 2);
    CHECK(cpu.state.pc == 0x105);
    CHECK(cpu.state.reg32(kEsp) == 0x1'0006);
    cpu.state.seg[kCs].limit = 0xff;
    cpu.call("check_branch", 0x100);
    CHECK(cpu.faulted(kGeneralProtection, 0));
}

TEST_CASE("selectors: LAR, LSL, VERR, VERW and ARPL report through ZF")
{
    Cpu cpu;
    cpu.protect();
    cpu.drop_to_user();
    const auto zero = [&] { return (cpu.state.full_eflags() & ir::kZf) != 0; };

    CHECK(cpu.call("lar", kCode3, 7) == 0x00cf'fb00);
    CHECK(zero());
    CHECK(cpu.call("lsl", kData3, 7) == 0xffff'ffff);
    CHECK(zero());
    CHECK(cpu.call("lsl", kData0, 7) == 7);
    CHECK_FALSE(zero());
    cpu.call("verr", kCode3);
    CHECK(zero());
    cpu.call("verw", kCode3);
    CHECK_FALSE(zero());
    cpu.call("verw", kData3);
    CHECK(zero());
    CHECK(cpu.call("arpl", 0x40, 3) == 0x43);
    CHECK(zero());
    CHECK(cpu.call("arpl", 0x43, 2) == 0x43);
    CHECK_FALSE(zero());
}

TEST_CASE("ports: ring 3 needs IOPL or a clear bit in the permission map")
{
    Cpu cpu;
    cpu.protect();
    cpu.descriptor(kFree, kTss, 0xff, 0x0089); // room for a map of ports 0-1207
    cpu.call("ltr", kFree);
    for (u32 at = 0x68; at <= 0xff; ++at) {
        cpu.poke(kTss + at, 0xff, 1);
    }
    cpu.poke(kTss + 0x68 + 0x60 / 8, 0xee, 1); // 60h and 64h are open
    cpu.drop_to_user();

    CHECK(cpu.call("in", 0x60, 1) == 0x12345678);
    CHECK_FALSE(cpu.state.fault_pending);
    cpu.call("in", 0x60, 2);
    CHECK(cpu.faulted(kGeneralProtection, 0));
    cpu.call("out", 0x64, 1, 0x1fe);
    CHECK(cpu.board.last_value == 0xfe);
    cpu.call("in", 0xffff, 1); // past the limit
    CHECK(cpu.faulted(kGeneralProtection, 0));
    cpu.call("cli");
    CHECK(cpu.faulted(kGeneralProtection, 0));
}

TEST_CASE("control: CR0 and CR4 refuse impossible combinations, CPUID and MSRs follow the model")
{
    Cpu cpu;
    cpu.call("mov_to_cr", 0, 0x8000'0010);
    CHECK(cpu.faulted(kGeneralProtection, 0));
    cpu.call("mov_to_cr", 4, 0x8000);
    CHECK(cpu.faulted(kGeneralProtection, 0));
    cpu.call("mov_from_cr", 1);
    CHECK(cpu.state.fault_vector == kInvalidOpcode);
    cpu.state.fault_pending = false;

    cpu.state.set_reg32(kEax, 0);
    cpu.call("cpuid");
    CHECK(cpu.state.reg32(kEbx) == 0x756e'6547); // "Genu"
    CHECK(cpu.state.reg32(kEdx) == 0x4965'6e69); // "ineI"
    CHECK(cpu.state.reg32(kEcx) == 0x6c65'746e); // "ntel"

    cpu.state.set_reg32(kEcx, 0x175);
    cpu.state.set_reg32(kEax, 0x1234);
    cpu.state.set_reg32(kEdx, 0);
    cpu.call("wrmsr");
    cpu.state.set_reg32(kEax, 0);
    cpu.call("rdmsr");
    CHECK(cpu.state.reg32(kEax) == 0x1234);
    cpu.state.set_reg32(kEcx, 0x9999);
    cpu.call("rdmsr");
    CHECK(cpu.faulted(kGeneralProtection, 0));
    cpu.state.model = find_model("486");
    cpu.call("rdmsr");
    CHECK(cpu.state.fault_vector == kInvalidOpcode);
}

TEST_CASE("control: SYSENTER and SYSEXIT load flat segments")
{
    Cpu cpu;
    cpu.protect();
    cpu.state.sysenter_cs = kCode0;
    cpu.state.sysenter_esp = 0x9000;
    cpu.state.sysenter_eip = 0x4444;
    cpu.drop_to_user();
    cpu.call("sysenter");
    CHECK(cpu.state.cpl == 0);
    CHECK(cpu.state.pc == 0x4444);
    CHECK(cpu.state.reg32(kEsp) == 0x9000);
    CHECK(cpu.state.full_eflags() == 2);
    cpu.state.set_reg32(kEcx, 0x7000);
    cpu.state.set_reg32(kEdx, 0x6002);
    cpu.call("sysexit");
    CHECK(cpu.state.cpl == 3);
    CHECK(cpu.state.seg[kCs].selector == 0x1b);
    CHECK(cpu.state.seg[kSs].selector == 0x23);
    CHECK(cpu.state.pc == 0x6002);
}
