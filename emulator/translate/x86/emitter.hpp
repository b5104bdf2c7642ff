// What the instruction families share: operands, memory addresses, exits.
//
// Handlers write one call per statement, commit nothing before the instruction's last access that
// may fault, and emit `flags` after it.
#pragma once

#include "emulator/cpu/x86/helpers.hpp"
#include "emulator/cpu/x86/model.hpp"
#include "emulator/translate/x86/decoder.hpp"

#include <algorithm>

namespace emu::x86 {

using ir::Cond;
using ir::FlagKind;
using ir::kImm;
using ir::kNone;
using ir::Op;
using ir::Slot;

/// A helper's name as a template argument: its number is looked up once.
template <std::size_t N>
struct HelperName {
    consteval HelperName(const char (&text)[N]) { std::copy_n(text, N, chars); }
    char chars[N];
};

template <HelperName Name>
u32 helper()
{
    static const u32 index = helper_index(Name.chars);
    return index;
}

enum class Intent : u8 {
    read,
    write,
    modify, // a read that a write to the same place follows
};

/// An operand named by ModRM rm, read and perhaps written back.
struct Rm {
    Slot address = kNone; // linear; kNone for a register
    Slot value = kNone;
};

/// A register to be written once nothing of the instruction can fault any more.
struct Commit {
    Slot value = kNone;
    unsigned number = 0;
    unsigned size = 4;
};

class Emitter {
public:
    Emitter(const TranslateRequest& the_request, ir::Block& block) : ir{block}, request{the_request}
    {}

    ir::Builder ir;
    const TranslateRequest& request;
    Decoded insn;
    u32 pc = 0;   // of the instruction
    u32 next = 0; // of the one behind it
    /// A segment register changed and with it perhaps the context: exits must look it up.
    bool context_changed = false;
    /// The instruction called a helper of the kind kHelperReaches.
    bool must_poll = false;

    /// Operand size in bytes: 2 or 4.
    unsigned operand_size() const { return insn.operand32 ? 4 : 2; }
    /// By the opcode's lowest bit: 1, or the operand size.
    unsigned width() const { return (insn.opcode & 1) != 0 ? operand_size() : 1; }
    unsigned address_size() const { return insn.address32 ? 4 : 2; }
    unsigned stack_size() const { return has_mode(kModeStack32) ? 4 : 2; }
    bool has_mode(u32 bits) const { return (request.mode & bits) != 0; }

    // Values. One that is narrower than 4 bytes has unspecified bits above its size.
    Slot constant(u32 value);
    Slot copy(unsigned size, Slot from);
    Slot unary(Op op, unsigned size, Slot a);
    Slot binary(Op op, unsigned size, Slot a, Slot b);
    Slot binary_imm(Op op, unsigned size, Slot a, u32 imm);
    Slot lea(unsigned size, Slot base, u32 displacement);
    /// Made exactly 32 bits wide; the same slot if it is so already.
    Slot zero_extended(unsigned size, Slot value);
    Slot sign_extended(unsigned size, Slot value);
    Slot carry();
    Slot set_if(Cond cond);

    // Registers.
    Slot reg(unsigned size, unsigned number);
    void set_reg(unsigned size, unsigned number, Slot value);

    // Memory.
    /// The offset that ModRM names, wrapped to the address size; `extra` is added to it.
    Slot effective_address(u32 extra = 0);
    /// Checks an access to a segment and gives its linear address.
    Slot linear(u8 segment, Slot offset, unsigned size, Intent intent);
    Slot address(unsigned size, Intent intent, u32 extra = 0);
    Slot load(unsigned size, Slot linear_address, Intent intent = Intent::read);
    Slot load_signed(unsigned size, Slot linear_address);
    void store(unsigned size, Slot linear_address, Slot value);
    /// The ModRM memory operand at this distance, read.
    Slot load_operand(unsigned size, u32 extra = 0);

    // The ModRM operands.
    Slot rm(unsigned size);
    Rm modify_rm(unsigned size);
    void write_back(unsigned size, const Rm& operand, Slot value);
    /// Writes without reading.
    void set_rm(unsigned size, Slot value);

    // Stack.
    Slot stack_pointer(u32 displacement);
    void set_stack_pointer(Slot value);
    void push(unsigned size, Slot value);
    /// Reads the top, `above` bytes up; the pointer stays.
    Slot peek(unsigned size, u32 above = 0);
    void drop(u32 bytes);

    // Helpers.
    Slot call(u32 index, Slot a = kNone, Slot b = kNone, Slot c = kNone);
    /// A helper whose arguments are all known now.
    Slot call_constants(u32 index, u32 a);

    // Exits.
    /// Loads a segment register through its helper, then writes the other register.
    Flow load_segment(u8 segment, Slot selector, Commit other);

    Flow raise(u32 index);
    Flow undefined();
    /// Continues at a known place.
    Flow jump_to(u32 target);
    /// The state's program counter was set by a helper.
    Flow leave();
    /// Likewise, and nothing else needs the dispatcher: what was pending is so still.
    Flow continue_there();
    /// After a helper that changed what decides how code is translated or what is pending.
    Flow leave_to_next();
    Flow exit_indirect(Slot target);
    /// An indirect jump's target must lie within the code segment.
    void check_target(Slot target);
    bool is_target_valid(u32 target) const { return target <= request.cs_limit; }
    u32 branch_target(u32 displacement) const;

    /// A segment register's selector, zero-extended.
    Slot selector(u8 segment);
    Slot load_eflags();
    void store_eflags(Slot value);
    /// Tells a helper where the instruction ends.
    void store_next_pc();

private:
    bool is_flat(u8 segment, Intent intent) const;
    bool has_no_limit(u8 segment) const;
};

} // namespace emu::x86
