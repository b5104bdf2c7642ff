// The x86-64 back end (tier 1): one block of IR to host code in a single forward walk.
//
// Conventions of generated code, on every edge between blocks:
// - rbp: guest state + kStateBias; r14: instruction budget; rsp: 16-byte aligned host stack;
// - guest registers pinned in host registers by the guest's Pinning (for x86 guests the
//   same-numbered ones, esp in r12 and ebp in r13), zero-extended;
// - r8 to r11 and r15: temporaries of a block, dead between blocks;
// - the flag record is in the state.
// Faults: every slow memory access has an entry in the block's side table, keyed by its return
// address, from which the dispatcher recovers program counter, flags and instruction count.
#pragma once

#include "emulator/codegen/runtime.hpp"
#include "emulator/codegen/x64/assembler.hpp"
#include "emulator/ir/block.hpp"

#include <optional>
#include <vector>

namespace emu::codegen::x64 {

using base::u16;
using ir::Slot;

inline constexpr i32 kStateBias = 128; // lets 8-bit displacements reach the hot fields

/// Host register of each guest register slot; kNoReg: it lives in the state.
using Pinning = std::array<Reg, ir::kRegisters>;

/// Why generated code came back; larger values are `block cookie | exit number`.
enum class Exit : u64 {
    plain = 0,     // state.pc is where to go on
    helper = 1,    // a helper set leave_request; state.pending is valid
    memory = 2,    // a memory access faulted; the side table has been applied
    interpret = 3, // likewise, and the instruction is to be run by the interpreter
    budget = 4,    // the block at state.pc needs more budget than is left
};
inline constexpr u64 kFirstCookie = 4096;

/// State at one slow memory access.
struct SideEntry {
    u32 code_offset; // of the return address, from the block's entry
    u32 pc;          // of the guest instruction
    u16 completed;   // guest instructions of the block before it
    u8 flag_op;      // kFlagOpInState: as the state has it
    static constexpr u8 kFlagOpInState = 0xff;
};

/// A direct jump to another block that can be linked.
struct ExitSite {
    u8* jump = nullptr; // its displacement
    const u8* stub = nullptr;
    u32 target_pc = 0;
};

struct CompileRequest {
    const ir::Block* block;
    u32 pc;          // of the first instruction
    u32 linear_base; // what makes a pc a linear address
    u32 context;
    bool user;         // which TLB
    bool single_page;  // false: no exit may be linked directly
    u8 likely_flag_op; // the flag record\'s kind on entry, as a guess
    u64 cookie;        // 8-aligned, at least kFirstCookie; names the block at exits
};

struct CompiledBlock {
    const u8* entry = nullptr;
    const u8* end = nullptr;
    std::array<ExitSite, 2> exits{};
    std::vector<SideEntry> side_table; // ascending code_offset
};

/// Fixed pieces of code at the start of the code cache.
struct Thunks {
    u64 (*enter)(ir::ExecState*, const u8* code) = nullptr;
    const u8* exit_save = nullptr;  // r8: the Exit; saves pinned registers
    const u8* exit_saved = nullptr; // the same when the state already has them
    const u8* load = nullptr;
    const u8* store = nullptr;
    const u8* segment = nullptr;
    const u8* flags = nullptr;
};

/// The C++ side of the thunks. Each returns an Outcome or nothing; operands are in state.scratch
/// and state.call_arg (see the pack_ functions).
struct SlowPaths {
    u32 (*load)(ir::ExecState*, const u8* return_address);
    u32 (*store)(ir::ExecState*, const u8* return_address);
    u32 (*segment)(ir::ExecState*, const u8* return_address);
};

constexpr u32 pack_access(unsigned size, bool user, bool write)
{
    return size | (user ? 0x100u : 0u) | (write ? 0x200u : 0u);
}
constexpr u32 pack_segment(unsigned size, unsigned segment, bool write)
{
    return size | (segment << 16) | (write ? 0x200u : 0u);
}

Thunks emit_thunks(Assembler& code, const Pinning& pinning, const SlowPaths& slow_paths);

class Compiler {
public:
    Compiler(const Pinning& pinning, const Thunks& thunks, std::span<const Helper> helpers);

    /// Emits at code.here(), or returns nothing when the room ends (the cache is full then).
    std::optional<CompiledBlock> compile(const CompileRequest& request, Assembler& code);

private:
    static constexpr std::size_t kMaxOpBytes = 512; // of one op with its cold part

    // Where a temporary is.
    struct Location {
        enum class Kind : u8 { nowhere, reg, memory, constant } kind = Kind::nowhere;
        Reg reg = kNoReg;
        u32 value = 0;
    };

    // registers.cpp
    void find_last_uses();
    Reg use(Slot slot);
    Reg define(Slot slot, Slot reuse = ir::kNone);
    void finish(Slot slot, Reg reg);
    Reg scratch();
    void unlock(Reg reg) { locked_ &= ~(1u << reg); }
    void release_after(std::size_t index);
    void spill(Reg reg);
    void spill_all();
    void drop(Slot temp);
    std::optional<u32> constant_of(Slot slot, u32 imm) const;
    bool dies_here(Slot slot) const;
    Mem slot_memory(Slot slot) const;
    static bool is_temp(Slot slot) { return slot >= ir::kFirstTemp && slot < ir::kSlots; }

    // lower_value.cpp
    void lower_mov(const ir::Inst& inst);
    void lower_binary(const ir::Inst& inst);
    void lower_shift(const ir::Inst& inst);
    void lower_unary(const ir::Inst& inst);
    void lower_put(const ir::Inst& inst);
    void lower_wide_multiply(const ir::Inst& inst);
    void lower_lea(const ir::Inst& inst);
    void lower_compare(const ir::Inst& inst);

    // lower_flags.cpp
    void lower_flags(const ir::Inst& inst);
    void lower_flags_carry(const ir::Inst& inst);
    void lower_flags_slow(const ir::Inst& inst);
    void lower_flags_shift(const ir::Inst& inst);
    void lower_flags_rotate(const ir::Inst& inst);
    void load_all_flags(Reg d);
    void lower_getflags(const ir::Inst& inst);
    void lower_getcf(const ir::Inst& inst);
    void lower_setcc(const ir::Inst& inst);
    void lower_select(const ir::Inst& inst);
    HostCond emit_condition(ir::Cond cond);
    void guess_host_flags(ir::Cond cond);
    bool emit_known_condition(ir::Cond cond, HostCond& host);
    void rebuild_host_flags();
    void flush_flag_op();
    void call_flags_thunk(u32 arg);
    void clobber_host_flags()
    {
        producer_ = {};
        mirror_mask_ = 0;
    }

    // lower_memory.cpp
    void lower_load(const ir::Inst& inst);
    void lower_store(const ir::Inst& inst);
    void emit_tlb_check(Reg address, unsigned size, bool write, Reg s1, Reg s2, u8*& slow);
    void lower_segchk(const ir::Inst& inst);
    void lower_segbase(const ir::Inst& inst);
    void lower_state_access(const ir::Inst& inst);
    SideEntry side_entry() const;

    // lower_control.cpp
    void lower(const ir::Inst& inst);
    void release_pair();
    void lower_call(const ir::Inst& inst);
    void lower_exit(const ir::Inst& inst);
    void lower_side_exit(const ir::Inst& inst);
    void lower_indirect(const ir::Inst& inst);
    void emit_direct_exit(u32 target_pc);
    void emit_leave(Exit reason);
    void emit_budget_check(u32 instructions);

    /// Code emitted after the block's last op.
    struct Cold {
        enum class Kind : u8 { load, store, segment, link, jump_miss, budget, leave, flags } kind;
        u8* from;       // displacement of the jump here
        const u8* back; // where hot code goes on
        Reg address = kNoReg;
        Reg value = kNoReg;
        u32 imm = 0; // stored constant, target pc
        u32 arg = 0; // packed access; of a jump miss: instructions left behind
        bool sign = false;
        bool constant = false; // of a load: the addend is wanted, a store follows
        u8 exit_number = 0;
        SideEntry side{};
    };
    void emit_cold(const Cold& cold);

    Mem state(std::size_t offset) const { return {rbp, static_cast<i32>(offset) - kStateBias}; }

    const Pinning& pinning_;
    const Thunks& thunks_;
    std::span<const Helper> helpers_;

    // Of the block being compiled.
    CompileRequest request_{};
    Assembler* code_ = nullptr;
    CompiledBlock result_{};
    std::vector<Cold> cold_;
    std::array<Location, ir::kSlots> location_{};
    std::array<u32, ir::kSlots> last_use_{};
    std::array<Slot, 16> owner_{}; // temporary in each host register, kNone if free
    u32 locked_ = 0;               // host registers in use by the current op
    std::size_t index_ = 0;        // current op
    u32 current_pc_ = 0;
    u16 completed_ = 0;
    u8 exits_used_ = 0;

    // The flag record as far as it is known at this point of the block.
    std::optional<u8> flag_op_;
    u8 guessed_flag_op_ = 0; // when it is not known
    bool flag_op_dirty_ = false;

    // The host flags: which op made them, and what of the guest's flags they show (EFLAGS bits).
    struct Producer {
        Slot slot = ir::kNone;
        ir::FlagKind kind{};
        u8 size = 0;
        u32 mask = 0;
        std::size_t made_at = 0; // op
    } producer_;
    u32 mirror_mask_ = 0;

    // A load with write_follows leaves the page's addend here for its store.
    Slot pair_address_ = ir::kNone;
    Reg pair_addend_ = kNoReg;
};

} // namespace emu::codegen::x64
