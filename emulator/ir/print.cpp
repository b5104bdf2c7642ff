#include "emulator/ir/block.hpp"

#include <fmt/format.h>

namespace emu::ir {

namespace {

std::string slot_name(Slot slot, u32 imm)
{
    if (slot == kImm) {
        return fmt::format("#{:#x}", imm);
    }
    if (slot == kNone) {
        return "-";
    }
    return slot < kRegisters ? fmt::format("r{}", slot) : fmt::format("t{}", slot - kFirstTemp);
}

} // namespace

std::string print(const Inst& inst)
{
    const OpInfo& op = info(inst.op);
    std::string text = fmt::format("{}.{}", op.name, inst.size);
    if (inst.aux != 0) {
        text += fmt::format("/{}", inst.aux);
    }
    const char* separator = " ";
    const auto operand = [&](Operand which, Slot slot) {
        if ((op.operands & which) != 0) {
            text += separator + slot_name(slot, inst.imm);
            separator = ", ";
        }
    };
    operand(kD, inst.d);
    operand(kA, inst.a);
    operand(kB, inst.b);
    operand(kC, inst.c);
    if ((op.operands & kImmediate) != 0) {
        text += fmt::format("{}{:#x}", separator, inst.imm);
    }
    return text;
}

std::string print(const Block& block)
{
    std::string text;
    for (const Inst& inst : block.insts) {
        text += print(inst);
        text += '\n';
    }
    return text;
}

} // namespace emu::ir
