#include "emulator/ir/flags.hpp"

#include <bit>

namespace emu::ir {

namespace {

struct Record {
    u64 mask;
    u64 sign;
    u64 result;
    u64 source;
};

constexpr unsigned bits_of(u8 op)
{
    return 8u << (op & 3);
}

Record unpack(u8 op, u64 result, u64 source)
{
    const unsigned bits = bits_of(op);
    const u64 mask = bits == 64 ? ~u64{0} : (u64{1} << bits) - 1;
    return {mask, u64{1} << (bits - 1), result & mask, source & mask};
}

u32 sign_zero_parity(const Record& r)
{
    u32 flags = (r.result & r.sign) != 0 ? kSf : 0;
    flags |= r.result == 0 ? kZf : 0;
    flags |= std::popcount(static_cast<u8>(r.result)) % 2 == 0 ? kPf : 0;
    return flags;
}

u32 add_flags(const Record& r, u32 carry_in)
{
    const u64 other = (r.result - r.source - carry_in) & r.mask;
    u32 flags = sign_zero_parity(r);
    const bool carry = carry_in != 0 ? r.result <= r.source : r.result < r.source;
    flags |= carry ? kCf : 0;
    flags |= ((other ^ r.source ^ r.result) & 0x10) != 0 ? kAf : 0;
    flags |= ((other ^ r.result) & (r.source ^ r.result) & r.sign) != 0 ? kOf : 0;
    return flags;
}

u32 sub_flags(const Record& r, u32 borrow_in)
{
    const u64 minuend = (r.result + r.source + borrow_in) & r.mask;
    u32 flags = sign_zero_parity(r);
    const bool borrow = borrow_in != 0 ? minuend <= r.source : minuend < r.source;
    flags |= borrow ? kCf : 0;
    flags |= ((minuend ^ r.source ^ r.result) & 0x10) != 0 ? kAf : 0;
    flags |= ((minuend ^ r.source) & (minuend ^ r.result) & r.sign) != 0 ? kOf : 0;
    return flags;
}

u32 inc_flags(const Record& r)
{
    u32 flags = sign_zero_parity(r) | (r.source & 1 ? kCf : 0);
    flags |= (r.result & 0xf) == 0 ? kAf : 0;
    flags |= r.result == r.sign ? kOf : 0;
    return flags;
}

u32 dec_flags(const Record& r)
{
    u32 flags = sign_zero_parity(r) | (r.source & 1 ? kCf : 0);
    flags |= (r.result & 0xf) == 0xf ? kAf : 0;
    flags |= r.result == r.sign - 1 ? kOf : 0;
    return flags;
}

u32 shift_flags(const Record& r, bool carry)
{
    u32 flags = sign_zero_parity(r) | (carry ? kCf : 0);
    flags |= ((r.result ^ r.source) & r.sign) != 0 ? kOf : 0;
    return flags;
}

/// Shifts by a variable count; `a` result, `b` operand (SDM vol. 2, SAL/SAR/SHL/SHR).
u32 variable_shift_flags(FlagKind kind, unsigned size, u32 before, u64 a, u64 b, u64 count)
{
    const unsigned width = 8 * size;
    count &= size == 8 ? 63 : 31;
    if (count == 0) {
        return before;
    }
    const Record r = unpack(flag_op(kind, size), a, b);
    const u64 previous = count - 1;
    u64 shifted = 0;
    if (kind == FlagKind::shlv) {
        shifted = previous >= width ? 0 : (r.source << previous) & r.mask;
        return shift_flags({r.mask, r.sign, r.result, shifted}, (shifted & r.sign) != 0);
    }
    if (kind == FlagKind::shrv) {
        shifted = previous >= width ? 0 : r.source >> previous;
    } else {
        const i64 wide = static_cast<i64>(r.source << (64 - width)) >> (64 - width);
        shifted = static_cast<u64>(wide >> (previous > 63 ? 63 : previous)) & r.mask;
    }
    return shift_flags({r.mask, r.sign, r.result, shifted}, (shifted & 1) != 0);
}

/// ROL and ROR change only CF and OF (SDM vol. 2, RCL/RCR/ROL/ROR). The carry is copied from the
/// result even when the count is a multiple of the width.
u32 rotate_flags(FlagKind kind, unsigned size, u32 before, u64 a, u64 count)
{
    if ((count & (size == 8 ? 63 : 31)) == 0) {
        return before;
    }
    const Record r = unpack(flag_op(kind, size), a, 0);
    const bool top = (r.result & r.sign) != 0;
    const bool below_top = (r.result & (r.sign >> 1)) != 0;
    const bool low = (r.result & 1) != 0;
    const bool carry = kind == FlagKind::rolv ? low : top;
    const bool overflow = kind == FlagKind::rolv ? top != low : top != below_top;
    return (before & ~(kCf | kOf)) | (carry ? kCf : 0) | (overflow ? kOf : 0);
}

} // namespace

u32 compute_flags(u8 op, u64 result, u64 source)
{
    const auto kind = static_cast<FlagKind>(op >> 2);
    const Record r = unpack(op, result, source);
    switch (kind) {
    case FlagKind::add:
        return add_flags(r, 0);
    case FlagKind::sub:
        return sub_flags(r, 0);
    case FlagKind::logic:
        return sign_zero_parity(r);
    case FlagKind::inc:
        return inc_flags(r);
    case FlagKind::dec:
        return dec_flags(r);
    case FlagKind::shl:
        return shift_flags(r, (r.source & r.sign) != 0);
    case FlagKind::shr:
        return shift_flags(r, (r.source & 1) != 0);
    case FlagKind::mul:
        return sign_zero_parity(r) | (static_cast<u32>(source) != 0 ? kCf | kOf : 0);
    default:
        return static_cast<u32>(result) & kArithmeticFlags; // raw
    }
}

u32 compute_carry(u8 op, u64 result, u64 source)
{
    const Record r = unpack(op, result, source);
    switch (static_cast<FlagKind>(op >> 2)) {
    case FlagKind::add:
        return r.result < r.source;
    case FlagKind::sub:
        return ((r.result + r.source) & r.mask) < r.source;
    case FlagKind::logic:
        return 0;
    default:
        return compute_flags(op, result, source) & kCf;
    }
}

bool condition_holds(Cond cond, u32 flags)
{
    const bool sign_differs = ((flags & kSf) != 0) != ((flags & kOf) != 0);
    bool holds = false;
    switch (static_cast<u8>(cond) >> 1) {
    case 0:
        holds = (flags & kOf) != 0;
        break;
    case 1:
        holds = (flags & kCf) != 0;
        break;
    case 2:
        holds = (flags & kZf) != 0;
        break;
    case 3:
        holds = (flags & (kCf | kZf)) != 0;
        break;
    case 4:
        holds = (flags & kSf) != 0;
        break;
    case 5:
        holds = (flags & kPf) != 0;
        break;
    case 6:
        holds = sign_differs;
        break;
    default:
        holds = sign_differs || (flags & kZf) != 0;
        break;
    }
    return holds != ((static_cast<u8>(cond) & 1) != 0);
}

u32 evaluate_raw_kind(FlagKind kind, unsigned size, u32 before, u64 a, u64 b, u64 c)
{
    switch (kind) {
    case FlagKind::adc:
        return add_flags(unpack(flag_op(kind, size), a, b), static_cast<u32>(c & 1));
    case FlagKind::sbb:
        return sub_flags(unpack(flag_op(kind, size), a, b), static_cast<u32>(c & 1));
    case FlagKind::shlv:
    case FlagKind::shrv:
    case FlagKind::sarv:
        return variable_shift_flags(kind, size, before, a, b, c);
    case FlagKind::rolv:
    case FlagKind::rorv:
        return rotate_flags(kind, size, before, a, c);
    default:
        return static_cast<u32>(a) & kArithmeticFlags;
    }
}

} // namespace emu::ir
