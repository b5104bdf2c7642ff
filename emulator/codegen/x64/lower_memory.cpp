// Lowering of guest memory accesses (inline TLB lookup), segment windows and state fields.
#include "emulator/codegen/x64/compiler.hpp"

namespace emu::codegen::x64 {

namespace {

using ir::ExecState;
using ir::Inst;
using ir::TlbEntry;

constexpr u32 kIndexMask = (ir::kTlbSize - 1) * sizeof(TlbEntry);
constexpr u8 kIndexShift = 12 - 4; // page number times the entry's 16 bytes
static_assert(sizeof(TlbEntry) == 16);
constexpr u32 kPageMask = 0xffff'f000;
constexpr auto kAbove = static_cast<HostCond>(ir::Cond::a);
constexpr auto kNotEqual = static_cast<HostCond>(ir::Cond::ne);

std::size_t tlb_offset(bool user)
{
    return offsetof(ExecState, tlb) + (user ? sizeof(TlbEntry) * ir::kTlbSize : 0);
}

} // namespace

/// Leaves the page's addend in s1. An access that crosses into the next page misses, because the
/// tag is compared with the page of its last byte.
void Compiler::emit_tlb_check(Reg address, unsigned size, bool write, Reg s1, Reg s2, u8*& slow)
{
    clobber_host_flags();
    const auto table = static_cast<i32>(tlb_offset(request_.user)) - kStateBias;
    const auto tag = write ? offsetof(TlbEntry, write_tag) : offsetof(TlbEntry, read_tag);
    code_->mov(4, s1, address);
    code_->shift_imm(Shift::shr, 4, s1, kIndexShift);
    code_->alu_imm(Alu::and_, 4, s1, kIndexMask);
    if (size == 1) {
        code_->mov(4, s2, address);
    } else {
        code_->lea(4, s2, {address, static_cast<i32>(size - 1)});
    }
    code_->alu_imm(Alu::and_, 4, s2, kPageMask);
    code_->alu(Alu::cmp, 4, s2, Mem{rbp, table + static_cast<i32>(tag), s1, 0});
    slow = code_->jcc(kNotEqual);
    code_->load(8, s1, Mem{rbp, table + static_cast<i32>(offsetof(TlbEntry, addend)), s1, 0});
}

void Compiler::lower_load(const Inst& inst)
{
    const bool write_follows = (inst.aux & 2) != 0;
    const bool sign = (inst.aux & 1) != 0;
    if (write_follows) {
        release_pair();
    }
    const Reg address = use(inst.a);
    const Reg s1 = scratch();
    const Reg s2 = scratch();
    u8* slow = nullptr;
    emit_tlb_check(address, inst.size, write_follows, s1, s2, slow);
    const u8* const have_addend = code_->here();
    unlock(s2);
    // A pinned destination is written only here, after the access is known not to fault.
    const Reg d = define(inst.d);
    const Mem place{s1, 0, address, 0};
    if (inst.size <= 2) {
        code_->load_extend(sign, inst.size, d, place);
    } else {
        code_->load(inst.size, d, place);
    }
    Cold cold{.kind = Cold::Kind::load, .from = slow, .back = code_->here()};
    cold.address = address;
    cold.value = d;
    cold.imm = inst.size;
    cold.sign = sign;
    cold.arg = pack_access(inst.size, request_.user, write_follows);
    if (write_follows) {
        cold.back = have_addend; // the store needs it too
        cold.value = s1;
        cold.constant = true;
        pair_address_ = inst.a;
        pair_addend_ = s1;
        owner_[s1] = ir::kImm; // neither free nor a temporary: kept until the store
    }
    cold.side = side_entry();
    cold_.push_back(cold);
    finish(inst.d, d);
}

void Compiler::lower_store(const Inst& inst)
{
    const Reg address = use(inst.a);
    const auto constant = constant_of(inst.b, inst.imm);
    const Reg value = constant ? kNoReg : use(inst.b);
    const auto write = [&](const Mem& place) {
        if (constant) {
            code_->store_imm(inst.size, place, *constant);
        } else {
            code_->store(inst.size, place, value);
        }
    };
    if (pair_address_ == inst.a) {
        write({pair_addend_, 0, address, 0});
        owner_[pair_addend_] = ir::kNone;
        pair_address_ = ir::kNone;
        return;
    }
    const Reg s1 = scratch();
    const Reg s2 = scratch();
    u8* slow = nullptr;
    emit_tlb_check(address, inst.size, true, s1, s2, slow);
    write({s1, 0, address, 0});
    Cold cold{.kind = Cold::Kind::store, .from = slow, .back = code_->here()};
    cold.address = address;
    cold.value = value;
    cold.constant = constant.has_value();
    cold.imm = constant.value_or(0);
    cold.arg = pack_access(inst.size, request_.user, true);
    cold.side = side_entry();
    cold_.push_back(cold);
}

/// The state at this point; the code offset is set when the cold part is emitted.
SideEntry Compiler::side_entry() const
{
    const u8 op = flag_op_dirty_ ? *flag_op_ : SideEntry::kFlagOpInState;
    return {0, current_pc_, completed_, op};
}

void Compiler::lower_segchk(const Inst& inst)
{
    const bool write = (inst.imm & 0x100) != 0;
    const u32 size = inst.imm & 0xff;
    const Reg offset = use(inst.a);
    const Reg end = scratch();
    const auto table =
        write ? offsetof(ExecState, segment_write_end) : offsetof(ExecState, segment_read_end);
    clobber_host_flags();
    code_->lea(8, end, {offset, static_cast<i32>(size)});
    code_->alu(Alu::cmp, 8, end, state(table + 8 * std::size_t{inst.aux}));
    Cold cold{.kind = Cold::Kind::segment, .from = code_->jcc(kAbove), .back = code_->here()};
    cold.address = offset;
    cold.arg = pack_segment(size, inst.aux, write);
    cold.side = side_entry();
    cold_.push_back(cold);
}

void Compiler::lower_segbase(const Inst& inst)
{
    const Reg from = use(inst.a);
    const Reg d = define(inst.d, inst.a);
    clobber_host_flags();
    code_->mov(4, d, from);
    code_->alu(Alu::add, 4, d,
               state(offsetof(ExecState, segment_base) + 4 * std::size_t{inst.aux}));
    finish(inst.d, d);
}

void Compiler::lower_state_access(const Inst& inst)
{
    const Mem place = state(inst.imm);
    if (inst.op == ir::Op::ststate) {
        if (const auto constant = constant_of(inst.b, 0)) {
            code_->store_imm(inst.size, place, *constant);
        } else {
            code_->store(inst.size, place, use(inst.b));
        }
        return;
    }
    const Reg d = define(inst.d);
    if (inst.size <= 2) {
        code_->load_extend(false, inst.size, d, place);
    } else {
        code_->load(inst.size, d, place);
    }
    finish(inst.d, d);
}

} // namespace emu::codegen::x64
