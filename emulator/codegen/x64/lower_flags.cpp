// Lowering of guest flags. Three ways to a condition, cheapest first: the host flags still show it;
// the record's kind is known, so one or two host instructions bring the host flags back; or a call.
#include "emulator/codegen/x64/compiler.hpp"

namespace emu::codegen::x64 {

namespace {

using ir::Cond;
using ir::ExecState;
using ir::FlagKind;
using ir::Inst;

constexpr u32 kAll = ir::kArithmeticFlags;

/// The EFLAGS bits a condition looks at.
constexpr u32 condition_bits(Cond cond)
{
    constexpr std::array<u32, 8> kBits{
        ir::kOf, ir::kCf, ir::kZf,           ir::kCf | ir::kZf,
        ir::kSf, ir::kPf, ir::kSf | ir::kOf, ir::kSf | ir::kOf | ir::kZf};
    return kBits[static_cast<u8>(cond) >> 1];
}

constexpr unsigned size_of(u8 flag_op)
{
    return 1u << (flag_op & 3);
}

constexpr FlagKind kind_of(u8 flag_op)
{
    return static_cast<FlagKind>(flag_op >> 2);
}

/// inc and dec leave the guest's carry alone, the host's add and sub do not.
constexpr bool produced_by(FlagKind wanted, FlagKind made, u32& mask)
{
    if (wanted == made) {
        return true;
    }
    const bool inc = wanted == FlagKind::inc && made == FlagKind::add;
    const bool dec = wanted == FlagKind::dec && made == FlagKind::sub;
    if (inc || dec) {
        mask &= ~ir::kCf;
        return true;
    }
    return false;
}

constexpr auto kResult = offsetof(ExecState, flag_result);
constexpr auto kSource = offsetof(ExecState, flag_source);

} // namespace

void Compiler::flush_flag_op()
{
    if (flag_op_dirty_) {
        code_->store_imm(4, state(offsetof(ExecState, flag_op)), *flag_op_);
        flag_op_dirty_ = false;
    }
}

void Compiler::call_flags_thunk(u32 arg)
{
    flush_flag_op();
    code_->store_imm(4, state(offsetof(ExecState, call_arg)), arg);
    code_->call_to(thunks_.flags);
    clobber_host_flags();
}

void Compiler::lower_flags(const Inst& inst)
{
    const auto kind = static_cast<FlagKind>(inst.aux);
    if (kind == FlagKind::adc || kind == FlagKind::sbb) {
        lower_flags_carry(inst);
        return;
    }
    if (kind >= FlagKind::rolv) {
        const auto count = constant_of(inst.c, 0);
        if (count && (*count & 31) != 0) {
            lower_flags_rotate(inst);
        } else {
            lower_flags_slow(inst);
        }
        return;
    }
    if (kind >= FlagKind::stored_kinds_) {
        if (inst.size == 8) {
            lower_flags_slow(inst);
        } else {
            lower_flags_shift(inst);
        }
        return;
    }
    if (kind == FlagKind::raw) {
        // It may go to the host's flags whole, so nothing but arithmetic flags may be in it.
        const Reg bits = scratch();
        code_->mov(4, bits, use(inst.a));
        clobber_host_flags();
        code_->alu_imm(Alu::and_, 4, bits, kAll);
        code_->store(8, state(kResult), bits);
        unlock(bits);
    } else {
        code_->store(4, state(kResult), use(inst.a));
    }
    if (inst.b != ir::kNone) {
        if (const auto constant = constant_of(inst.b, inst.imm)) {
            code_->store_imm(4, state(kSource), *constant);
        } else {
            code_->store(4, state(kSource), use(inst.b));
        }
    }
    mirror_mask_ = 0;
    u32 mask = producer_.mask;
    if (producer_.slot == inst.a && producer_.size == inst.size &&
        produced_by(kind, producer_.kind, mask)) {
        mirror_mask_ = mask;
    }
    flag_op_ = ir::flag_op(kind, inst.size);
    flag_op_dirty_ = true;
}

/// Repeats the addition or subtraction on the host, because its carry-in is not in the record.
void Compiler::lower_flags_carry(const Inst& inst)
{
    const bool add = static_cast<FlagKind>(inst.aux) == FlagKind::adc;
    const Alu undo = add ? Alu::sub : Alu::add;
    const Reg work = scratch();
    const Reg carry = use(inst.c);
    const auto constant = constant_of(inst.b, inst.imm);
    const Reg source = constant ? kNoReg : use(inst.b);
    const auto apply = [&](Alu op) {
        if (constant) {
            code_->alu_imm(op, inst.size, work, *constant);
        } else {
            code_->alu(op, inst.size, work, source);
        }
    };
    code_->mov(4, work, use(inst.a));
    clobber_host_flags();
    apply(undo);
    code_->alu(undo, inst.size, work, carry);
    code_->bt_imm(4, carry, 0);
    apply(add ? Alu::adc : Alu::sbb);
    // The system flags of the host that come along do no harm when they go back to it.
    code_->pushfq();
    code_->pop(work);
    code_->store(8, state(kResult), work);
    flag_op_ = ir::flag_op(FlagKind::raw, 4);
    flag_op_dirty_ = true;
    mirror_mask_ = kAll;
}

/// All of the guest's flags, and perhaps other bits.
void Compiler::load_all_flags(Reg d)
{
    const FlagKind kind = flag_op_ ? kind_of(*flag_op_) : FlagKind::kinds_;
    if (kind == FlagKind::raw) {
        code_->load(4, d, state(kResult));
        return;
    }
    const bool rebuilds = kind == FlagKind::add || kind == FlagKind::sub || kind == FlagKind::logic;
    if (mirror_mask_ != kAll && !rebuilds) {
        call_flags_thunk(0x10000);
        code_->load(4, d, state(offsetof(ExecState, scratch)));
        return;
    }
    if (mirror_mask_ != kAll) {
        rebuild_host_flags();
    }
    code_->pushfq();
    code_->pop(d);
}

/// Shifts by a variable count: the record of a shift by a constant, unless the count is 0.
void Compiler::lower_flags_shift(const Inst& inst)
{
    release_pair();
    flush_flag_op();
    const auto kind = static_cast<FlagKind>(inst.aux);
    const Reg result = use(inst.a);
    const Reg operand = use(inst.b);
    const Reg count = use(inst.c);
    const Reg shifted = scratch();
    const Reg saved = scratch();
    clobber_host_flags();
    code_->test_imm(4, count, 31);
    u8* unchanged = code_->jcc(static_cast<HostCond>(Cond::e));
    code_->store(4, state(kResult), result);
    if (kind == FlagKind::shlv || inst.size == 4) {
        code_->mov(4, shifted, operand);
    } else {
        code_->extend(kind == FlagKind::sarv, inst.size, shifted, operand);
    }
    code_->mov(8, saved, rcx);
    code_->lea(4, rcx, {count, -1});
    code_->shift_cl(kind == FlagKind::shlv   ? Shift::shl
                    : kind == FlagKind::shrv ? Shift::shr
                                             : Shift::sar,
                    4, shifted);
    code_->mov(8, rcx, saved);
    code_->store(4, state(kSource), shifted);
    const FlagKind stored = kind == FlagKind::shlv ? FlagKind::shl : FlagKind::shr;
    guessed_flag_op_ = ir::flag_op(stored, inst.size);
    code_->store_imm(4, state(offsetof(ExecState, flag_op)), guessed_flag_op_);
    code_->patch_here(unchanged);
    flag_op_.reset();
}

/// Rotates by a constant, not 0: carry and overflow from the result, the rest stays.
void Compiler::lower_flags_rotate(const Inst& inst)
{
    release_pair();
    const bool left = static_cast<FlagKind>(inst.aux) == FlagKind::rolv;
    const auto top = static_cast<u8>(8 * inst.size - 1);
    const Reg result = use(inst.a);
    const Reg flags = scratch();
    load_all_flags(flags);
    const Reg carry = scratch();
    const Reg overflow = scratch();
    clobber_host_flags();
    code_->alu_imm(Alu::and_, 4, flags, kAll & ~(ir::kCf | ir::kOf));
    const auto take_bit = [&](Reg d, u8 bit) {
        code_->mov(4, d, result);
        if (bit != 0) {
            code_->shift_imm(Shift::shr, 4, d, bit);
        }
        code_->alu_imm(Alu::and_, 4, d, 1);
    };
    // Left: the carry is bit 0, overflow top ^ bit 0. Right: the top, and top ^ the one below.
    take_bit(carry, left ? 0 : top);
    take_bit(overflow, left ? top : static_cast<u8>(top - 1));
    code_->alu(Alu::xor_, 4, overflow, carry);
    code_->shift_imm(Shift::shl, 4, overflow, 11);
    code_->alu(Alu::or_, 4, flags, carry);
    code_->alu(Alu::or_, 4, flags, overflow);
    code_->store(8, state(kResult), flags);
    flag_op_ = ir::flag_op(FlagKind::raw, 4);
    flag_op_dirty_ = true;
}

void Compiler::lower_flags_slow(const Inst& inst)
{
    const std::array slots{inst.a, inst.b, inst.c};
    for (std::size_t i = 0; i < slots.size(); ++i) {
        if (slots[i] == ir::kNone) {
            continue;
        }
        const Mem place = state(offsetof(ExecState, scratch) + 8 * i);
        if (const auto constant = constant_of(slots[i], inst.imm)) {
            code_->store_imm(8, place, *constant);
        } else {
            code_->store(8, place, use(slots[i]));
        }
    }
    call_flags_thunk(u32{inst.aux} | (u32{inst.size} << 8));
    flag_op_ = ir::flag_op(FlagKind::raw, 4);
    flag_op_dirty_ = false; // the thunk stored it
}

void Compiler::lower_getflags(const Inst& inst)
{
    const Reg d = define(inst.d);
    load_all_flags(d);
    clobber_host_flags();
    code_->alu_imm(Alu::and_, 4, d, kAll);
    finish(inst.d, d);
}

void Compiler::lower_getcf(const Inst& inst)
{
    const Reg d = define(inst.d);
    HostCond host = 0;
    if (!emit_known_condition(Cond::b, host)) {
        guess_host_flags(Cond::b);
        host = static_cast<HostCond>(Cond::b);
    }
    code_->setcc(host, d);
    code_->extend(false, 1, d, d);
    finish(inst.d, d);
}

void Compiler::lower_setcc(const Inst& inst)
{
    const HostCond host = emit_condition(static_cast<Cond>(inst.aux));
    const Reg d = define(inst.d);
    code_->setcc(host, d);
    code_->extend(false, 1, d, d);
    finish(inst.d, d);
}

void Compiler::lower_select(const Inst& inst)
{
    const Reg yes = use(inst.a);
    const auto constant = constant_of(inst.b, inst.imm);
    const Reg no = constant ? kNoReg : use(inst.b);
    const unsigned size = inst.size == 8 ? 8 : 4;
    const Reg work = scratch();
    const HostCond host = emit_condition(static_cast<Cond>(inst.aux));
    if (constant) {
        code_->mov_imm(work, *constant);
    } else {
        code_->mov(size, work, no);
    }
    code_->cmov(host, size, work, yes);
    const Reg d = define(inst.d);
    code_->mov(size, d, work);
    finish(inst.d, d);
}

HostCond Compiler::emit_condition(Cond cond)
{
    HostCond host = 0;
    if (emit_known_condition(cond, host)) {
        return host;
    }
    if (!flag_op_) {
        guess_host_flags(cond);
        return static_cast<HostCond>(cond);
    }
    if (kind_of(*flag_op_) == FlagKind::raw) {
        code_->push(state(kResult));
        code_->popfq();
        mirror_mask_ = kAll;
        return static_cast<HostCond>(cond);
    }
    call_flags_thunk(0x30000 | static_cast<u32>(cond));
    code_->alu_imm(Alu::cmp, 4, state(offsetof(ExecState, scratch)), 0);
    return static_cast<HostCond>(Cond::ne);
}

/// The record comes from an earlier block: bet on the kind it has now, and fall back to a call that
/// brings the same host flags about.
void Compiler::guess_host_flags(Cond cond)
{
    const u8 guess = guessed_flag_op_;
    // What rebuilding the flags needs is freed now: behind the jump it would be spilled on one of
    // the two ways only.
    unlock(scratch());
    clobber_host_flags();
    code_->alu_imm(Alu::cmp, 4, state(offsetof(ExecState, flag_op)), guess);
    Cold cold{.kind = Cold::Kind::flags,
              .from = code_->jcc(static_cast<HostCond>(Cond::ne)),
              .back = nullptr};
    flag_op_ = guess;
    HostCond host = 0;
    const bool known = kind_of(guess) != FlagKind::raw && emit_known_condition(cond, host) &&
                       host == static_cast<HostCond>(cond);
    if (!known) {
        if (kind_of(guess) == FlagKind::raw) {
            code_->push(state(kResult));
        } else {
            call_flags_thunk(0x10000);
            code_->push(state(offsetof(ExecState, scratch)));
        }
        code_->popfq();
        mirror_mask_ = kAll;
    }
    flag_op_.reset();
    cold.back = code_->here();
    cold_.push_back(cold);
}

/// False when only a call can tell. Clobbers the host flags unless they already show the answer.
bool Compiler::emit_known_condition(Cond cond, HostCond& host)
{
    const u32 bits = condition_bits(cond);
    host = static_cast<HostCond>(cond);
    if ((bits & ~mirror_mask_) == 0) {
        return true;
    }
    if (!flag_op_) {
        return false;
    }
    const unsigned size = size_of(*flag_op_);
    const FlagKind kind = kind_of(*flag_op_);
    const auto negated = static_cast<HostCond>(static_cast<u8>(cond) & 1);
    const auto ne = static_cast<HostCond>(static_cast<u8>(Cond::ne) ^ negated);
    if (kind == FlagKind::raw) {
        if ((bits & ir::kOf) != 0 && bits != ir::kOf) {
            return false;
        }
        clobber_host_flags();
        code_->test_imm(4, state(kResult), bits);
        host = ne;
        return true;
    }
    if (kind == FlagKind::add || kind == FlagKind::sub || kind == FlagKind::logic ||
        (bits & (ir::kCf | ir::kOf)) == 0) {
        rebuild_host_flags();
        return true;
    }
    if (bits != ir::kCf) {
        return false;
    }
    // Only the carry, which the other kinds keep in the source operand.
    clobber_host_flags();
    if (kind == FlagKind::mul) {
        host = ne;
        code_->alu_imm(Alu::cmp, 4, state(kSource), 0);
        return true;
    }
    code_->bt_imm(4, state(kSource), static_cast<u8>(kind == FlagKind::shl ? 8 * size - 1 : 0));
    mirror_mask_ = ir::kCf;
    return true;
}

/// Makes the host flags equal the guest's for add, sub and logic; SF, ZF and PF for all kinds.
void Compiler::rebuild_host_flags()
{
    const unsigned size = size_of(*flag_op_);
    const FlagKind kind = kind_of(*flag_op_);
    clobber_host_flags();
    if (kind != FlagKind::add && kind != FlagKind::sub) {
        code_->alu_imm(Alu::cmp, size, state(kResult), 0);
        mirror_mask_ = kind == FlagKind::logic ? kAll : ir::kSf | ir::kZf | ir::kPf;
        return;
    }
    const Reg work = scratch();
    code_->load(4, work, state(kResult));
    if (kind == FlagKind::sub) {
        code_->alu(Alu::add, size, work, state(kSource));
        code_->alu(Alu::cmp, size, work, state(kSource));
    } else {
        code_->alu(Alu::sub, size, work, state(kSource));
        code_->alu(Alu::add, size, work, state(kSource));
    }
    unlock(work);
    mirror_mask_ = kAll;
}

} // namespace emu::codegen::x64
