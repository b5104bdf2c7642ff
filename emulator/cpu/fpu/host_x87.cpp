#include "emulator/cpu/fpu/host_x87.hpp"

#include "base/endian.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#if defined(__x86_64__) && defined(__linux__)
#include <sys/mman.h>
#endif

namespace emu::fpu::host {

SaveImage make_image(const RegisterFile& registers)
{
    SaveImage image{};
    const std::span<u8> bytes{image};
    store_le<u16>(bytes, 0, registers.control);
    store_le<u16>(bytes, 4, registers.status);
    store_le<u16>(bytes, 8, registers.tag_word);
    for (std::size_t i = 0; i < 8; ++i) {
        store_le<u64>(bytes, 28 + 10 * i, registers.st[i].significand);
        store_le<u16>(bytes, 36 + 10 * i, registers.st[i].sign_exponent);
    }
    return image;
}

RegisterFile read_image(const SaveImage& image)
{
    const std::span<const u8> bytes{image};
    RegisterFile registers;
    registers.control = load_le<u16>(bytes, 0);
    registers.status = load_le<u16>(bytes, 4);
    registers.tag_word = load_le<u16>(bytes, 8);
    for (std::size_t i = 0; i < 8; ++i) {
        registers.st[i] = {load_le<u64>(bytes, 28 + 10 * i), load_le<u16>(bytes, 36 + 10 * i)};
    }
    return registers;
}

RegisterFile with_two(F80 st0, F80 st1, u16 control)
{
    RegisterFile registers;
    registers.control = control;
    registers.status = 6 << 11;
    registers.tag_word = 0x0fff; // registers 6 and 7 hold something
    registers.st[0] = st0;
    registers.st[1] = st1;
    return registers;
}

#if defined(__x86_64__) && defined(__linux__)

namespace {
constexpr std::size_t kCodeBytes = 4096;

using Routine = u64 (*)(void* memory, const u8* before, u8* after, u64 eflags);
} // namespace

Instruction::Instruction(std::initializer_list<u8> bytes)
{
    std::vector<u8> code{0xdd, 0x26,  // frstor [rsi]
                         0x51, 0x9d}; // push rcx; popfq
    code.insert(code.end(), bytes);
    for (u8 byte : {0x9c, 0x58, 0xdd, 0x32, 0xc3}) { // pushfq; pop rax; fnsave [rdx]; ret
        code.push_back(byte);
    }
    code_ = mmap(nullptr, kCodeBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code_ == MAP_FAILED || code.size() > kCodeBytes) {
        std::perror("mmap");
        std::abort();
    }
    std::memcpy(code_, code.data(), code.size());
    mprotect(code_, kCodeBytes, PROT_READ | PROT_EXEC);
}

Instruction::~Instruction()
{
    munmap(code_, kCodeBytes);
}

Outcome Instruction::run(const RegisterFile& before, void* memory, u64 eflags) const
{
    const SaveImage image = make_image(before);
    SaveImage after{};
    Outcome outcome;
    outcome.eflags = reinterpret_cast<Routine>(code_)(memory, image.data(), after.data(), eflags);
    outcome.registers = read_image(after);
    return outcome;
}

#else

Instruction::Instruction(std::initializer_list<u8>) {}
Instruction::~Instruction() = default;

Outcome Instruction::run(const RegisterFile&, void*, u64) const
{
    std::abort(); // callers ask kHasHostX87 first
}

#endif

} // namespace emu::fpu::host
