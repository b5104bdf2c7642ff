// The parts of a block that run rarely, behind its hot code.
#include "emulator/codegen/x64/compiler.hpp"

namespace emu::codegen::x64 {

using ir::ExecState;

void Compiler::emit_cold(const Cold& cold)
{
    Assembler& code = *code_;
    if (cold.kind == Cold::Kind::link) {
        result_.exits[cold.exit_number].stub = code.here();
    }
    code.patch_here(cold.from);
    const auto slow_call = [&](const u8* thunk) {
        code.store_imm(4, state(offsetof(ExecState, call_arg)), cold.arg);
        code.call_to(thunk);
        SideEntry entry = cold.side;
        entry.code_offset = static_cast<u32>(code.here() - result_.entry);
        result_.side_table.push_back(entry);
    };
    const Mem operand = state(offsetof(ExecState, scratch));
    const Mem second = state(offsetof(ExecState, scratch) + 8);
    switch (cold.kind) {
    case Cold::Kind::load:
        code.store(8, operand, cold.address);
        slow_call(thunks_.load);
        if (cold.constant) { // the page's addend
            code.load(8, cold.value, operand);
        } else if (cold.imm <= 2) {
            code.load_extend(cold.sign, cold.imm, cold.value, operand);
        } else {
            code.load(cold.imm, cold.value, operand);
        }
        code.jmp_to(cold.back);
        break;
    case Cold::Kind::store:
        code.store(8, operand, cold.address);
        if (cold.constant) {
            code.store_imm(8, second, cold.imm);
        } else {
            code.store(8, second, cold.value);
        }
        slow_call(thunks_.store);
        code.jmp_to(cold.back);
        break;
    case Cold::Kind::segment:
        code.store(8, operand, cold.address);
        slow_call(thunks_.segment);
        code.jmp_to(cold.back);
        break;
    case Cold::Kind::link:
        code.store_imm(4, state(offsetof(ExecState, pc)), cold.imm);
        code.mov_imm64(r8, request_.cookie | cold.exit_number);
        code.jmp_to(thunks_.exit_save);
        break;
    case Cold::Kind::jump_miss:
        if (cold.arg != 0) { // instructions of the block that are not executed
            code.alu_imm(Alu::add, 8, r14, cold.arg);
        }
        code.store_imm(4, state(offsetof(ExecState, pc)), cold.imm);
        code.mov_imm(r8, static_cast<u32>(Exit::plain));
        code.jmp_to(thunks_.exit_save);
        break;
    case Cold::Kind::budget:
        code.alu_imm(Alu::add, 8, r14, cold.imm);
        code.store_imm(4, state(offsetof(ExecState, pc)), request_.pc);
        code.mov_imm(r8, static_cast<u32>(Exit::budget));
        code.jmp_to(thunks_.exit_save);
        break;
    case Cold::Kind::flags:
        code.store_imm(4, state(offsetof(ExecState, call_arg)), 0x10000);
        code.call_to(thunks_.flags);
        code.push(operand);
        code.popfq();
        code.jmp_to(cold.back);
        break;
    case Cold::Kind::leave:
        code.mov_imm(r8, cold.imm);
        code.jmp_to(cold.constant ? thunks_.exit_save : thunks_.exit_saved);
        break;
    }
}

} // namespace emu::codegen::x64
