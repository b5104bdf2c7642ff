// What translated code, the interpreter and the slow paths share with any guest's CPU state.
//
// A guest's state struct derives from ExecState. Offsets of these fields are baked into translated
// code, so the struct is standard-layout data without invariants.
#pragma once

#include "emulator/ir/op.hpp"

#include <array>
#include <cstddef>

namespace emu::ir {

/// One page of a guest's linear address space, as translated code sees it. A tag is the page's
/// address, or has nonzero low bits, which sends the access to the slow path.
struct TlbEntry {
    static constexpr u32 kInvalid = 0xffff'ffff;
    u32 read_tag = kInvalid;
    u32 write_tag = kInvalid;
    u64 addend = 0; // host pointer = linear address + addend
};
static_assert(sizeof(TlbEntry) == 16);

inline constexpr unsigned kTlbBits = 10;
inline constexpr unsigned kTlbSize = 1u << kTlbBits;
inline constexpr unsigned kMmuModes = 2; // 0 supervisor, 1 user

constexpr unsigned tlb_index(u32 linear)
{
    return (linear >> 12) & (kTlbSize - 1);
}

/// Where an indirect or page-crossing jump continues: key = program counter | context << 32.
struct JumpEntry {
    u64 key = ~u64{0};
    const void* code = nullptr;
};

inline constexpr unsigned kJumpBits = 11;
inline constexpr unsigned kJumpSize = 1u << kJumpBits;

constexpr unsigned jump_index(u32 pc)
{
    return (pc ^ (pc >> kJumpBits)) & (kJumpSize - 1);
}

struct ExecState {
    // The flag record; see flags.hpp.
    u64 flag_result = 0;
    u64 flag_source = 0;
    u32 flag_op = 0;

    u32 pc = 0;      // program counter, an offset into the code segment on x86
    u32 context = 0; // interned number of all else that decides how code at pc is translated

    // Instruction counting. `budget` is what may still be executed after the current block (or
    // instruction); `pending` is how many of the already subtracted ones are not completed yet.
    // Retired so far = until - budget - pending.
    i64 budget = 0;
    u64 until = 0;
    u32 pending = 0;

    u32 leave_request = 0;        // set by a helper that wants the block left (a fault was raised)
    u8 attention = 0;             // nonzero: interrupts or stop requests to look at before going on
    u32 call_arg = 0;             // what a thunk of generated code is asked to do
    std::array<u64, 3> scratch{}; // its operands and result

    std::array<u64, kSlots> slot{}; // guest registers, then the interpreter's temporaries

    // Segments 0-5 (es cs ss ds fs gs) as address windows. An access of n bytes at offset o is
    // surely fine if o + n <= read_end (write_end); otherwise the slow path decides. 0 sends all
    // accesses to the slow path.
    std::array<u32, 8> segment_base{};
    std::array<u64, 8> segment_read_end{};
    std::array<u64, 8> segment_write_end{};

    std::array<std::array<TlbEntry, kTlbSize>, kMmuModes> tlb{};
    std::array<JumpEntry, kJumpSize> jump{};

    void* guest = nullptr; // the object that slow paths and helpers find their world through

    u64 retired() const { return until - static_cast<u64>(budget) - pending; }
};

} // namespace emu::ir
