// The memory forms of D8 to DF, as two tables.
#include "base/endian.hpp"
#include "emulator/cpu/fpu/x87_dispatch.hpp"

namespace emu::fpu {

namespace {

using Load = void (*)(X87State&, ImageFormat, std::span<const u8>);
using Prepare = StoreStatus (*)(const X87State&, ImageFormat, std::span<u8>);
using Finish = void (*)(X87State&, const StoreStatus&);

enum class Size : u8 { bytes_2 = 2, bytes_4 = 4, bytes_8 = 8, bytes_10 = 10, environment, image };

/// Either `load`, or `prepare` and `finish`.
struct Row {
    Size size;
    Load load;
    Prepare prepare;
    Finish finish;
};

template <unsigned kReg>
void arith_f32(X87State& s, ImageFormat, std::span<const u8> m)
{
    kArithF32[kReg](s, load_le<u32>(m, 0));
}

template <unsigned kReg>
void arith_f64(X87State& s, ImageFormat, std::span<const u8> m)
{
    kArithF64[kReg](s, load_le<u64>(m, 0));
}

template <unsigned kReg>
void arith_i32(X87State& s, ImageFormat, std::span<const u8> m)
{
    kArithInteger[kReg](s, static_cast<i32>(load_le<u32>(m, 0)));
}

template <unsigned kReg>
void arith_i16(X87State& s, ImageFormat, std::span<const u8> m)
{
    kArithInteger[kReg](s, static_cast<i16>(load_le<u16>(m, 0)));
}

void load_f32(X87State& s, ImageFormat, std::span<const u8> m)
{
    fld_f32(s, load_le<u32>(m, 0));
}

void load_f64(X87State& s, ImageFormat, std::span<const u8> m)
{
    fld_f64(s, load_le<u64>(m, 0));
}

void load_f80(X87State& s, ImageFormat, std::span<const u8> m)
{
    fld_f80(s, {load_le<u64>(m, 0), load_le<u16>(m, 8)});
}

void load_i16(X87State& s, ImageFormat, std::span<const u8> m)
{
    fild(s, static_cast<i16>(load_le<u16>(m, 0)));
}

void load_i32(X87State& s, ImageFormat, std::span<const u8> m)
{
    fild(s, static_cast<i32>(load_le<u32>(m, 0)));
}

void load_i64(X87State& s, ImageFormat, std::span<const u8> m)
{
    fild(s, static_cast<i64>(load_le<u64>(m, 0)));
}

void load_bcd(X87State& s, ImageFormat, std::span<const u8> m)
{
    fbld(s, {load_le<u64>(m, 0), load_le<u16>(m, 8)});
}

void load_control(X87State& s, ImageFormat, std::span<const u8> m)
{
    set_control_word(s, load_le<u16>(m, 0));
}

void put(std::span<u8> m, u32 value)
{
    store_le<u32>(m, 0, value);
}

void put(std::span<u8> m, u64 value)
{
    store_le<u64>(m, 0, value);
}

void put(std::span<u8> m, i16 value)
{
    store_le<u16>(m, 0, static_cast<u16>(value));
}

void put(std::span<u8> m, i32 value)
{
    store_le<u32>(m, 0, static_cast<u32>(value));
}

void put(std::span<u8> m, i64 value)
{
    store_le<u64>(m, 0, static_cast<u64>(value));
}

void put(std::span<u8> m, F80 value)
{
    store_le<u64>(m, 0, value.significand);
    store_le<u16>(m, 8, value.sign_exponent);
}

void put(std::span<u8> m, PackedBcd value)
{
    store_le<u64>(m, 0, value.digits_0_to_15);
    store_le<u16>(m, 8, value.digits_16_17_and_sign);
}

template <auto kPrepare>
StoreStatus prepare_number(const X87State& s, ImageFormat, std::span<u8> m)
{
    const auto store = kPrepare(s);
    put(m, store.value);
    return store.status;
}

StoreStatus prepare_control(const X87State& s, ImageFormat, std::span<u8> m)
{
    store_le<u16>(m, 0, s.control);
    return {};
}

StoreStatus prepare_status(const X87State& s, ImageFormat, std::span<u8> m)
{
    store_le<u16>(m, 0, status_word(s));
    return {};
}

StoreStatus prepare_environment(const X87State& s, ImageFormat format, std::span<u8> m)
{
    store_environment(s, format, m);
    return {};
}

StoreStatus prepare_image(const X87State& s, ImageFormat format, std::span<u8> m)
{
    store_save_image(s, format, m);
    return {};
}

void keep(X87State& s, const StoreStatus& status)
{
    commit_store(s, status, 0);
}

void pop_after(X87State& s, const StoreStatus& status)
{
    commit_store(s, status, 1);
}

void nothing(X87State&, const StoreStatus&) {}

void mask_exceptions(X87State& s, const StoreStatus&)
{
    fnstenv_finish(s);
}

void initialize(X87State& s, const StoreStatus&)
{
    fninit(s);
}

constexpr Row kUndefined{Size::bytes_2, nullptr, nullptr, nullptr};

constexpr Row load(Size size, Load f)
{
    return {size, f, nullptr, nullptr};
}

constexpr Row store(Size size, Prepare f, Finish finish)
{
    return {size, nullptr, f, finish};
}

constexpr Row kRows[8][8] = {
    // D8: single precision
    {load(Size::bytes_4, arith_f32<0>), load(Size::bytes_4, arith_f32<1>),
     load(Size::bytes_4, arith_f32<2>), load(Size::bytes_4, arith_f32<3>),
     load(Size::bytes_4, arith_f32<4>), load(Size::bytes_4, arith_f32<5>),
     load(Size::bytes_4, arith_f32<6>), load(Size::bytes_4, arith_f32<7>)},
    // D9: FLD, -, FST, FSTP m32; FLDENV, FLDCW, FNSTENV, FNSTCW
    {load(Size::bytes_4, load_f32), kUndefined,
     store(Size::bytes_4, prepare_number<prepare_store_f32>, keep),
     store(Size::bytes_4, prepare_number<prepare_store_f32>, pop_after),
     load(Size::environment, load_environment), load(Size::bytes_2, load_control),
     store(Size::environment, prepare_environment, mask_exceptions),
     store(Size::bytes_2, prepare_control, nothing)},
    // DA: 32-bit integers
    {load(Size::bytes_4, arith_i32<0>), load(Size::bytes_4, arith_i32<1>),
     load(Size::bytes_4, arith_i32<2>), load(Size::bytes_4, arith_i32<3>),
     load(Size::bytes_4, arith_i32<4>), load(Size::bytes_4, arith_i32<5>),
     load(Size::bytes_4, arith_i32<6>), load(Size::bytes_4, arith_i32<7>)},
    // DB: FILD, - (FISTTP is SSE3), FIST, FISTP m32; -, FLD m80, -, FSTP m80
    {load(Size::bytes_4, load_i32), kUndefined,
     store(Size::bytes_4, prepare_number<prepare_store_i32>, keep),
     store(Size::bytes_4, prepare_number<prepare_store_i32>, pop_after), kUndefined,
     load(Size::bytes_10, load_f80), kUndefined,
     store(Size::bytes_10, prepare_number<prepare_store_f80>, pop_after)},
    // DC: double precision
    {load(Size::bytes_8, arith_f64<0>), load(Size::bytes_8, arith_f64<1>),
     load(Size::bytes_8, arith_f64<2>), load(Size::bytes_8, arith_f64<3>),
     load(Size::bytes_8, arith_f64<4>), load(Size::bytes_8, arith_f64<5>),
     load(Size::bytes_8, arith_f64<6>), load(Size::bytes_8, arith_f64<7>)},
    // DD: FLD, -, FST, FSTP m64; FRSTOR, -, FNSAVE, FNSTSW
    {load(Size::bytes_8, load_f64), kUndefined,
     store(Size::bytes_8, prepare_number<prepare_store_f64>, keep),
     store(Size::bytes_8, prepare_number<prepare_store_f64>, pop_after),
     load(Size::image, load_save_image), kUndefined, store(Size::image, prepare_image, initialize),
     store(Size::bytes_2, prepare_status, nothing)},
    // DE: 16-bit integers
    {load(Size::bytes_2, arith_i16<0>), load(Size::bytes_2, arith_i16<1>),
     load(Size::bytes_2, arith_i16<2>), load(Size::bytes_2, arith_i16<3>),
     load(Size::bytes_2, arith_i16<4>), load(Size::bytes_2, arith_i16<5>),
     load(Size::bytes_2, arith_i16<6>), load(Size::bytes_2, arith_i16<7>)},
    // DF: FILD, -, FIST, FISTP m16; FBLD, FILD m64, FBSTP, FISTP m64
    {load(Size::bytes_2, load_i16), kUndefined,
     store(Size::bytes_2, prepare_number<prepare_store_i16>, keep),
     store(Size::bytes_2, prepare_number<prepare_store_i16>, pop_after),
     load(Size::bytes_10, load_bcd), load(Size::bytes_8, load_i64),
     store(Size::bytes_10, prepare_number<prepare_store_bcd>, pop_after),
     store(Size::bytes_8, prepare_number<prepare_store_i64>, pop_after)},
};

constexpr const Row& row(unsigned escape, unsigned reg)
{
    return kRows[escape & 7][reg & 7];
}

constexpr u8 bytes_of(Size size, ImageFormat format)
{
    if (size == Size::environment) {
        return static_cast<u8>(environment_size(format));
    }
    if (size == Size::image) {
        return static_cast<u8>(save_image_size(format));
    }
    return static_cast<u8>(size);
}

} // namespace

MemoryForm memory_form(unsigned escape, unsigned reg, ImageFormat format)
{
    const Row& r = row(escape, reg);
    if (r.load == nullptr && r.prepare == nullptr) {
        return {};
    }
    return {r.load != nullptr ? Direction::load : Direction::store, bytes_of(r.size, format)};
}

void execute_load(X87State& s, unsigned escape, unsigned reg, ImageFormat format,
                  std::span<const u8> operand)
{
    if (row(escape, reg).load != nullptr) {
        row(escape, reg).load(s, format, operand);
    }
}

StoreStatus prepare_store(const X87State& s, unsigned escape, unsigned reg, ImageFormat format,
                          std::span<u8> operand)
{
    const Row& r = row(escape, reg);
    return r.prepare != nullptr ? r.prepare(s, format, operand) : StoreStatus{0, false, false};
}

void finish_store(X87State& s, unsigned escape, unsigned reg, const StoreStatus& status)
{
    if (row(escape, reg).finish != nullptr) {
        row(escape, reg).finish(s, status);
    }
}

} // namespace emu::fpu
