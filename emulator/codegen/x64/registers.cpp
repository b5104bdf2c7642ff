// Where values are: the block-local register allocation of the x86-64 back end.
//
// Guest registers never move. Temporaries live in five host registers; when they run out, the one
// whose last use is farthest goes to its slot in the state.
#include "emulator/codegen/x64/compiler.hpp"

namespace emu::codegen::x64 {

namespace {

constexpr std::array kPool{r8, r9, r10, r11, r15};
constexpr Slot kFree = ir::kNone;

constexpr u32 bit_of(Reg reg)
{
    return 1u << reg;
}

} // namespace

Compiler::Compiler(const Pinning& pinning, const Thunks& thunks, std::span<const Helper> helpers)
    : pinning_{pinning}, thunks_{thunks}, helpers_{helpers}
{
    owner_.fill(kFree);
}

void Compiler::find_last_uses()
{
    const auto& insts = request_.block->insts;
    for (u32 i = 0; i < insts.size(); ++i) {
        const ir::Inst& inst = insts[i];
        for (const Slot slot : {inst.d, inst.a, inst.b, inst.c}) {
            if (is_temp(slot)) {
                last_use_[slot] = i;
                location_[slot] = {};
            }
        }
    }
}

bool Compiler::dies_here(Slot slot) const
{
    return is_temp(slot) && last_use_[slot] == index_;
}

std::optional<u32> Compiler::constant_of(Slot slot, u32 imm) const
{
    if (slot == ir::kImm) {
        return imm;
    }
    if (is_temp(slot) && location_[slot].kind == Location::Kind::constant) {
        return location_[slot].value;
    }
    return std::nullopt;
}

Mem Compiler::slot_memory(Slot slot) const
{
    return state(offsetof(ir::ExecState, slot) + 8 * std::size_t{slot});
}

void Compiler::drop(Slot temp)
{
    Location& at = location_[temp];
    if (at.kind == Location::Kind::reg) {
        owner_[at.reg] = kFree;
    }
    at = {};
}

void Compiler::spill(Reg reg)
{
    const Slot temp = owner_[reg];
    code_->store(8, slot_memory(temp), reg);
    location_[temp] = {Location::Kind::memory, kNoReg, 0};
    owner_[reg] = kFree;
}

void Compiler::spill_all()
{
    for (const Reg reg : kPool) {
        if (is_temp(owner_[reg])) {
            spill(reg);
        }
    }
}

Reg Compiler::scratch()
{
    Reg victim = kNoReg;
    for (const Reg reg : kPool) {
        if ((locked_ & bit_of(reg)) != 0) {
            continue;
        }
        if (owner_[reg] == kFree) {
            locked_ |= bit_of(reg);
            return reg;
        }
        if (is_temp(owner_[reg]) &&
            (victim == kNoReg || last_use_[owner_[reg]] > last_use_[owner_[victim]])) {
            victim = reg;
        }
    }
    spill(victim);
    locked_ |= bit_of(victim);
    return victim;
}

Reg Compiler::use(Slot slot)
{
    if (slot < ir::kRegisters) {
        if (pinning_[slot] != kNoReg) {
            return pinning_[slot];
        }
        const Reg reg = scratch();
        code_->load(8, reg, slot_memory(slot));
        return reg;
    }
    Location& at = location_[slot];
    if (at.kind == Location::Kind::reg) {
        locked_ |= bit_of(at.reg);
        return at.reg;
    }
    const Reg reg = scratch();
    if (at.kind == Location::Kind::constant) {
        code_->mov_imm(reg, at.value);
    } else {
        code_->load(8, reg, slot_memory(slot));
    }
    at = {Location::Kind::reg, reg, 0};
    owner_[reg] = slot;
    return reg;
}

Reg Compiler::define(Slot slot, Slot reuse)
{
    if (slot < ir::kRegisters) {
        return pinning_[slot] != kNoReg ? pinning_[slot] : scratch();
    }
    Location& at = location_[slot];
    if (at.kind == Location::Kind::reg) {
        locked_ |= bit_of(at.reg);
        return at.reg;
    }
    Reg reg = kNoReg;
    if (is_temp(reuse) && reuse != slot && dies_here(reuse) &&
        location_[reuse].kind == Location::Kind::reg) {
        reg = location_[reuse].reg;
        location_[reuse] = {};
    } else {
        reg = scratch();
    }
    at = {Location::Kind::reg, reg, 0};
    owner_[reg] = slot;
    locked_ |= bit_of(reg);
    return reg;
}

void Compiler::finish(Slot slot, Reg reg)
{
    if (slot < ir::kRegisters && pinning_[slot] == kNoReg) {
        code_->store(8, slot_memory(slot), reg);
    }
}

void Compiler::release_after(std::size_t index)
{
    locked_ = 0;
    const ir::Inst& inst = request_.block->insts[index];
    for (const Slot slot : {inst.d, inst.a, inst.b, inst.c}) {
        if (is_temp(slot) && last_use_[slot] == index) {
            drop(slot);
        }
    }
}

} // namespace emu::codegen::x64
