// Guest instructions as text, by the Capstone library, which is loaded when it is first asked for.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <span>
#include <string>

namespace emu::debug {

/// How the CPU reads code.
enum class CodeWidth : base::u8 { bits16, bits32 };

struct Disassembled {
    unsigned size; // bytes of the instruction
    std::string text;
};

/// Longest x86 instruction in bytes (Intel SDM vol. 2, 2.3.11).
inline constexpr unsigned kMaxInstruction = 15;

/// The instruction at the start of `bytes`, in AT&T syntax as QEMU's monitor shows it; bytes that
/// are none become ".byte". Error: the library is not there.
base::Result<Disassembled> disassemble(std::span<const base::u8> bytes, base::u64 address,
                                       CodeWidth width);

} // namespace emu::debug
