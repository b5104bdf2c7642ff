// Guest flags as a record of the operation that set them, so that most are never computed.
//
// The record is (kind, size, result, source). From it every x86 arithmetic flag follows; the kinds
// and what `result` (a), `source` (b) and `extra` (c) of the `flags` op mean are below. For guests
// with four flags (N Z C V) the same record serves.
#pragma once

#include "emulator/ir/op.hpp"

namespace emu::ir {

enum class FlagKind : u8 {
    raw,   // a = flag bits at their EFLAGS positions (0x8d5); nothing else
    add,   // a = sum, b = one addend
    sub,   // a = difference, b = subtrahend (also cmp, neg: 0 - b)
    logic, // a = result; carry and overflow are 0
    inc,   // a = result, b = old carry (0 or 1)
    dec,   // a = result, b = old carry
    shl,   // a = result, b = operand shifted by count - 1: its top bit is the carry
    shr,   // a = result, b = operand shifted by count - 1: its low bit is the carry; also sar
    mul,   // a = low half, b = nonzero (32 bits) if carry and overflow are set
    stored_kinds_,

    // Kinds that are turned into `raw` when they execute.
    adc = stored_kinds_, // a = sum, b = one addend, c = carry in (0 or 1)
    sbb,                 // a = difference, b = subtrahend, c = borrow in
    shlv,                // a = result, b = operand, c = count: unchanged if (count & 31) is 0
    shrv,
    sarv,
    rolv, // carry and overflow only; unchanged if (count & 31) is 0
    rorv,
    kinds_
};

inline constexpr u32 kCf = 0x001;
inline constexpr u32 kPf = 0x004;
inline constexpr u32 kAf = 0x010;
inline constexpr u32 kZf = 0x040;
inline constexpr u32 kSf = 0x080;
inline constexpr u32 kOf = 0x800;
inline constexpr u32 kArithmeticFlags = kCf | kPf | kAf | kZf | kSf | kOf;

/// The record's kind and operand size in one byte, as it is stored in the state.
constexpr u8 flag_op(FlagKind kind, unsigned size)
{
    const unsigned log2 = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
    return static_cast<u8>(static_cast<unsigned>(kind) * 4 + log2);
}

/// All six arithmetic flags of a record, at their EFLAGS positions.
u32 compute_flags(u8 op, u64 result, u64 source);

/// Only the carry, 0 or 1.
u32 compute_carry(u8 op, u64 result, u64 source);

bool condition_holds(Cond cond, u32 flags);

/// The flags after one of the kinds that become `raw`, given the flags before.
u32 evaluate_raw_kind(FlagKind kind, unsigned size, u32 before, u64 a, u64 b, u64 c);

} // namespace emu::ir
