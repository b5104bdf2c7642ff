// Arithmetic that is too long or too rare for inline IR: division, rotates through the carry,
// 16-bit double shifts, decimal adjustments, CMPXCHG8B, BOUND and nested ENTER.
//
// Source: Intel SDM vol. 2, the operation section of each instruction.
#include "emulator/cpu/x86/ops.hpp"

#include "emulator/cpu/x86/system.hpp"

#include <bit>

namespace emu::x86 {

namespace {

using base::i16;
using base::i8;

u32 current_flags(const State& state)
{
    return ir::compute_flags(static_cast<u8>(state.flag_op), state.flag_result, state.flag_source);
}

u32 current_carry(const State& state)
{
    return ir::compute_carry(static_cast<u8>(state.flag_op), state.flag_result, state.flag_source);
}

void set_low8(State& state, unsigned reg, u32 value)
{
    state.set_reg32(reg, (state.reg32(reg) & 0xffff'ff00) | (value & 0xff));
}

void set_low16(State& state, unsigned reg, u32 value)
{
    state.set_reg32(reg, (state.reg32(reg) & 0xffff'0000) | (value & 0xffff));
}

// Division: an error leaves all registers alone (SDM vol. 2, DIV, IDIV). Flags are undefined; they
// are kept.

u32 div8(State& state, u32 divisor, u32, u32)
{
    const u32 dividend = state.reg32(kEax) & 0xffff;
    if (divisor == 0 || dividend / divisor > 0xff) {
        raise_fault(state, kDivideError);
        return 0;
    }
    set_low16(state, kEax, dividend / divisor | (dividend % divisor) << 8);
    return 0;
}

u32 div16(State& state, u32 divisor, u32, u32)
{
    const u32 dividend = (state.reg32(kEdx) & 0xffff) << 16 | (state.reg32(kEax) & 0xffff);
    if (divisor == 0 || dividend / divisor > 0xffff) {
        raise_fault(state, kDivideError);
        return 0;
    }
    set_low16(state, kEax, dividend / divisor);
    set_low16(state, kEdx, dividend % divisor);
    return 0;
}

u32 div32(State& state, u32 divisor, u32, u32)
{
    const u64 dividend = u64{state.reg32(kEdx)} << 32 | state.reg32(kEax);
    if (divisor == 0 || dividend / divisor > 0xffff'ffff) {
        raise_fault(state, kDivideError);
        return 0;
    }
    state.set_reg32(kEax, static_cast<u32>(dividend / divisor));
    state.set_reg32(kEdx, static_cast<u32>(dividend % divisor));
    return 0;
}

u32 idiv8(State& state, u32 divisor_bits, u32, u32)
{
    const i32 dividend = static_cast<i16>(state.reg32(kEax));
    const i32 divisor = static_cast<i8>(divisor_bits);
    if (divisor == 0 || dividend / divisor != static_cast<i8>(dividend / divisor)) {
        raise_fault(state, kDivideError);
        return 0;
    }
    const u32 quotient = static_cast<u32>(dividend / divisor) & 0xff;
    const u32 remainder = static_cast<u32>(dividend % divisor) & 0xff;
    set_low16(state, kEax, quotient | remainder << 8);
    return 0;
}

u32 idiv16(State& state, u32 divisor_bits, u32, u32)
{
    const u32 bits = (state.reg32(kEdx) & 0xffff) << 16 | (state.reg32(kEax) & 0xffff);
    const i64 dividend = static_cast<i32>(bits);
    const i64 divisor = static_cast<i16>(divisor_bits);
    if (divisor == 0 || dividend / divisor != static_cast<i16>(dividend / divisor)) {
        raise_fault(state, kDivideError);
        return 0;
    }
    set_low16(state, kEax, static_cast<u32>(dividend / divisor));
    set_low16(state, kEdx, static_cast<u32>(dividend % divisor));
    return 0;
}

u32 idiv32(State& state, u32 divisor_bits, u32, u32)
{
    const u64 bits = u64{state.reg32(kEdx)} << 32 | state.reg32(kEax);
    const i64 dividend = static_cast<i64>(bits);
    const i64 divisor = static_cast<i32>(divisor_bits);
    // -2^63 / -1 does not fit the host's division either.
    if (divisor == 0 || (divisor == -1 && bits == u64{1} << 63) ||
        dividend / divisor != static_cast<i32>(dividend / divisor)) {
        raise_fault(state, kDivideError);
        return 0;
    }
    state.set_reg32(kEax, static_cast<u32>(dividend / divisor));
    state.set_reg32(kEdx, static_cast<u32>(dividend % divisor));
    return 0;
}

/// Replaces CF and OF.
void set_carry_and_overflow(State& state, u32 carry, u32 overflow)
{
    const u32 others = current_flags(state) & ~(ir::kCf | ir::kOf);
    state.set_arithmetic_flags(others | (carry != 0 ? ir::kCf : 0) | (overflow != 0 ? ir::kOf : 0));
}

/// `size` bytes and the carry above them rotate together. A whole turn leaves the flags alone, as
/// does a count of 0.
u32 rcl(State& state, u32 value, u32 count, u32 size)
{
    const unsigned width = size * 8;
    const unsigned turn = count % (width + 1);
    if (turn == 0) {
        return value;
    }
    const u64 ring = u64{value} | u64{current_carry(state)} << width;
    const u64 rotated = ring << turn | ring >> (width + 1 - turn);
    const u32 result = static_cast<u32>(rotated & ((u64{1} << width) - 1));
    const u32 carry = static_cast<u32>(rotated >> width) & 1;
    set_carry_and_overflow(state, carry, (result >> (width - 1) & 1) ^ carry);
    return result;
}

u32 rcr(State& state, u32 value, u32 count, u32 size)
{
    const unsigned width = size * 8;
    const unsigned turn = count % (width + 1);
    if (turn == 0) {
        return value;
    }
    const u64 ring = u64{value} | u64{current_carry(state)} << width;
    const u64 rotated = ring >> turn | ring << (width + 1 - turn);
    const u32 result = static_cast<u32>(rotated & ((u64{1} << width) - 1));
    const u32 carry = static_cast<u32>(rotated >> width) & 1;
    set_carry_and_overflow(state, carry, (result >> (width - 1) ^ result >> (width - 2)) & 1);
    return result;
}

/// The record of a shift, as the inline forms leave it (see ir::FlagKind).
void record_shift(State& state, ir::FlagKind kind, unsigned size, u32 result, u32 before_last)
{
    state.flag_op = ir::flag_op(kind, size);
    state.flag_result = result;
    state.flag_source = before_last;
}

/// 16-bit counts above 16 are undefined; the operands then continue with the first one again, as
/// processors do.
u32 shld(State& state, u32 value, u32 fill, u32 count_and_size)
{
    const unsigned count = count_and_size & 31;
    const unsigned size = count_and_size >> 8;
    if (count == 0) {
        return value;
    }
    if (size == 4) {
        const u64 both = u64{value} << 32 | fill;
        const u32 result = static_cast<u32>(both << count >> 32);
        record_shift(state, ir::FlagKind::shl, 4, result,
                     static_cast<u32>(both << (count - 1) >> 32));
        return result;
    }
    const u64 both = u64{value} << 32 | u64{fill} << 16 | value;
    const u32 result = static_cast<u32>(both << count >> 32) & 0xffff;
    record_shift(state, ir::FlagKind::shl, 2, result,
                 static_cast<u32>(both << (count - 1) >> 32) & 0xffff);
    return result;
}

u32 shrd(State& state, u32 value, u32 fill, u32 count_and_size)
{
    const unsigned count = count_and_size & 31;
    const unsigned size = count_and_size >> 8;
    if (count == 0) {
        return value;
    }
    const u64 both =
        size == 4 ? u64{fill} << 32 | value : u64{value} << 32 | u64{fill} << 16 | value;
    const u32 mask = size == 4 ? 0xffff'ffff : 0xffff;
    const u32 result = static_cast<u32>(both >> count) & mask;
    record_shift(state, ir::FlagKind::shr, size, result,
                 static_cast<u32>(both >> (count - 1)) & mask);
    return result;
}

/// SF, ZF and PF of an 8-bit result.
u32 result_flags(u32 value)
{
    value &= 0xff;
    return (value & 0x80) | (value == 0 ? ir::kZf : 0) |
           (std::popcount(value) % 2 == 0 ? ir::kPf : 0);
}

u32 daa(State& state, u32, u32, u32)
{
    const u32 before = current_flags(state);
    const u32 al = state.reg32(kEax) & 0xff;
    u32 result = al;
    u32 flags = 0;
    if ((al & 0xf) > 9 || (before & ir::kAf) != 0) {
        result += 6;
        flags |= ir::kAf;
    }
    if (al > 0x99 || (before & ir::kCf) != 0) {
        result += 0x60;
        flags |= ir::kCf;
    }
    set_low8(state, kEax, result);
    state.set_arithmetic_flags(flags | result_flags(result));
    return 0;
}

u32 das(State& state, u32, u32, u32)
{
    const u32 before = current_flags(state);
    const u32 al = state.reg32(kEax) & 0xff;
    u32 result = al;
    u32 flags = 0;
    if ((al & 0xf) > 9 || (before & ir::kAf) != 0) {
        flags |= ir::kAf | (al < 6 ? ir::kCf : 0);
        result -= 6;
    }
    if (al > 0x99 || (before & ir::kCf) != 0) {
        result -= 0x60;
        flags |= ir::kCf;
    }
    set_low8(state, kEax, result);
    state.set_arithmetic_flags(flags | result_flags(result));
    return 0;
}

/// AAA and AAS move all of AX by 0106 since the 286. OF, SF, ZF and PF are undefined; processors
/// leave those of the new AL.
u32 adjust_ascii(State& state, u32 delta)
{
    const u32 ax = state.reg32(kEax) & 0xffff;
    const bool adjusts = (ax & 0xf) > 9 || (current_flags(state) & ir::kAf) != 0;
    const u32 moved = adjusts ? ax + delta : ax;
    const u32 result = moved & 0xff0f;
    set_low16(state, kEax, result);
    state.set_arithmetic_flags((adjusts ? ir::kAf | ir::kCf : 0) | result_flags(result));
    return 0;
}

u32 aaa(State& state, u32, u32, u32)
{
    return adjust_ascii(state, 0x106);
}

u32 aas(State& state, u32, u32, u32)
{
    return adjust_ascii(state, 0u - 0x106);
}

u32 aam(State& state, u32 radix, u32, u32)
{
    const u32 al = state.reg32(kEax) & 0xff;
    if (radix == 0) {
        raise_fault(state, kDivideError);
        return 0;
    }
    set_low16(state, kEax, al / radix << 8 | al % radix);
    state.set_arithmetic_flags(result_flags(al % radix));
    return 0;
}

u32 aad(State& state, u32 radix, u32, u32)
{
    const u32 ax = state.reg32(kEax) & 0xffff;
    const u32 result = ((ax >> 8) * radix + ax) & 0xff;
    set_low16(state, kEax, result);
    state.set_arithmetic_flags(result_flags(result));
    return 0;
}

u32 bound(State& state, u32 index, u32 low, u32 high)
{
    const i32 value = static_cast<i32>(index);
    if (value < static_cast<i32>(low) || value > static_cast<i32>(high)) {
        raise_fault(state, kBound);
    }
    return 0;
}

/// The destination is written either way, so a read-only one faults either way.
u32 cmpxchg8b(State& state, u32 linear, u32, u32)
{
    const bool user = state.cpl == 3;
    u64 old = 0;
    if (!load(state, linear, 8, user, old)) {
        return 0;
    }
    const u64 expected = u64{state.reg32(kEdx)} << 32 | state.reg32(kEax);
    const u64 replacement = u64{state.reg32(kEcx)} << 32 | state.reg32(kEbx);
    const bool equal = old == expected;
    if (!store(state, linear, 8, user, equal ? replacement : old)) {
        return 0;
    }
    if (!equal) {
        state.set_reg32(kEax, static_cast<u32>(old));
        state.set_reg32(kEdx, static_cast<u32>(old >> 32));
    }
    const u32 others = current_flags(state) & ~ir::kZf;
    state.set_arithmetic_flags(others | (equal ? ir::kZf : 0));
    return 0;
}

/// The stack while ENTER works on it.
class Frame {
public:
    Frame(State& state, unsigned size)
        : state_{state}, size_{size}, mask_{state.seg[kSs].big ? 0xffff'ffffu : 0xffffu}
    {}

    u32 top() const { return state_.reg32(kEsp) + moved_; }
    u32 mask() const { return mask_; }

    bool push(u64 value)
    {
        moved_ -= size_;
        const u32 offset = top() & mask_;
        return check_segment(state_, kSs, offset, size_, true) &&
               store(state_, state_.segment_base[kSs] + offset, size_, state_.cpl == 3, value);
    }

    /// ENTER also faults where a push below the new frame would (SDM vol. 2, ENTER).
    bool check_writable(u32 offset)
    {
        offset &= mask_;
        return check_segment(state_, kSs, offset, size_, true) &&
               check_store(state_, state_.segment_base[kSs] + offset, size_, state_.cpl == 3);
    }

    bool read(u32 offset, u64& value)
    {
        offset &= mask_;
        return check_segment(state_, kSs, offset, size_, false) &&
               load(state_, state_.segment_base[kSs] + offset, size_, state_.cpl == 3, value);
    }

private:
    State& state_;
    u32 size_;
    u32 mask_;
    u32 moved_ = 0; // modulo 2^32
};

/// ENTER with a nesting level of 1 to 31: the frame pointers of the enclosing procedures are
/// copied.
u32 enter(State& state, u32 bytes, u32 level, u32 size)
{
    Frame frame{state, size};
    if (!frame.push(state.reg32(kEbp))) {
        return 0;
    }
    // On a 16-bit stack the upper half of the frame pointer is that of ESP.
    const u32 frame_pointer = (state.reg32(kEsp) & ~frame.mask()) | (frame.top() & frame.mask());
    for (u32 i = 1; i < level; ++i) {
        u64 outer = 0;
        if (!frame.read(state.reg32(kEbp) - i * size, outer) || !frame.push(outer)) {
            return 0;
        }
    }
    if (!frame.push(frame_pointer)) {
        return 0;
    }
    const u32 pointer = frame.top() - bytes;
    if (!frame.check_writable(pointer)) {
        return 0;
    }
    if (size == 4) {
        state.set_reg32(kEbp, frame_pointer);
    } else {
        set_low16(state, kEbp, frame_pointer);
    }
    state.set_reg32(kEsp, (state.reg32(kEsp) & ~frame.mask()) | (pointer & frame.mask()));
    return 0;
}

constexpr std::array kHelpers{
    HelperInfo{"div8", div8, kHelperMayLeave},
    HelperInfo{"div16", div16, kHelperMayLeave},
    HelperInfo{"div32", div32, kHelperMayLeave},
    HelperInfo{"idiv8", idiv8, kHelperMayLeave},
    HelperInfo{"idiv16", idiv16, kHelperMayLeave},
    HelperInfo{"idiv32", idiv32, kHelperMayLeave},
    HelperInfo{"rcl", rcl, kHelperWritesFlags},
    HelperInfo{"rcr", rcr, kHelperWritesFlags},
    HelperInfo{"shld", shld, kHelperWritesFlags},
    HelperInfo{"shrd", shrd, kHelperWritesFlags},
    HelperInfo{"daa", daa, kHelperWritesFlags},
    HelperInfo{"das", das, kHelperWritesFlags},
    HelperInfo{"aaa", aaa, kHelperWritesFlags},
    HelperInfo{"aas", aas, kHelperWritesFlags},
    HelperInfo{"aam", aam, kHelperMayLeave | kHelperWritesFlags},
    HelperInfo{"aad", aad, kHelperWritesFlags},
    HelperInfo{"bound", bound, kHelperMayLeave},
    HelperInfo{"cmpxchg8b", cmpxchg8b, kHelperMayLeave | kHelperWritesFlags | kHelperReaches},
    HelperInfo{"enter", enter, kHelperMayLeave | kHelperReaches},
};

} // namespace

std::span<const HelperInfo> arith_helpers()
{
    return kHelpers;
}

} // namespace emu::x86
