// Lowering of operations that compute a value from values.
#include "emulator/codegen/x64/compiler.hpp"

namespace emu::codegen::x64 {

namespace {

using ir::FlagKind;
using ir::Inst;
using ir::kArithmeticFlags;
using ir::Op;

/// Which of the guest's flags the host flags show after an ALU op that a `flags` op may follow.
struct AluRow {
    Op op;
    Alu alu;
    FlagKind kind;
    bool commutes;
};

constexpr std::array kAluRows{
    AluRow{Op::add, Alu::add, FlagKind::add, true},
    AluRow{Op::sub, Alu::sub, FlagKind::sub, false},
    AluRow{Op::and_, Alu::and_, FlagKind::logic, true},
    AluRow{Op::or_, Alu::or_, FlagKind::logic, true},
    AluRow{Op::xor_, Alu::xor_, FlagKind::logic, true},
};

const AluRow* alu_row(Op op)
{
    for (const AluRow& row : kAluRows) {
        if (row.op == op) {
            return &row;
        }
    }
    return nullptr;
}

constexpr Shift host_shift(Op op)
{
    switch (op) {
    case Op::shl:
        return Shift::shl;
    case Op::shr:
        return Shift::shr;
    case Op::sar:
        return Shift::sar;
    case Op::rol:
        return Shift::rol;
    default:
        return Shift::ror;
    }
}

/// Ops on the low bytes work in 32-bit registers, which is shorter and has no partial writes.
constexpr unsigned host_size(unsigned size)
{
    return size == 8 ? 8 : 4;
}

} // namespace

void Compiler::lower_mov(const Inst& inst)
{
    if (const auto value = constant_of(inst.b, inst.imm)) {
        if (is_temp(inst.d)) {
            drop(inst.d);
            location_[inst.d] = {Location::Kind::constant, kNoReg, *value};
            return;
        }
        const Reg d = define(inst.d);
        code_->mov_imm(d, *value);
        finish(inst.d, d);
        return;
    }
    const Reg from = use(inst.b);
    const Reg d = define(inst.d, inst.b);
    code_->mov(host_size(inst.size), d, from);
    finish(inst.d, d);
}

void Compiler::lower_binary(const Inst& inst)
{
    const AluRow* row = alu_row(inst.op);
    Slot a = inst.a;
    Slot b = inst.b;
    const bool commutes = inst.op == Op::mul || row->commutes;
    if (commutes && (b == inst.d || (constant_of(a, 0) && b != ir::kImm))) {
        std::swap(a, b);
    }
    const auto constant = constant_of(b, inst.imm);
    const Reg from = use(a);
    const Reg other = constant ? kNoReg : use(b);
    // The result is built beside its place when that place still holds the second operand.
    const Reg place = define(inst.d, b == inst.d ? ir::kNone : a);
    const bool aside = place == other && place != from;
    const Reg d = aside ? scratch() : place;
    clobber_host_flags();
    if (inst.op == Op::mul) {
        const unsigned size = host_size(inst.size);
        if (constant) {
            code_->imul_imm(size, d, from, *constant);
        } else {
            code_->mov(size, d, from);
            code_->imul(size, d, other);
        }
    } else {
        code_->mov(host_size(inst.size), d, from);
        if (constant) {
            code_->alu_imm(row->alu, inst.size, d, *constant);
        } else {
            code_->alu(row->alu, inst.size, d, other);
        }
        producer_ = {inst.d, row->kind, inst.size, kArithmeticFlags, index_};
    }
    if (aside) {
        code_->mov(host_size(inst.size), place, d);
    }
    finish(inst.d, place);
}

void Compiler::lower_shift(const Inst& inst)
{
    const Shift shift = host_shift(inst.op);
    const Reg from = use(inst.a);
    if (const auto count = constant_of(inst.b, inst.imm)) {
        const auto amount = static_cast<u8>(*count & (inst.size == 8 ? 63 : 31));
        const Reg d = define(inst.d, inst.a);
        code_->mov(host_size(inst.size), d, from);
        clobber_host_flags();
        code_->shift_imm(shift, inst.size, d, amount);
        if (amount != 0 && inst.op != Op::rol && inst.op != Op::ror) {
            const FlagKind kind = inst.op == Op::shl ? FlagKind::shl : FlagKind::shr;
            const u32 mask = ir::kSf | ir::kZf | ir::kPf | ir::kCf;
            producer_ = {inst.d, kind, inst.size, mask, index_};
        }
        finish(inst.d, d);
        return;
    }
    // The count must be in cl, which is a guest register: borrow it when the count is elsewhere.
    const Reg count = use(inst.b);
    const Reg work = scratch();
    code_->mov(host_size(inst.size), work, from);
    unlock(from);
    clobber_host_flags();
    if (count == rcx) {
        code_->shift_cl(shift, inst.size, work);
    } else {
        const Reg saved = scratch();
        code_->mov(8, saved, rcx);
        code_->mov(4, rcx, count);
        code_->shift_cl(shift, inst.size, work);
        code_->mov(8, rcx, saved);
        unlock(saved);
    }
    const Reg d = define(inst.d, inst.a);
    code_->mov(host_size(inst.size), d, work);
    finish(inst.d, d);
}

void Compiler::lower_unary(const Inst& inst)
{
    const Reg from = use(inst.a);
    const Reg d = define(inst.d, inst.a);
    switch (inst.op) {
    case Op::neg:
        clobber_host_flags();
        code_->mov(host_size(inst.size), d, from);
        code_->neg(inst.size, d);
        producer_ = {inst.d, FlagKind::sub, inst.size, kArithmeticFlags, index_};
        break;
    case Op::not_:
        code_->mov(host_size(inst.size), d, from);
        code_->not_(host_size(inst.size), d);
        break;
    case Op::bswap:
        code_->mov(host_size(inst.size), d, from);
        code_->bswap(inst.size, d);
        break;
    case Op::gethi:
        clobber_host_flags();
        code_->mov(4, d, from);
        code_->shift_imm(Shift::shr, 4, d, 8);
        code_->extend(false, 1, d, d);
        break;
    case Op::bsf:
    case Op::bsr:
        clobber_host_flags();
        if (inst.op == Op::bsf) {
            code_->bsf(inst.size, d, from);
        } else {
            code_->bsr(inst.size, d, from);
        }
        break;
    default: // zx, sx
        if (inst.size <= 2) {
            code_->extend(inst.op == Op::sx, inst.size, d, from);
        } else if (d == from && inst.size == 4) {
            break; // 4-byte values are zero-extended already
        } else {
            code_->mov(inst.size, d, from);
        }
        break;
    }
    finish(inst.d, d);
}

void Compiler::lower_put(const Inst& inst)
{
    const Reg from = use(inst.a);
    const Reg d = use(inst.d);
    switch (inst.op) {
    case Op::put8l:
        code_->mov(1, d, from);
        break;
    case Op::put16:
        code_->mov(2, d, from);
        break;
    default: { // put8h
        clobber_host_flags();
        const Reg high = scratch();
        code_->extend(false, 1, high, from);
        code_->shift_imm(Shift::shl, 4, high, 8);
        code_->alu_imm(Alu::and_, 4, d, 0xffff'00ff);
        code_->alu(Alu::or_, 4, d, high);
        break;
    }
    }
    finish(inst.d, d);
}

void Compiler::lower_wide_multiply(const Inst& inst)
{
    const bool is_signed = inst.op == Op::muls;
    const Reg a = use(inst.a);
    const auto constant = constant_of(inst.b, inst.imm);
    const Reg b = constant ? kNoReg : use(inst.b);
    const Reg product = scratch();
    const Reg factor = scratch();
    const auto widen = [&](Reg d, Reg s) {
        if (is_signed) {
            code_->movsxd(d, s);
        } else {
            code_->mov(4, d, s);
        }
    };
    clobber_host_flags();
    widen(product, a);
    if (constant) {
        code_->mov_imm(factor, *constant);
        widen(factor, factor);
    } else {
        widen(factor, b);
        unlock(b);
    }
    unlock(a);
    code_->imul(8, product, factor);
    const Reg low = define(inst.d);
    code_->mov(4, low, product);
    finish(inst.d, low);
    const Reg high = define(inst.c);
    code_->shift_imm(Shift::shr, 8, product, 32);
    code_->mov(4, high, product);
    finish(inst.c, high);
}

void Compiler::lower_lea(const Inst& inst)
{
    u32 disp = inst.imm;
    Mem address{kNoReg, 0};
    const auto fold = [&](Slot slot, u8 scale) {
        const auto value = constant_of(slot, 0);
        if (value) {
            disp += *value << scale;
        }
        return value.has_value();
    };
    if (inst.a != ir::kNone && !fold(inst.a, 0)) {
        address.base = use(inst.a);
    }
    if (inst.b != ir::kNone && !fold(inst.b, inst.aux)) {
        const Reg index = use(inst.b);
        if (address.base == kNoReg && inst.aux == 0) {
            address.base = index;
        } else {
            address.index = index;
            address.scale = inst.aux;
        }
    }
    address.disp = static_cast<i32>(disp);
    const bool absolute = address.base == kNoReg && address.index == kNoReg;
    if (absolute && is_temp(inst.d)) {
        drop(inst.d);
        location_[inst.d] = {Location::Kind::constant, kNoReg,
                             inst.size == 2 ? disp & 0xffff : disp};
        return;
    }
    const Reg d = define(inst.d, inst.a);
    if (absolute) {
        code_->mov_imm(d, inst.size == 2 ? disp & 0xffff : disp);
    } else if (address.index == kNoReg && address.disp == 0) {
        code_->mov(4, d, address.base);
    } else {
        code_->lea(host_size(inst.size), d, address);
    }
    if (inst.size == 2 && !absolute) {
        code_->extend(false, 2, d, d);
    }
    finish(inst.d, d);
}

void Compiler::lower_compare(const Inst& inst)
{
    const Reg a = use(inst.a);
    const auto constant = constant_of(inst.b, inst.imm);
    clobber_host_flags();
    if (constant) {
        code_->alu_imm(Alu::cmp, inst.size, a, *constant);
    } else {
        code_->alu(Alu::cmp, inst.size, a, use(inst.b));
    }
    const Reg d = define(inst.d);
    const auto cond = static_cast<HostCond>(inst.op == Op::seteq ? ir::Cond::e : ir::Cond::b);
    code_->setcc(cond, d);
    code_->extend(false, 1, d, d);
    finish(inst.d, d);
}

} // namespace emu::codegen::x64
