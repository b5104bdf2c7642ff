// Runs one instruction on the host's own processor (x86-64 only), as an oracle for tests.
#pragma once

#include "base/types.hpp"

#include <array>
#include <span>

namespace emu::x86 {

/// EAX ECX EDX EBX ESI EDI, and the arithmetic flags at their EFLAGS positions.
struct HostRegisters {
    std::array<base::u32, 6> gpr{};
    base::u32 flags = 0;
};

/// Executable memory that holds one instruction between a load and a store of the registers.
class HostInstruction {
public:
    HostInstruction();
    ~HostInstruction();
    HostInstruction(const HostInstruction&) = delete;
    HostInstruction& operator=(const HostInstruction&) = delete;

    /// `bytes` must be valid in 64-bit mode, touch no memory and only the registers above.
    void run(std::span<const base::u8> bytes, HostRegisters& registers);

private:
    base::u8* code_;
};

} // namespace emu::x86
