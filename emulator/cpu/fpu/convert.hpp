// Conversions between the 80-bit format and the formats of memory operands.
//
// Source: Intel SDM volume 1, 4.2.2, 4.7 "BCD and Packed BCD Integers", table 4-4 ("Packed Decimal
// Integer Encodings"), 8.1.2 and table 8-10 (answers of stores); volume 2, FLD, FST, FILD, FIST,
// FBLD, FBSTP.
#pragma once

#include "emulator/cpu/fpu/context.hpp"

namespace emu::fpu {

/// Ten bytes of packed BCD: 18 digits, least significant first, and the sign in bit 79.
struct PackedBcd {
    u64 digits_0_to_15 = 0;
    u16 digits_16_17_and_sign = 0;

    bool operator==(const PackedBcd&) const = default;
};

/// Packed decimal indefinite, table 4-4.
constexpr PackedBcd kBcdIndefinite{0xc000'0000'0000'0000, 0xffff};

/// Widens without raising anything: a signaling NaN stays one. `is_denormal` tells of a denormal
/// source, which is a normal number in the 80-bit format.
struct Widened {
    F80 value;
    bool is_denormal;
};
Widened widen_f32(u32 bits);
Widened widen_f64(u64 bits);

/// FLD m32fp, m64fp.
F80 from_f32(u32 bits, Context& ctx);
F80 from_f64(u64 bits, Context& ctx);

/// Exact.
F80 from_integer(i64 value);

/// Digits above 9 give an undefined value by the SDM; here each nibble counts as its number.
F80 from_bcd(PackedBcd bcd);

// Stores. Where an unmasked exception forbids the store (SDM 8.5: invalid, overflow and underflow
// with a memory destination), `ctx` says so through `forbids_store` and the value is meaningless.
u32 to_f32(F80 a, Context& ctx);
u64 to_f64(F80 a, Context& ctx);
i16 to_i16(F80 a, Context& ctx);
i32 to_i32(F80 a, Context& ctx);
i64 to_i64(F80 a, Context& ctx);
PackedBcd to_bcd(F80 a, Context& ctx);

constexpr bool forbids_store(const Context& ctx)
{
    return ctx.is_unmasked(ctx.raised & (sw::ie | sw::oe | sw::ue));
}

} // namespace emu::fpu
