#include "emulator/ir/opt/dead_code.hpp"

#include <bitset>

namespace emu::ir {

namespace {

bool is_temp(Slot slot)
{
    return slot >= kFirstTemp && slot < kSlots;
}

/// The kinds that keep some or all of the flags before them.
bool reads_old_flags(const Inst& inst)
{
    return inst.op == Op::flags && static_cast<FlagKind>(inst.aux) >= FlagKind::shlv;
}

} // namespace

void remove_dead_code(Block& block)
{
    std::bitset<kSlots> live;
    bool flags_live = true;
    bool removed = false;
    for (auto it = block.insts.rbegin(); it != block.insts.rend(); ++it) {
        Inst& inst = *it;
        const OpInfo& op = info(inst.op);
        const bool removable = (op.effects & ~kReadsFlags) == kPure && (op.operands & kD) != 0;
        const bool c_dead = (op.operands & kCIsOutput) == 0 || (is_temp(inst.c) && !live[inst.c]);
        const bool dead_value = removable && is_temp(inst.d) && !live[inst.d] && c_dead;
        if (dead_value || (inst.op == Op::flags && !flags_live)) {
            inst.op = Op::nop;
            removed = true;
            continue;
        }
        if (inst.op == Op::flags) {
            flags_live = reads_old_flags(inst);
        }
        if ((op.effects & (kReadsFlags | kMayFault)) != 0) {
            flags_live = true;
        }
        if ((op.operands & kD) != 0 && is_temp(inst.d) && (op.operands & kDisInput) == 0) {
            live[inst.d] = false;
        }
        if ((op.operands & kCIsOutput) != 0 && is_temp(inst.c)) {
            live[inst.c] = false;
        }
        if (is_temp(inst.a)) {
            live[inst.a] = true;
        }
        if (is_temp(inst.b)) {
            live[inst.b] = true;
        }
        if ((op.operands & kCIsOutput) == 0 && is_temp(inst.c)) {
            live[inst.c] = true;
        }
        if ((op.operands & kDisInput) != 0 && is_temp(inst.d)) {
            live[inst.d] = true;
        }
    }
    if (removed) {
        std::erase_if(block.insts, [](const Inst& inst) { return inst.op == Op::nop; });
    }
}

} // namespace emu::ir
