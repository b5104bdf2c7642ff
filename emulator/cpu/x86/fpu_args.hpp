// What the front end tells the x87 and MMX helpers, packed into their first argument.
#pragma once

#include "emulator/cpu/x86/state.hpp"

namespace emu::x86 {

struct FpuArgs {
    u8 opcode;      // x87: the low three bits of D8 to DF; MMX: the byte behind 0F
    u8 modrm;       // all of it
    u8 segment;     // of the memory operand, whose offset is the second argument
    bool operand32; // FSTENV, FSAVE and their loads

    bool is_memory() const { return modrm < 0xc0; }
    u8 reg() const { return (modrm >> 3) & 7; }
    u8 rm() const { return modrm & 7; }
};

constexpr u32 pack_fpu_args(FpuArgs args)
{
    return args.opcode | static_cast<u32>(args.modrm) << 8 | static_cast<u32>(args.segment) << 16 |
           (args.operand32 ? 1u << 24 : 0);
}

constexpr FpuArgs unpack_fpu_args(u32 packed)
{
    return {.opcode = static_cast<u8>(packed),
            .modrm = static_cast<u8>(packed >> 8),
            .segment = static_cast<u8>(packed >> 16 & 7),
            .operand32 = (packed >> 24 & 1) != 0};
}

} // namespace emu::x86
