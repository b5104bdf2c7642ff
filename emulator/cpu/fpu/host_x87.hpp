// Test support: runs one x87 or MMX instruction on the host's own FPU, from and to a full state.
//
// The instruction is given by its bytes, so that tests are tables. Only on x86-64 Linux hosts;
// elsewhere kHasHostX87 is false and the comparing tests are left out.
#pragma once

#include "emulator/cpu/fpu/context.hpp"

#include <array>
#include <initializer_list>

namespace emu::fpu::host {

#if defined(__x86_64__) && defined(__linux__)
constexpr bool kHasHostX87 = true;
#else
constexpr bool kHasHostX87 = false;
#endif

/// The 108 bytes of FNSAVE in 32-bit protected mode (SDM volume 1, figure 8-9 and 8.1.10).
using SaveImage = std::array<u8, 108>;

struct RegisterFile {
    u16 control = cw::after_init;
    u16 status = 0;
    u16 tag_word = 0xffff;
    std::array<F80, 8> st{}; // in stack order
};

SaveImage make_image(const RegisterFile& registers);
RegisterFile read_image(const SaveImage& image);

/// ST(0) and ST(1) filled, TOP = 6.
RegisterFile with_two(F80 st0, F80 st1, u16 control);

struct Outcome {
    RegisterFile registers;
    u64 eflags = 0;
};

/// One instruction turned into a callable routine. A memory operand is addressed by RDI.
class Instruction {
public:
    Instruction(std::initializer_list<u8> bytes);
    ~Instruction();
    Instruction(const Instruction&) = delete;
    Instruction& operator=(const Instruction&) = delete;

    Outcome run(const RegisterFile& before, void* memory = nullptr, u64 eflags = 0x202) const;

private:
    void* code_ = nullptr;
};

} // namespace emu::fpu::host
