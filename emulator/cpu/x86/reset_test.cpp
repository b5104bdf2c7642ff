#include "emulator/cpu/fpu/x87.hpp"
#include "emulator/cpu/x86/test_cpu.hpp"

using namespace emu;
using namespace emu::x86;
using namespace emu::x86::test;

TEST_CASE("reset: the CPU starts at the reset vector in real mode")
{
    Cpu cpu;

    CHECK(cpu.state.seg[kCs].base == 0xffff'0000);
    CHECK(cpu.state.pc == 0xfff0);
    CHECK(cpu.state.cr0 == 0x6000'0010);
    CHECK(cpu.state.reg32(kEdx) == 0x0000'0686);
}

TEST_CASE("reset: the x87 is as after FNINIT, for programs that skip it")
{
    Cpu cpu;
    cpu.state.x87.control = 0x0c7f;
    cpu.state.x87.empty = 0;
    reset(cpu.state);

    CHECK(cpu.state.x87.control == 0x037f);
    CHECK(fpu::tag_word(cpu.state.x87) == 0xffff);
}
