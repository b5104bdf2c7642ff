// The walk over a block, helper calls, and the ways out.
#include "emulator/codegen/x64/compiler.hpp"

namespace emu::codegen::x64 {

namespace {

using ir::Cond;
using ir::ExecState;
using ir::Inst;
using ir::JumpEntry;
using ir::Op;

constexpr auto kNe = static_cast<HostCond>(Cond::ne);
constexpr auto kE = static_cast<HostCond>(Cond::e);
constexpr auto kS = static_cast<HostCond>(Cond::s);

constexpr i32 jump_entry_offset(u32 pc)
{
    return static_cast<i32>(offsetof(ExecState, jump) + sizeof(JumpEntry) * ir::jump_index(pc)) -
           kStateBias;
}

} // namespace

std::optional<CompiledBlock> Compiler::compile(const CompileRequest& request, Assembler& code)
{
    request_ = request;
    code_ = &code;
    result_ = {};
    cold_.clear();
    owner_.fill(ir::kNone);
    locked_ = 0;
    exits_used_ = 0;
    current_pc_ = request.pc;
    completed_ = 0;
    flag_op_.reset();
    guessed_flag_op_ = request.likely_flag_op;
    flag_op_dirty_ = false;
    pair_address_ = ir::kNone;
    clobber_host_flags();
    find_last_uses();

    result_.entry = code.here();
    const auto& insts = request.block->insts;
    // Hot code and the cold parts that follow it must fit before the first byte is written.
    if (code.room() < (insts.size() + 2) * kMaxOpBytes) {
        return std::nullopt;
    }
    emit_budget_check(request.block->instruction_count);
    bool first = true;
    for (index_ = 0; index_ < insts.size(); ++index_) {
        const Inst& inst = insts[index_];
        if (inst.op == Op::insn) {
            current_pc_ = inst.imm;
            completed_ = static_cast<u16>(completed_ + (first ? 0 : 1));
            first = false;
            continue;
        }
        lower(inst);
        const bool defines = (ir::info(inst.op).operands & ir::kD) != 0 && inst.d != ir::kNone;
        if (defines && producer_.slot == inst.d && producer_.made_at != index_) {
            producer_ = {};
        }
        if (defines && pair_address_ == inst.d) {
            release_pair();
        }
        release_after(index_);
    }
    for (const Cold& cold : cold_) {
        emit_cold(cold);
    }
    result_.end = code.here();
    return std::move(result_);
}

void Compiler::release_pair()
{
    if (pair_address_ != ir::kNone) {
        owner_[pair_addend_] = ir::kNone;
        pair_address_ = ir::kNone;
    }
}

void Compiler::lower(const Inst& inst)
{
    switch (inst.op) {
    case Op::nop:
    case Op::insn:
        return;
    case Op::mov:
        return lower_mov(inst);
    case Op::add:
    case Op::sub:
    case Op::and_:
    case Op::or_:
    case Op::xor_:
    case Op::mul:
        return lower_binary(inst);
    case Op::shl:
    case Op::shr:
    case Op::sar:
    case Op::rol:
    case Op::ror:
        return lower_shift(inst);
    case Op::neg:
    case Op::not_:
    case Op::bswap:
    case Op::zx:
    case Op::sx:
    case Op::gethi:
    case Op::bsf:
    case Op::bsr:
        return lower_unary(inst);
    case Op::put8l:
    case Op::put8h:
    case Op::put16:
        return lower_put(inst);
    case Op::mulu:
    case Op::muls:
        return lower_wide_multiply(inst);
    case Op::lea:
        return lower_lea(inst);
    case Op::seteq:
    case Op::setltu:
        return lower_compare(inst);
    case Op::flags:
        return lower_flags(inst);
    case Op::getflags:
        return lower_getflags(inst);
    case Op::getcf:
        return lower_getcf(inst);
    case Op::setcc:
        return lower_setcc(inst);
    case Op::select:
        return lower_select(inst);
    case Op::ld:
        return lower_load(inst);
    case Op::st:
        return lower_store(inst);
    case Op::segchk:
        return lower_segchk(inst);
    case Op::segbase:
        return lower_segbase(inst);
    case Op::ldstate:
    case Op::ststate:
        return lower_state_access(inst);
    case Op::call:
        return lower_call(inst);
    case Op::setpc:
        if (const auto constant = constant_of(inst.b, inst.imm)) {
            code_->store_imm(4, state(offsetof(ExecState, pc)), *constant);
        } else {
            code_->store(4, state(offsetof(ExecState, pc)), use(inst.b));
        }
        return;
    case Op::poll:
    case Op::exitcc:
    case Op::exitnz:
    case Op::exitz:
        return lower_side_exit(inst);
    case Op::exit:
        return emit_direct_exit(inst.imm);
    case Op::exitind:
        return lower_indirect(inst);
    case Op::leave:
    case Op::count_:
        return emit_leave(Exit::plain);
    }
}

void Compiler::emit_budget_check(u32 instructions)
{
    code_->alu_imm(Alu::sub, 8, r14, instructions);
    cold_.push_back(
        {.kind = Cold::Kind::budget, .from = code_->jcc(kS), .back = nullptr, .imm = instructions});
}

/// Helpers get the whole state in memory and may change any of it. Operands that are pinned are
/// read from the state, since storing them there comes first.
void Compiler::lower_call(const Inst& inst)
{
    release_pair();
    const Helper& helper = helpers_[inst.imm];
    flush_flag_op();
    // Temporaries go to their slots; constants stay constants.
    spill_all();
    for (Slot slot = 0; slot < ir::kRegisters; ++slot) {
        if (pinning_[slot] != kNoReg) {
            code_->store(8, slot_memory(slot), pinning_[slot]);
        }
    }
    const std::array arguments{std::pair{rsi, inst.a}, std::pair{rdx, inst.b},
                               std::pair{rcx, inst.c}};
    for (const auto& [reg, slot] : arguments) {
        if (slot == ir::kNone) {
            continue;
        }
        if (const auto constant = constant_of(slot, 0)) {
            code_->mov_imm(reg, *constant);
        } else {
            code_->load(4, reg, slot_memory(slot));
        }
    }
    if (!helper.pure) {
        code_->store_imm(4, state(offsetof(ExecState, pc)), current_pc_);
        code_->store_imm(4, state(offsetof(ExecState, pending)),
                         request_.block->instruction_count - completed_);
        code_->store(8, state(offsetof(ExecState, budget)), r14);
    }
    code_->lea(8, rdi, {rbp, -kStateBias});
    code_->mov_imm64(rax, reinterpret_cast<u64>(helper.function));
    code_->call_reg(rax);
    clobber_host_flags();
    if (!helper.pure) {
        code_->load(8, r14, state(offsetof(ExecState, budget)));
        code_->alu_imm(Alu::cmp, 4, state(offsetof(ExecState, leave_request)), 0);
        cold_.push_back({.kind = Cold::Kind::leave,
                         .from = code_->jcc(kNe),
                         .back = nullptr,
                         .imm = static_cast<u32>(Exit::helper)});
    }
    if (inst.d != ir::kNone) {
        code_->mov(4, rax, rax);
        code_->store(8, slot_memory(inst.d), rax);
        if (is_temp(inst.d)) {
            location_[inst.d] = {Location::Kind::memory, kNoReg, 0};
        }
    }
    for (Slot slot = 0; slot < ir::kRegisters; ++slot) {
        if (pinning_[slot] != kNoReg) {
            code_->load(8, pinning_[slot], slot_memory(slot));
        }
    }
    if (helper.writes_flags) {
        flag_op_.reset();
    }
}

void Compiler::lower_side_exit(const Inst& inst)
{
    if (inst.op == Op::poll) {
        flush_flag_op();
        clobber_host_flags();
        code_->alu_imm(Alu::cmp, 1, state(offsetof(ExecState, attention)), 0);
        cold_.push_back({.kind = Cold::Kind::jump_miss,
                         .from = code_->jcc(kNe),
                         .back = nullptr,
                         .imm = inst.imm,
                         .arg = request_.block->instruction_count - completed_ - 1u});
        return;
    }
    HostCond taken = kNe;
    if (inst.op == Op::exitcc) {
        taken = emit_condition(static_cast<Cond>(inst.aux));
    } else {
        const Reg value = use(inst.a);
        clobber_host_flags();
        code_->test(inst.size, value, value);
        taken = inst.op == Op::exitnz ? kNe : kE;
    }
    // Storing a constant keeps the host flags, and both ways out need it.
    flush_flag_op();
    u8* around = code_->jcc(taken ^ 1);
    emit_direct_exit(inst.imm);
    code_->patch_here(around);
}

void Compiler::emit_direct_exit(u32 target_pc)
{
    flush_flag_op();
    const u32 here = request_.linear_base + request_.pc;
    const u32 there = request_.linear_base + target_pc;
    const bool same_page = (here ^ there) >> 12 == 0;
    if (request_.single_page && same_page && exits_used_ < result_.exits.size()) {
        const u8 number = exits_used_++;
        u8* jump = code_->jmp();
        result_.exits[number] = {jump, nullptr, target_pc};
        cold_.push_back({.kind = Cold::Kind::link,
                         .from = jump,
                         .back = nullptr,
                         .imm = target_pc,
                         .exit_number = number});
        return;
    }
    // Another page: its mapping may change, so go through the jump table, which is emptied then.
    const u64 key = u64{target_pc} | (u64{request_.context} << 32);
    const i32 entry = jump_entry_offset(target_pc);
    code_->mov_imm64(r8, key);
    code_->alu(Alu::cmp, 8, r8, Mem{rbp, entry + static_cast<i32>(offsetof(JumpEntry, key))});
    cold_.push_back({.kind = Cold::Kind::jump_miss,
                     .from = code_->jcc(kNe),
                     .back = nullptr,
                     .imm = target_pc});
    code_->jmp_mem({rbp, entry + static_cast<i32>(offsetof(JumpEntry, code))});
}

void Compiler::lower_indirect(const Inst& inst)
{
    flush_flag_op();
    const Reg target = use(inst.a);
    const Reg index = scratch();
    const Reg key = scratch();
    code_->store(4, state(offsetof(ExecState, pc)), target);
    code_->mov(4, index, target);
    code_->shift_imm(Shift::shr, 4, index, ir::kJumpBits);
    code_->alu(Alu::xor_, 4, index, target);
    code_->alu_imm(Alu::and_, 4, index, ir::kJumpSize - 1);
    code_->shift_imm(Shift::shl, 4, index, 4);
    static_assert(sizeof(JumpEntry) == 16);
    const auto table = static_cast<i32>(offsetof(ExecState, jump)) - kStateBias;
    // The state's context, not the block's: the instruction may have changed it.
    code_->load(4, key, state(offsetof(ExecState, context)));
    code_->shift_imm(Shift::shl, 8, key, 32);
    code_->alu(Alu::or_, 8, key, target);
    code_->alu(Alu::cmp, 8, key,
               Mem{rbp, table + static_cast<i32>(offsetof(JumpEntry, key)), index, 0});
    cold_.push_back({.kind = Cold::Kind::leave,
                     .from = code_->jcc(kNe),
                     .back = nullptr,
                     .imm = static_cast<u32>(Exit::plain),
                     .constant = true});
    code_->jmp_mem({rbp, table + static_cast<i32>(offsetof(JumpEntry, code)), index, 0});
}

void Compiler::emit_leave(Exit reason)
{
    flush_flag_op();
    code_->mov_imm(r8, static_cast<u32>(reason));
    code_->jmp_to(thunks_.exit_save);
}

} // namespace emu::codegen::x64
