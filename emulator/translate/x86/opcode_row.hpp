// One row per opcode: how its bytes go on after the opcode, and the function that translates it.
//
// Source of all encodings: Intel SDM vol. 2, chapters 3 and 4 and appendix A (opcode maps).
#pragma once

#include "emulator/cpu/x86/state.hpp"

#include <span>
#include <string_view>

namespace emu::x86 {

/// Whether translation goes on with the next instruction of the block.
enum class Flow : u8 { next, end_block };

class Emitter;
using Handler = Flow (*)(Emitter&);

/// The immediate behind opcode, ModRM and displacement.
enum class Imm : u8 {
    none,
    i8,    // one byte, sign-extended
    i16,   // two bytes
    iz,    // operand size: two or four bytes
    iv,    // one byte if the opcode is even, else iz
    moffs, // an address: address size
    far,   // offset of operand size, then a selector
    enter, // two bytes, then one
};

enum RowFlags : u8 {
    kModRm = 1,
    kMemOnly = 2,     // the register form is undefined
    kRegOnly = 4,     // the memory form is undefined
    kLockable = 8,    // LOCK is allowed with a memory destination
    kBranch = 16,     // has several exits
    kModIgnored = 32, // ModRM always names a register, whatever its mod field (MOV CR, DR)
};

inline constexpr u16 kTwoByte = 0x100; // opcodes behind 0F
inline constexpr unsigned kOpcodes = 0x200;
inline constexpr u8 kAnyReg = 8;

struct OpcodeRow {
    u16 opcode = 0;
    u16 count = 1;    // the row stands for this many opcodes in sequence
    u8 reg = kAnyReg; // the ModRM reg field, where it extends the opcode
    u8 flags = 0;     // RowFlags
    Imm imm = Imm::none;
    Handler translate = nullptr;
    u32 needs = 0; // CPUID feature bits
};

// One function per instruction family; opcode_table.cpp joins them.
std::span<const OpcodeRow> alu_rows();
std::span<const OpcodeRow> bit_rows();
std::span<const OpcodeRow> branch_rows();
std::span<const OpcodeRow> move_rows();
std::span<const OpcodeRow> multiply_rows();
std::span<const OpcodeRow> shift_rows();
std::span<const OpcodeRow> stack_rows();
std::span<const OpcodeRow> string_rows();
std::span<const OpcodeRow> system_rows();
std::span<const OpcodeRow> x87_rows();

/// Row by opcode and ModRM reg field; null where nothing is defined.
class OpcodeTable {
public:
    OpcodeTable();

    /// Joined once from all families.
    static const OpcodeTable& instance();

    bool has_modrm(u16 opcode) const { return has_modrm_[opcode]; }
    const OpcodeRow* find(u16 opcode, unsigned reg) const { return rows_[opcode][reg]; }
    /// Two rows claim the same encoding (for tests).
    bool has_overlap() const { return has_overlap_; }

private:
    void add(std::span<const OpcodeRow> rows);

    std::array<std::array<const OpcodeRow*, 8>, kOpcodes> rows_{};
    std::array<bool, kOpcodes> has_modrm_{};
    bool has_overlap_ = false;
};

} // namespace emu::x86
