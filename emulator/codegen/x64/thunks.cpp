// Fixed code at the start of a code cache: entering and leaving generated code, and calls to C++
// that keep every register as it was.
#include "emulator/codegen/x64/compiler.hpp"

namespace emu::codegen::x64 {

namespace {

using ir::ExecState;

constexpr std::array kCalleeSaved{rbx, rbp, r12, r13, r14, r15};
constexpr std::array kCallerSaved{rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11};

Mem state(std::size_t offset)
{
    return {rbp, static_cast<i32>(offset) - kStateBias};
}

void move_pinned(Assembler& code, const Pinning& pinning, bool to_state)
{
    for (std::size_t slot = 0; slot < pinning.size(); ++slot) {
        if (pinning[slot] == kNoReg) {
            continue;
        }
        const Mem place = state(offsetof(ExecState, slot) + 8 * slot);
        if (to_state) {
            code.store(8, place, pinning[slot]);
        } else {
            code.load(8, pinning[slot], place);
        }
    }
}

const u8* emit_slow_call(Assembler& code, u64 function, const u8* exit_save)
{
    const u8* start = code.here();
    for (const Reg reg : kCallerSaved) {
        code.push(reg);
    }
    code.lea(8, rdi, {rbp, -kStateBias});
    code.load(8, rsi, {rsp, static_cast<i32>(8 * kCallerSaved.size())}); // return address
    code.mov_imm64(rax, function);
    code.call_reg(rax);
    if (exit_save != nullptr) {
        code.test(4, rax, rax);
    }
    u8* leave = exit_save != nullptr ? code.jcc(static_cast<HostCond>(ir::Cond::ne)) : nullptr;
    const auto restore = [&] {
        for (auto reg = kCallerSaved.rbegin(); reg != kCallerSaved.rend(); ++reg) {
            code.pop(*reg);
        }
    };
    restore();
    code.ret();
    if (leave == nullptr) {
        return start;
    }
    // Not done: leave the block with all registers as they were before the instruction. The
    // outcome chooses between Exit::memory and Exit::interpret.
    code.patch_here(leave);
    code.store(8, state(offsetof(ExecState, scratch)), rax);
    restore();
    code.load(8, r8, state(offsetof(ExecState, scratch)));
    code.alu_imm(Alu::add, 4, r8,
                 static_cast<u32>(Exit::memory) - static_cast<u32>(Outcome::fault));
    static_assert(static_cast<u32>(Exit::interpret) - static_cast<u32>(Exit::memory) ==
                  static_cast<u32>(Outcome::interpret) - static_cast<u32>(Outcome::fault));
    code.alu_imm(Alu::add, 8, rsp, 8); // the return address into the block
    code.jmp_to(exit_save);
    return start;
}

/// Flags that generated code does not work out itself. call_arg: kind of a `flags` op and its size,
/// or a request in the upper half: 1 all flags, 3 condition (low byte).
void flags_slow_path(ExecState* state)
{
    const u32 arg = state->call_arg;
    const auto op = static_cast<u8>(state->flag_op);
    const u32 before = ir::compute_flags(op, state->flag_result, state->flag_source);
    switch (arg >> 16) {
    case 0:
        state->flag_result =
            ir::evaluate_raw_kind(static_cast<ir::FlagKind>(arg & 0xff), (arg >> 8) & 0xff, before,
                                  state->scratch[0], state->scratch[1], state->scratch[2]);
        state->flag_op = ir::flag_op(ir::FlagKind::raw, 4);
        state->flag_source = 0;
        break;
    case 1:
        state->scratch[0] = before;
        break;
    default:
        state->scratch[0] = ir::condition_holds(static_cast<ir::Cond>(arg & 0xff), before) ? 1 : 0;
        break;
    }
}

} // namespace

Thunks emit_thunks(Assembler& code, const Pinning& pinning, const SlowPaths& slow_paths)
{
    Thunks thunks;
    thunks.enter = reinterpret_cast<u64 (*)(ExecState*, const u8*)>(code.here());
    for (const Reg reg : kCalleeSaved) {
        code.push(reg);
    }
    code.alu_imm(Alu::sub, 8, rsp, 8); // 16-byte alignment for calls
    code.lea(8, rbp, {rdi, kStateBias});
    code.mov(8, r8, rsi);
    code.load(8, r14, state(offsetof(ExecState, budget)));
    move_pinned(code, pinning, false);
    code.jmp_reg(r8);

    thunks.exit_save = code.here();
    move_pinned(code, pinning, true);
    thunks.exit_saved = code.here();
    code.store(8, state(offsetof(ExecState, budget)), r14);
    code.mov(8, rax, r8);
    code.alu_imm(Alu::add, 8, rsp, 8);
    for (auto reg = kCalleeSaved.rbegin(); reg != kCalleeSaved.rend(); ++reg) {
        code.pop(*reg);
    }
    code.ret();

    thunks.load = emit_slow_call(code, reinterpret_cast<u64>(slow_paths.load), thunks.exit_save);
    thunks.store = emit_slow_call(code, reinterpret_cast<u64>(slow_paths.store), thunks.exit_save);
    thunks.segment =
        emit_slow_call(code, reinterpret_cast<u64>(slow_paths.segment), thunks.exit_save);
    thunks.flags = emit_slow_call(code, reinterpret_cast<u64>(&flags_slow_path), nullptr);
    return thunks;
}

} // namespace emu::codegen::x64
