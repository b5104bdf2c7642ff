#include "emulator/translate/x86/vectors/host_instruction.hpp"

#include <algorithm>
#include <new>
#include <sys/mman.h>

namespace emu::x86 {

namespace {

constexpr std::size_t kCodeSize = 4096;

// rdi points to HostRegisters. It is kept in r11, which no instruction under test can name.
//   push rbx; mov r11, rdi
//   mov eax, [r11+24]; push rax; popf                  flags
//   mov eax, [r11]; mov ecx, [r11+4]; mov edx, [r11+8]; mov ebx, [r11+12]
//   mov esi, [r11+16]; mov edi, [r11+20]
constexpr std::array<base::u8, 35> kBefore{0x53, 0x49, 0x89, 0xfb, 0x41, 0x8b, 0x43, 0x18, 0x50,
                                           0x9d, 0x41, 0x8b, 0x03, 0x41, 0x8b, 0x4b, 0x04, 0x41,
                                           0x8b, 0x53, 0x08, 0x41, 0x8b, 0x5b, 0x0c, 0x41, 0x8b,
                                           0x73, 0x10, 0x41, 0x8b, 0x7b, 0x14, 0x90, 0x90};

//   mov [r11], eax; mov [r11+4], ecx; mov [r11+8], edx; mov [r11+12], ebx
//   mov [r11+16], esi; mov [r11+20], edi
//   pushf; pop rax; mov [r11+24], eax; pop rbx; ret
constexpr std::array<base::u8, 31> kAfter{
    0x41, 0x89, 0x03, 0x41, 0x89, 0x4b, 0x04, 0x41, 0x89, 0x53, 0x08, 0x41, 0x89, 0x5b, 0x0c, 0x41,
    0x89, 0x73, 0x10, 0x41, 0x89, 0x7b, 0x14, 0x9c, 0x58, 0x41, 0x89, 0x43, 0x18, 0x5b, 0xc3};

} // namespace

HostInstruction::HostInstruction()
{
    void* memory = mmap(nullptr, kCodeSize, PROT_READ | PROT_WRITE | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::bad_alloc{};
    }
    code_ = static_cast<base::u8*>(memory);
}

HostInstruction::~HostInstruction()
{
    munmap(code_, kCodeSize);
}

void HostInstruction::run(std::span<const base::u8> bytes, HostRegisters& registers)
{
    constexpr base::u32 kArithmetic = 0x8d5;
    registers.flags = (registers.flags & kArithmetic) | 0x202;
    base::u8* at = std::ranges::copy(kBefore, code_).out;
    at = std::ranges::copy(bytes, at).out;
    std::ranges::copy(kAfter, at);
    reinterpret_cast<void (*)(HostRegisters*)>(code_)(&registers);
    registers.flags &= kArithmetic;
}

} // namespace emu::x86
