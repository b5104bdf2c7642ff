#include "emulator/cpu/fpu/mmx.hpp"

#include <algorithm>
#include <limits>
#include <type_traits>

namespace emu::fpu {

namespace {

template <class Lane>
constexpr unsigned kLanes = 8 / sizeof(Lane);

template <class Lane>
Lane lane(u64 value, unsigned index)
{
    return static_cast<Lane>(value >> (index * sizeof(Lane) * 8));
}

/// `value` at its place in the 64 bits.
template <class Lane>
u64 placed(Lane value, unsigned index)
{
    return static_cast<u64>(static_cast<std::make_unsigned_t<Lane>>(value))
           << (index * sizeof(Lane) * 8);
}

/// The same function on every pair of lanes.
template <class Lane, Lane (*f)(Lane, Lane)>
u64 each(u64 a, u64 b)
{
    u64 result = 0;
    for (unsigned i = 0; i < kLanes<Lane>; ++i) {
        result |= placed<Lane>(f(lane<Lane>(a, i), lane<Lane>(b, i)), i);
    }
    return result;
}

template <class To>
To saturated(i32 value)
{
    return static_cast<To>(
        std::clamp<i32>(value, std::numeric_limits<To>::min(), std::numeric_limits<To>::max()));
}

template <class Lane>
Lane add_wrapping(Lane a, Lane b)
{
    return static_cast<Lane>(a + b);
}

template <class Lane>
Lane subtract_wrapping(Lane a, Lane b)
{
    return static_cast<Lane>(a - b);
}

template <class Lane>
Lane add_saturating(Lane a, Lane b)
{
    return saturated<Lane>(i32{a} + i32{b});
}

template <class Lane>
Lane subtract_saturating(Lane a, Lane b)
{
    return saturated<Lane>(i32{a} - i32{b});
}

template <class Lane>
Lane all_ones_if_equal(Lane a, Lane b)
{
    return a == b ? static_cast<Lane>(-1) : Lane{0};
}

template <class Lane>
Lane all_ones_if_greater(Lane a, Lane b)
{
    return a > b ? static_cast<Lane>(-1) : Lane{0};
}

i16 multiply_low(i16 a, i16 b)
{
    return static_cast<i16>(i32{a} * i32{b});
}

i16 multiply_high(i16 a, i16 b)
{
    return static_cast<i16>((i32{a} * i32{b}) >> 16);
}

u64 multiply_and_add(u64 a, u64 b) // PMADDWD
{
    u64 result = 0;
    for (unsigned i = 0; i < 2; ++i) {
        // Four times 0x8000 wraps to 0x80000000, hence unsigned.
        const u32 first = static_cast<u32>(i32{lane<i16>(a, 2 * i)} * i32{lane<i16>(b, 2 * i)});
        const u32 second =
            static_cast<u32>(i32{lane<i16>(a, 2 * i + 1)} * i32{lane<i16>(b, 2 * i + 1)});
        result |= placed<u32>(first + second, i);
    }
    return result;
}

/// Interleaves the lower (`first` = 0) or upper halves, `a`'s lanes first.
template <class Lane, bool kUpper>
u64 unpack(u64 a, u64 b)
{
    const unsigned first = kUpper ? kLanes<Lane> / 2 : 0;
    u64 result = 0;
    for (unsigned i = 0; i < kLanes<Lane> / 2; ++i) {
        result |= placed<Lane>(lane<Lane>(a, first + i), 2 * i);
        result |= placed<Lane>(lane<Lane>(b, first + i), 2 * i + 1);
    }
    return result;
}

/// Narrows with saturation, `a`'s lanes to the lower half.
template <class From, class To>
u64 pack(u64 a, u64 b)
{
    u64 result = 0;
    for (unsigned i = 0; i < kLanes<From>; ++i) {
        result |= placed<To>(saturated<To>(lane<From>(a, i)), i);
        result |= placed<To>(saturated<To>(lane<From>(b, i)), i + kLanes<From>);
    }
    return result;
}

template <class Lane>
u64 shift_left(u64 a, u64 count)
{
    u64 result = 0;
    for (unsigned i = 0; i < kLanes<Lane> && count < sizeof(Lane) * 8; ++i) {
        result |= placed<Lane>(static_cast<Lane>(u64{lane<Lane>(a, i)} << count), i);
    }
    return result;
}

template <class Lane>
u64 shift_right(u64 a, u64 count)
{
    u64 result = 0;
    for (unsigned i = 0; i < kLanes<Lane> && count < sizeof(Lane) * 8; ++i) {
        result |= placed<Lane>(static_cast<Lane>(lane<Lane>(a, i) >> count), i);
    }
    return result;
}

template <class Lane>
u64 shift_right_signed(u64 a, u64 count)
{
    const u64 limited = std::min<u64>(count, sizeof(Lane) * 8 - 1);
    u64 result = 0;
    for (unsigned i = 0; i < kLanes<Lane>; ++i) {
        result |= placed<Lane>(static_cast<Lane>(lane<Lane>(a, i) >> limited), i);
    }
    return result;
}

u64 bit_and(u64 a, u64 b)
{
    return a & b;
}

u64 bit_and_not(u64 a, u64 b) // PANDN complements the destination
{
    return ~a & b;
}

u64 bit_or(u64 a, u64 b)
{
    return a | b;
}

u64 bit_xor(u64 a, u64 b)
{
    return a ^ b;
}

struct Row {
    u8 opcode;
    MmxOperation operation;
};

constexpr Row kRows[] = {
    {0x60, unpack<u8, false>},              // PUNPCKLBW
    {0x61, unpack<u16, false>},             // PUNPCKLWD
    {0x62, unpack<u32, false>},             // PUNPCKLDQ
    {0x63, pack<i16, i8>},                  // PACKSSWB
    {0x64, each<i8, all_ones_if_greater>},  // PCMPGTB
    {0x65, each<i16, all_ones_if_greater>}, // PCMPGTW
    {0x66, each<i32, all_ones_if_greater>}, // PCMPGTD
    {0x67, pack<i16, u8>},                  // PACKUSWB
    {0x68, unpack<u8, true>},               // PUNPCKHBW
    {0x69, unpack<u16, true>},              // PUNPCKHWD
    {0x6a, unpack<u32, true>},              // PUNPCKHDQ
    {0x6b, pack<i32, i16>},                 // PACKSSDW
    {0x74, each<u8, all_ones_if_equal>},    // PCMPEQB
    {0x75, each<u16, all_ones_if_equal>},   // PCMPEQW
    {0x76, each<u32, all_ones_if_equal>},   // PCMPEQD
    {0xd1, shift_right<u16>},               // PSRLW
    {0xd2, shift_right<u32>},               // PSRLD
    {0xd3, shift_right<u64>},               // PSRLQ
    {0xd5, each<i16, multiply_low>},        // PMULLW
    {0xd8, each<u8, subtract_saturating>},  // PSUBUSB
    {0xd9, each<u16, subtract_saturating>}, // PSUBUSW
    {0xdb, bit_and},                        // PAND
    {0xdc, each<u8, add_saturating>},       // PADDUSB
    {0xdd, each<u16, add_saturating>},      // PADDUSW
    {0xdf, bit_and_not},                    // PANDN
    {0xe1, shift_right_signed<i16>},        // PSRAW
    {0xe2, shift_right_signed<i32>},        // PSRAD
    {0xe5, each<i16, multiply_high>},       // PMULHW
    {0xe8, each<i8, subtract_saturating>},  // PSUBSB
    {0xe9, each<i16, subtract_saturating>}, // PSUBSW
    {0xeb, bit_or},                         // POR
    {0xec, each<i8, add_saturating>},       // PADDSB
    {0xed, each<i16, add_saturating>},      // PADDSW
    {0xef, bit_xor},                        // PXOR
    {0xf1, shift_left<u16>},                // PSLLW
    {0xf2, shift_left<u32>},                // PSLLD
    {0xf3, shift_left<u64>},                // PSLLQ
    {0xf5, multiply_and_add},               // PMADDWD
    {0xf8, each<u8, subtract_wrapping>},    // PSUBB
    {0xf9, each<u16, subtract_wrapping>},   // PSUBW
    {0xfa, each<u32, subtract_wrapping>},   // PSUBD
    {0xfc, each<u8, add_wrapping>},         // PADDB
    {0xfd, each<u16, add_wrapping>},        // PADDW
    {0xfe, each<u32, add_wrapping>},        // PADDD
};

consteval std::array<MmxOperation, 256> by_opcode()
{
    std::array<MmxOperation, 256> table{};
    for (const Row& row : kRows) {
        table[row.opcode] = row.operation;
    }
    return table;
}
constexpr auto kByOpcode = by_opcode();

} // namespace

MmxOperation mmx_operation(u8 opcode)
{
    return kByOpcode[opcode];
}

MmxOperation mmx_shift_by_immediate(u8 opcode, unsigned reg)
{
    // The register forms: D1 to D3 for /2 (right), E1 and E2 for /4 (signed), F1 to F3 for /6.
    if (opcode < 0x71 || opcode > 0x73 || (reg != 2 && reg != 4 && reg != 6)) {
        return nullptr;
    }
    const unsigned row = 0xd0 + 0x10 * (reg / 2 - 1);
    const unsigned column = opcode - 0x70u;
    return reg == 4 && column == 3 ? nullptr : kByOpcode[row + column];
}

} // namespace emu::fpu
