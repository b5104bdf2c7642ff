// FLD, FILD, FBLD, the constants, FST, FIST, FBSTP, FXCH, FCMOV.
#include "emulator/cpu/fpu/x87.hpp"

namespace emu::fpu {

namespace {

bool would_overflow(const X87State& s)
{
    return !is_empty(s, 7);
}

void push(X87State& s, F80 value)
{
    if (would_overflow(s)) [[unlikely]] {
        if (!stack_overflow(s)) {
            return;
        }
        value = kF80Indefinite;
    } else {
        finish(s, 0, false);
    }
    push_unchecked(s, value);
}

void load(X87State& s, Widened operand)
{
    if (would_overflow(s)) [[unlikely]] {
        push(s, {});
        return;
    }
    Context ctx = context_of(s);
    if (operand.is_denormal) {
        ctx.raise(sw::de); // even unmasked it does not stop the load
    } else if (classify(operand.value) == F80Class::signaling_nan) {
        ctx.raise(sw::ie);
        operand.value = quieted(operand.value);
    }
    if ((finish(s, ctx) & sw::ie) == 0) {
        push_unchecked(s, operand.value);
    }
}

/// One of the seven constants: kept to 64 bits, rounded from a longer one (SDM volume 1, 8.3.8).
struct Constant {
    F80 truncated;
    bool rest_above_half; // of what was cut off: round to nearest goes up
    bool exact;
};

constexpr Constant kConstants[8] = {
    {kF80One, false, true},
    {{0xd49a'784b'cd1b'8afe, 0x4000}, false, false}, // log2(10)
    {{0xb8aa'3b29'5c17'f0bb, 0x3fff}, true, false},  // log2(e)
    {{0xc90f'daa2'2168'c234, 0x4000}, true, false},  // pi
    {{0x9a20'9a84'fbcf'f798, 0x3ffd}, true, false},  // log10(2)
    {{0xb172'17f7'd1cf'79ab, 0x3ffe}, true, false},  // ln(2)
    {{0, 0}, false, true},
    {{0, 0}, false, true}, // no instruction
};

} // namespace

void fld_sti(X87State& s, unsigned i)
{
    if (is_empty(s, i)) [[unlikely]] {
        if (stack_underflow(s)) {
            push_unchecked(s, kF80Indefinite);
        }
        return;
    }
    push(s, st(s, i));
}

void fld_f32(X87State& s, u32 bits)
{
    load(s, widen_f32(bits));
}

void fld_f64(X87State& s, u64 bits)
{
    load(s, widen_f64(bits));
}

void fld_f80(X87State& s, F80 value)
{
    push(s, value);
}

void fild(X87State& s, i64 value)
{
    push(s, from_integer(value));
}

void fbld(X87State& s, PackedBcd bcd)
{
    push(s, from_bcd(bcd));
}

void fld_constant(X87State& s, unsigned i)
{
    const Constant& constant = kConstants[i & 7];
    F80 value = constant.truncated;
    const Rounding mode = context_of(s).rounding();
    if (!constant.exact &&
        (mode == Rounding::up || (mode == Rounding::nearest_even && constant.rest_above_half))) {
        ++value.significand; // none of them is all ones
    }
    push(s, value);
}

namespace {

/// `convert` is one of the to_*() functions, `indefinite` its answer to an invalid operand.
template <class T, T (*convert)(F80, Context&)>
Store<T> prepare(const X87State& s, T indefinite)
{
    Context ctx = context_of(s);
    Store<T> store;
    if (is_empty(s, 0)) [[unlikely]] {
        ctx.raise(sw::ie | sw::sf);
        store.value = indefinite;
    } else {
        store.value = convert(st(s, 0), ctx);
    }
    store.status = {ctx.raised, ctx.rounded_up, !forbids_store(ctx)};
    return store;
}

F80 unchanged(F80 a, Context&)
{
    return a;
}

} // namespace

Store<u32> prepare_store_f32(const X87State& s)
{
    return prepare<u32, to_f32>(s, 0xffc0'0000);
}

Store<u64> prepare_store_f64(const X87State& s)
{
    return prepare<u64, to_f64>(s, 0xfff8'0000'0000'0000);
}

Store<F80> prepare_store_f80(const X87State& s)
{
    return prepare<F80, unchanged>(s, kF80Indefinite);
}

Store<i16> prepare_store_i16(const X87State& s)
{
    return prepare<i16, to_i16>(s, INT16_MIN);
}

Store<i32> prepare_store_i32(const X87State& s)
{
    return prepare<i32, to_i32>(s, INT32_MIN);
}

Store<i64> prepare_store_i64(const X87State& s)
{
    return prepare<i64, to_i64>(s, INT64_MIN);
}

Store<PackedBcd> prepare_store_bcd(const X87State& s)
{
    return prepare<PackedBcd, to_bcd>(s, kBcdIndefinite);
}

void commit_store(X87State& s, const StoreStatus& status, unsigned pops)
{
    finish(s, status.raised, status.c1);
    if (status.allowed && pops != 0) {
        pop(s);
    }
}

void fst_sti(X87State& s, unsigned i)
{
    if (is_empty(s, 0)) [[unlikely]] {
        if (stack_underflow(s)) {
            set_st(s, i, kF80Indefinite);
        }
        return;
    }
    finish(s, 0, false);
    set_st(s, i, st(s, 0));
}

void fstp_sti(X87State& s, unsigned i)
{
    const bool was_empty = is_empty(s, 0);
    fst_sti(s, i);
    if (!was_empty || (s.control & sw::ie) != 0) {
        pop(s);
    }
}

namespace {

/// The masked answer of instructions whose operands stay where they are.
void fill_empty(X87State& s, unsigned i)
{
    if (is_empty(s, i)) {
        set_st(s, i, kF80Indefinite);
    }
}

} // namespace

void fxch(X87State& s, unsigned i)
{
    if (is_empty(s, 0) || is_empty(s, i)) [[unlikely]] {
        if (!stack_underflow(s)) {
            return;
        }
        fill_empty(s, 0);
        fill_empty(s, i);
    } else {
        finish(s, 0, false);
    }
    std::swap(st(s, 0), st(s, i));
}

void fcmov(X87State& s, unsigned i, bool condition)
{
    if (is_empty(s, 0) || is_empty(s, i)) [[unlikely]] {
        if (stack_underflow(s)) { // whether or not the move would have happened
            set_st(s, 0, kF80Indefinite);
        }
        return;
    }
    if (condition) {
        st(s, 0) = st(s, i);
    }
}

} // namespace emu::fpu
