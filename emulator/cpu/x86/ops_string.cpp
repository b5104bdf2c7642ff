// Repeated string instructions, as many iterations a call as may be done; INS and OUTS always.
//
// Each iteration counts as one instruction. It is committed (registers, flags, count) before the
// next begins, so a fault or an interrupt between two leaves a state that the same instruction
// continues from (Intel SDM vol. 2, REP). Runs within one page of host memory take a short way.
#include "emulator/cpu/x86/ops.hpp"

#include "emulator/cpu/x86/string_args.hpp"
#include "emulator/cpu/x86/system.hpp"

#include <algorithm>
#include <cstring>

namespace emu::x86 {

namespace {

constexpr u32 kPageSize = 0x1000;

u64 read_element(const u8* from, unsigned size)
{
    u64 value = 0;
    std::memcpy(&value, from, size);
    return value;
}

/// Elements that lie in one page of host memory, in the direction of the string.
struct Run {
    u8* first = nullptr;
    u32 count = 0;
};

/// One string instruction under way.
class StringOp {
public:
    StringOp(State& the_state, u32 packed_args)
        : state{the_state}, args{unpack_string_args(packed_args)}, size{args.size},
          mask_{args.address32 ? 0xffff'ffffu : 0xffffu}, step_{(the_state.eflags & kDf) != 0
                                                                    ? 0u - args.size
                                                                    : u32{args.size}},
          user_{the_state.cpl == 3}, direct_{!needs_single_step(the_state)}
    {}

    State& state;
    const StringArgs args;
    const unsigned size;

    /// How far the next element is, in bytes of host memory.
    std::ptrdiff_t stride() const { return static_cast<i32>(step_); }

    u32 index(unsigned reg) const { return state.reg32(reg) & mask_; }
    void set_index(unsigned reg, u32 value)
    {
        state.set_reg32(reg, (state.reg32(reg) & ~mask_) | (value & mask_));
    }
    void advance(unsigned reg, u32 elements) { set_index(reg, index(reg) + elements * step_); }

    bool load_at(Seg segment, unsigned reg, u64& value)
    {
        return check_segment(state, segment, index(reg), size, false) &&
               load(state, linear(segment, reg), size, user_, value);
    }
    bool store_at(Seg segment, unsigned reg, u64 value)
    {
        return can_store_at(segment, reg) && store(state, linear(segment, reg), size, user_, value);
    }
    /// For what must not be read from a device unless it can be stored.
    bool can_store_at(Seg segment, unsigned reg)
    {
        return check_segment(state, segment, index(reg), size, true) &&
               check_store(state, linear(segment, reg), size, user_);
    }
    Seg source_segment() const { return static_cast<Seg>(args.segment); }

    /// What can be reached without further checks, at most `wanted` elements.
    Run run_at(Seg segment, unsigned reg, bool write, u32 wanted) const
    {
        const u32 at = linear(segment, reg);
        const ir::TlbEntry& entry = state.tlb[user_ ? 1 : 0][ir::tlb_index(at)];
        const u32 tag = write ? entry.write_tag : entry.read_tag;
        const u32 in_page = at & (kPageSize - 1);
        if (!direct_ || tag != at - in_page || in_page + size > kPageSize) {
            return {};
        }
        const u64 offset = index(reg);
        const u64 end =
            std::min(write ? state.segment_write_end[segment] : state.segment_read_end[segment],
                     u64{mask_} + 1);
        if (offset + size > end) {
            return {};
        }
        u64 count = wanted;
        if (stride() > 0) {
            count = std::min({count, u64{kPageSize - in_page} / size, (end - offset) / size});
        } else {
            count = std::min({count, u64{in_page} / size + 1, offset / size + 1});
        }
        return {reinterpret_cast<u8*>(entry.addend + at), static_cast<u32>(count)};
    }

    /// Runs `one` (false: a fault is recorded) or `many` (elements done, 0: not possible now) until
    /// the count is used up, `again` says no, or the processor has to look at something else.
    template <class Many, class One, class Again>
    void repeat(u32 next_pc, Many many, One one, Again again)
    {
        u32 left = args.repeats ? index(kEcx) : 1;
        bool first = true;
        while (left != 0) {
            const u64 budget = state.budget > 0 ? static_cast<u64>(state.budget) : 0;
            const u64 allowed = std::min<u64>(left, args.repeats ? budget + (first ? 1 : 0) : 1);
            if (allowed == 0) {
                return;
            }
            u32 done = many(static_cast<u32>(allowed));
            state.budget -= first ? 0 : 1; // the first is in the block's own count
            if (done == 0) {
                if (!one()) {
                    return;
                }
                done = 1;
            }
            state.budget -= done - 1;
            first = false;
            left -= done;
            if (args.repeats) {
                set_index(kEcx, left);
            }
            if (!again()) {
                break;
            }
            // Traps and data breakpoints come after each iteration (SDM vol. 3, 17.3.1.2, 17.3.2).
            if (state.attention != 0 || state.leave_request != 0 || !direct_) {
                state.pc = left == 0 ? next_pc : state.pc;
                return;
            }
        }
        state.pc = next_pc;
    }

private:
    u32 linear(Seg segment, unsigned reg) const { return state.segment_base[segment] + index(reg); }

    u32 mask_;
    u32 step_; // modulo 2^32
    bool user_;
    bool direct_;
};

bool always()
{
    return true;
}

u32 nothing_at_once(u32)
{
    return 0;
}

/// Element by element, as overlapping operands must be; apart, all at once.
void copy_elements(const StringOp& op, u8* to, const u8* from, u32 count)
{
    const std::size_t bytes = std::size_t{count} * op.size;
    const bool apart = to + bytes <= from || from + bytes <= to;
    if (apart && op.stride() > 0) {
        std::memcpy(to, from, bytes);
        return;
    }
    for (u32 i = 0; i < count; ++i) {
        u8 element[4];
        std::memcpy(element, from, op.size);
        std::memcpy(to, element, op.size);
        from += op.stride();
        to += op.stride();
    }
}

u32 rep_movs(State& state, u32 packed, u32 next_pc, u32)
{
    StringOp op{state, packed};
    const auto done = [&](u32 count) {
        op.advance(kEsi, count);
        op.advance(kEdi, count);
        return count;
    };
    const auto many = [&](u32 wanted) {
        const Run to = op.run_at(kEs, kEdi, true, wanted);
        const Run from = op.run_at(op.source_segment(), kEsi, false, to.count);
        if (from.count != 0) {
            copy_elements(op, to.first, from.first, from.count);
        }
        return done(from.count);
    };
    const auto one = [&] {
        u64 value = 0;
        if (!op.load_at(op.source_segment(), kEsi, value) || !op.store_at(kEs, kEdi, value)) {
            return false;
        }
        done(1);
        return true;
    };
    op.repeat(next_pc, many, one, always);
    return 0;
}

u32 rep_stos(State& state, u32 packed, u32 next_pc, u32)
{
    StringOp op{state, packed};
    const u32 value = state.reg32(kEax);
    const auto many = [&](u32 wanted) {
        const Run to = op.run_at(kEs, kEdi, true, wanted);
        u8* at = to.first;
        if (op.size == 1 && op.stride() > 0 && to.count != 0) {
            std::memset(at, static_cast<u8>(value), to.count);
        } else {
            for (u32 i = 0; i < to.count; ++i, at += op.stride()) {
                std::memcpy(at, &value, op.size);
            }
        }
        op.advance(kEdi, to.count);
        return to.count;
    };
    const auto one = [&] {
        if (!op.store_at(kEs, kEdi, value)) {
            return false;
        }
        op.advance(kEdi, 1);
        return true;
    };
    op.repeat(next_pc, many, one, always);
    return 0;
}

void set_accumulator(StringOp& op, u64 value)
{
    const u32 mask = op.size == 4 ? 0xffff'ffff : (1u << op.size * 8) - 1;
    const u32 old = op.state.reg32(kEax);
    op.state.set_reg32(kEax, (old & ~mask) | (static_cast<u32>(value) & mask));
}

u32 rep_lods(State& state, u32 packed, u32 next_pc, u32)
{
    StringOp op{state, packed};
    const auto one = [&] {
        u64 value = 0;
        if (!op.load_at(op.source_segment(), kEsi, value)) {
            return false;
        }
        set_accumulator(op, value);
        op.advance(kEsi, 1);
        return true;
    };
    op.repeat(next_pc, nothing_at_once, one, always);
    return 0;
}

/// The last comparison of CMPS or SCAS, for the flags and for REPE and REPNE.
struct Comparison {
    u64 left = 0;
    u64 right = 0;

    bool is_last(const StringArgs& args) const { return (left == right) == args.until_equal; }
};

/// Leaves the flags that CMP would; true if a repetition goes on.
bool record(StringOp& op, const Comparison& comparison)
{
    op.state.flag_op = ir::flag_op(ir::FlagKind::sub, op.size);
    op.state.flag_result = comparison.left - comparison.right;
    op.state.flag_source = comparison.right;
    return !comparison.is_last(op.args);
}

u32 rep_cmps(State& state, u32 packed, u32 next_pc, u32)
{
    StringOp op{state, packed};
    Comparison last;
    const auto done = [&](u32 count) {
        op.advance(kEsi, count);
        op.advance(kEdi, count);
        return count;
    };
    const auto many = [&](u32 wanted) {
        const Run left = op.run_at(op.source_segment(), kEsi, false, wanted);
        const Run right = op.run_at(kEs, kEdi, false, left.count);
        u32 count = 0;
        while (count < right.count) {
            const std::ptrdiff_t at = op.stride() * static_cast<std::ptrdiff_t>(count);
            last = {read_element(left.first + at, op.size),
                    read_element(right.first + at, op.size)};
            ++count;
            if (last.is_last(op.args)) {
                break;
            }
        }
        return done(count);
    };
    const auto one = [&] {
        if (!op.load_at(op.source_segment(), kEsi, last.left) ||
            !op.load_at(kEs, kEdi, last.right)) {
            return false;
        }
        done(1);
        return true;
    };
    op.repeat(next_pc, many, one, [&] { return record(op, last); });
    return 0;
}

u32 rep_scas(State& state, u32 packed, u32 next_pc, u32)
{
    StringOp op{state, packed};
    const u64 mask = op.size == 4 ? 0xffff'ffff : (u64{1} << op.size * 8) - 1;
    Comparison last{state.reg32(kEax) & mask, 0};
    const auto many = [&](u32 wanted) {
        const Run run = op.run_at(kEs, kEdi, false, wanted);
        u32 count = 0;
        if (op.size == 1 && op.stride() == 1 && op.args.until_equal &&
            run.count > 1) { // REPNE SCASB, the C library's old strlen
            const void* found = std::memchr(run.first, static_cast<int>(last.left), run.count - 1);
            count = found == nullptr ? run.count - 1
                                     : static_cast<u32>(static_cast<const u8*>(found) - run.first);
        }
        while (count < run.count) {
            last.right =
                read_element(run.first + op.stride() * static_cast<std::ptrdiff_t>(count), op.size);
            ++count;
            if (last.is_last(op.args)) {
                break;
            }
        }
        op.advance(kEdi, count);
        return count;
    };
    const auto one = [&] {
        if (!op.load_at(kEs, kEdi, last.right)) {
            return false;
        }
        op.advance(kEdi, 1);
        return true;
    };
    op.repeat(next_pc, many, one, [&] { return record(op, last); });
    return 0;
}

bool may_use_port(const StringOp& op)
{
    return check_io_permission(op.state, static_cast<u16>(op.state.reg32(kEdx)), op.size);
}

u32 ins(State& state, u32 packed, u32 next_pc, u32)
{
    StringOp op{state, packed};
    const auto one = [&] {
        if (!may_use_port(op) || !op.can_store_at(kEs, kEdi)) {
            return false;
        }
        const auto port = static_cast<u16>(state.reg32(kEdx));
        const u32 value = world(state).hooks->port_read(port, op.size);
        if (!op.store_at(kEs, kEdi, value)) {
            return false;
        }
        op.advance(kEdi, 1);
        return true;
    };
    op.repeat(next_pc, nothing_at_once, one, always);
    return 0;
}

u32 outs(State& state, u32 packed, u32 next_pc, u32)
{
    StringOp op{state, packed};
    const auto one = [&] {
        u64 value = 0;
        if (!may_use_port(op) || !op.load_at(op.source_segment(), kEsi, value)) {
            return false;
        }
        const auto port = static_cast<u16>(state.reg32(kEdx));
        op.advance(kEsi, 1);
        world(state).hooks->port_write(port, op.size, static_cast<u32>(value));
        return true;
    };
    op.repeat(next_pc, nothing_at_once, one, always);
    return 0;
}

constexpr std::array kHelpers{
    HelperInfo{"rep_movs", rep_movs, kHelperMayLeave},
    HelperInfo{"rep_stos", rep_stos, kHelperMayLeave},
    HelperInfo{"rep_lods", rep_lods, kHelperMayLeave},
    HelperInfo{"rep_cmps", rep_cmps, kHelperMayLeave | kHelperWritesFlags},
    HelperInfo{"rep_scas", rep_scas, kHelperMayLeave | kHelperWritesFlags},
    HelperInfo{"ins", ins, kHelperMayLeave},
    HelperInfo{"outs", outs, kHelperMayLeave},
};

} // namespace

std::span<const HelperInfo> string_helpers()
{
    return kHelpers;
}

} // namespace emu::x86
