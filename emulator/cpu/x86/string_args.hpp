// What the front end tells the string helpers, packed into their first argument.
#pragma once

#include "emulator/cpu/x86/state.hpp"

namespace emu::x86 {

struct StringArgs {
    u8 size;          // bytes of one element
    u8 segment;       // of the source; the destination is always ES
    bool address32;   // SI, DI and CX are 32 bits wide
    bool repeats;     // a REP prefix: CX counts
    bool until_equal; // REPNE: CMPS and SCAS stop at equality, else at inequality
};

constexpr u32 pack_string_args(StringArgs args)
{
    return args.size | static_cast<u32>(args.segment) << 8 | (args.address32 ? 1u << 16 : 0) |
           (args.repeats ? 1u << 17 : 0) | (args.until_equal ? 1u << 18 : 0);
}

constexpr StringArgs unpack_string_args(u32 packed)
{
    return {.size = static_cast<u8>(packed),
            .segment = static_cast<u8>((packed >> 8) & 0xff),
            .address32 = (packed >> 16 & 1) != 0,
            .repeats = (packed >> 17 & 1) != 0,
            .until_equal = (packed >> 18 & 1) != 0};
}

} // namespace emu::x86
