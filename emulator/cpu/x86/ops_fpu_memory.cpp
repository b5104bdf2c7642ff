// x87 instructions with a memory operand.
//
// Source: Intel SDM vol. 2, appendix A.5 (escape opcodes).
#include "emulator/cpu/x86/fpu_checks.hpp"
#include "emulator/cpu/x86/ops.hpp"

#include "emulator/cpu/fpu/x87.hpp"
#include "emulator/cpu/fpu/x87_image.hpp"

#include <cstring>

namespace emu::x86 {

namespace {

using base::i16;

constexpr std::size_t kLargestImage = fpu::kFxsaveSize;

/// The memory operand of one instruction. The accesses answer false with a fault recorded.
struct Operand {
    State& state;
    FpuArgs args;
    u32 offset;

    fpu::X87State& x87() const { return state.x87; }

    u32 linear(u32 at) const { return state.segment_base[args.segment] + offset + at; }

    bool check(unsigned size, bool write) const
    {
        return check_segment(state, static_cast<Seg>(args.segment), offset, size, write);
    }
    bool read_at(u32 at, unsigned size, u64& value) const
    {
        return load(state, linear(at), size, state.cpl == 3, value);
    }
    bool write_at(u32 at, unsigned size, u64 value) const
    {
        return store(state, linear(at), size, state.cpl == 3, value);
    }
    bool read(unsigned size, u64& value) const
    {
        return check(size, false) && read_at(0, size, value);
    }
    bool write(unsigned size, u64 value) const
    {
        return check(size, true) && write_at(0, size, value);
    }

    /// Images are moved in aligned words where their address allows.
    unsigned piece(std::size_t left) const { return left >= 4 && (linear(0) & 3) == 0 ? 4 : 1; }

    bool read_bytes(std::span<u8> bytes) const
    {
        if (!check(static_cast<unsigned>(bytes.size()), false)) {
            return false;
        }
        for (std::size_t at = 0; at < bytes.size();) {
            const unsigned size = piece(bytes.size() - at);
            u64 value = 0;
            if (!read_at(static_cast<u32>(at), size, value)) {
                return false;
            }
            std::memcpy(bytes.data() + at, &value, size);
            at += size;
        }
        return true;
    }
    bool write_bytes(std::span<const u8> bytes) const
    {
        if (!check(static_cast<unsigned>(bytes.size()), true)) {
            return false;
        }
        const auto last = static_cast<u32>(bytes.size() - 1);
        if (!check_store(state, linear(0), 1, state.cpl == 3) ||
            !check_store(state, linear(last), 1, state.cpl == 3)) {
            return false; // at most two pages: nothing is written before both are known good
        }
        for (std::size_t at = 0; at < bytes.size();) {
            const unsigned size = piece(bytes.size() - at);
            u64 value = 0;
            std::memcpy(&value, bytes.data() + at, size);
            if (!write_at(static_cast<u32>(at), size, value)) {
                return false;
            }
            at += size;
        }
        return true;
    }
};

/// False: a fault is recorded, nothing has changed.
using Handler = bool (*)(const Operand& operand);

template <unsigned Size>
bool arithmetic_f(const Operand& m)
{
    u64 bits = 0;
    if (!m.read(Size, bits)) {
        return false;
    }
    if constexpr (Size == 4) {
        fpu::kArithF32[m.args.reg()](m.x87(), static_cast<u32>(bits));
    } else {
        fpu::kArithF64[m.args.reg()](m.x87(), bits);
    }
    return true;
}

template <unsigned Size>
i64 sign_extended(u64 bits)
{
    if constexpr (Size == 2) {
        return static_cast<i16>(bits);
    } else if constexpr (Size == 4) {
        return static_cast<i32>(bits);
    } else {
        return static_cast<i64>(bits);
    }
}

template <unsigned Size>
bool arithmetic_i(const Operand& m)
{
    u64 bits = 0;
    if (!m.read(Size, bits)) {
        return false;
    }
    fpu::kArithInteger[m.args.reg()](m.x87(), static_cast<i32>(sign_extended<Size>(bits)));
    return true;
}

template <unsigned Size>
bool load_f(const Operand& m)
{
    u64 bits = 0;
    if (!m.read(Size, bits)) {
        return false;
    }
    if constexpr (Size == 4) {
        fpu::fld_f32(m.x87(), static_cast<u32>(bits));
    } else {
        fpu::fld_f64(m.x87(), bits);
    }
    return true;
}

template <unsigned Size>
bool load_i(const Operand& m)
{
    u64 bits = 0;
    if (!m.read(Size, bits)) {
        return false;
    }
    fpu::fild(m.x87(), sign_extended<Size>(bits));
    return true;
}

/// Ten bytes: eight, then two.
bool read_ten(const Operand& m, u64& low, u64& high)
{
    return m.check(10, false) && m.read_at(0, 8, low) && m.read_at(8, 2, high);
}

bool write_ten(const Operand& m, u64 low, u64 high)
{
    return m.check(10, true) && check_store(m.state, m.linear(8), 2, m.state.cpl == 3) &&
           m.write_at(0, 8, low) && m.write_at(8, 2, high);
}

bool load_f80(const Operand& m)
{
    u64 low = 0;
    u64 high = 0;
    if (!read_ten(m, low, high)) {
        return false;
    }
    fpu::fld_f80(m.x87(), {low, static_cast<u16>(high)});
    return true;
}

bool load_bcd(const Operand& m)
{
    u64 low = 0;
    u64 high = 0;
    if (!read_ten(m, low, high)) {
        return false;
    }
    fpu::fbld(m.x87(), {low, static_cast<u16>(high)});
    return true;
}

template <auto Prepare, unsigned Size, unsigned Pops>
bool store_number(const Operand& m)
{
    const auto result = Prepare(m.x87());
    if (result.status.allowed && !m.write(Size, static_cast<u64>(result.value))) {
        return false;
    }
    fpu::commit_store(m.x87(), result.status, Pops);
    return true;
}

bool store_f80(const Operand& m)
{
    const auto result = fpu::prepare_store_f80(m.x87());
    if (result.status.allowed &&
        !write_ten(m, result.value.significand, result.value.sign_exponent)) {
        return false;
    }
    fpu::commit_store(m.x87(), result.status, 1);
    return true;
}

bool store_bcd(const Operand& m)
{
    const auto result = fpu::prepare_store_bcd(m.x87());
    if (result.status.allowed &&
        !write_ten(m, result.value.digits_0_to_15, result.value.digits_16_17_and_sign)) {
        return false;
    }
    fpu::commit_store(m.x87(), result.status, 1);
    return true;
}

fpu::ImageFormat image_format(const Operand& m)
{
    using enum fpu::ImageFormat;
    if ((m.state.mode & kModeProtected) != 0) {
        return m.args.operand32 ? protected_32 : protected_16;
    }
    return m.args.operand32 ? real_32 : real_16;
}

bool fldenv(const Operand& m)
{
    std::array<u8, kLargestImage> bytes{};
    const fpu::ImageFormat format = image_format(m);
    const auto image = std::span{bytes}.first(fpu::environment_size(format));
    if (!m.read_bytes(image)) {
        return false;
    }
    fpu::load_environment(m.x87(), format, image);
    return true;
}

bool fnstenv(const Operand& m)
{
    std::array<u8, kLargestImage> bytes{};
    const fpu::ImageFormat format = image_format(m);
    const auto image = std::span{bytes}.first(fpu::environment_size(format));
    fpu::store_environment(m.x87(), format, image);
    if (!m.write_bytes(image)) {
        return false;
    }
    fpu::fnstenv_finish(m.x87());
    return true;
}

bool frstor(const Operand& m)
{
    std::array<u8, kLargestImage> bytes{};
    const fpu::ImageFormat format = image_format(m);
    const auto image = std::span{bytes}.first(fpu::save_image_size(format));
    if (!m.read_bytes(image)) {
        return false;
    }
    fpu::load_save_image(m.x87(), format, image);
    return true;
}

bool fnsave(const Operand& m)
{
    std::array<u8, kLargestImage> bytes{};
    const fpu::ImageFormat format = image_format(m);
    const auto image = std::span{bytes}.first(fpu::save_image_size(format));
    fpu::store_save_image(m.x87(), format, image);
    if (!m.write_bytes(image)) {
        return false;
    }
    fpu::fninit(m.x87());
    return true;
}

bool fldcw(const Operand& m)
{
    u64 word = 0;
    if (!m.read(2, word)) {
        return false;
    }
    fpu::set_control_word(m.x87(), static_cast<u16>(word));
    return true;
}

bool fnstcw(const Operand& m)
{
    return m.write(2, m.x87().control);
}

bool fnstsw(const Operand& m)
{
    return m.write(2, fpu::status_word(m.x87()));
}

enum RowFlags : u8 {
    kNoWait = 1,  // not stopped by a pending exception
    kControl = 2, // FOP, FIP and FDP stay
};

struct Row {
    Handler handler = nullptr;
    u8 flags = 0;
};

using Rows = std::array<Row, 8>;

constexpr Rows all(Handler handler)
{
    Rows rows{};
    rows.fill({handler, 0});
    return rows;
}

// By the low three bits of the opcode, then by ModRM reg.
constexpr std::array<Rows, 8> kRows{
    all(arithmetic_f<4>),
    Rows{{{load_f<4>},
          {},
          {store_number<fpu::prepare_store_f32, 4, 0>},
          {store_number<fpu::prepare_store_f32, 4, 1>},
          {fldenv, kControl},
          {fldcw, kControl},
          {fnstenv, kControl | kNoWait},
          {fnstcw, kControl | kNoWait}}},
    all(arithmetic_i<4>),
    Rows{{{load_i<4>},
          {},
          {store_number<fpu::prepare_store_i32, 4, 0>},
          {store_number<fpu::prepare_store_i32, 4, 1>},
          {},
          {load_f80},
          {},
          {store_f80}}},
    all(arithmetic_f<8>),
    Rows{{{load_f<8>},
          {},
          {store_number<fpu::prepare_store_f64, 8, 0>},
          {store_number<fpu::prepare_store_f64, 8, 1>},
          {frstor, kControl},
          {},
          {fnsave, kControl | kNoWait},
          {fnstsw, kControl | kNoWait}}},
    all(arithmetic_i<2>),
    Rows{{{load_i<2>},
          {},
          {store_number<fpu::prepare_store_i16, 2, 0>},
          {store_number<fpu::prepare_store_i16, 2, 1>},
          {load_bcd},
          {load_i<8>},
          {store_bcd},
          {store_number<fpu::prepare_store_i64, 8, 1>}}},
};

u32 x87_memory(State& state, u32 packed, u32 offset, u32)
{
    const FpuArgs args = unpack_fpu_args(packed);
    const Row& row = kRows[args.opcode][args.reg()];
    if (row.handler == nullptr) {
        raise_fault(state, kInvalidOpcode);
        return 0;
    }
    if (!is_fpu_available(state) || ((row.flags & kNoWait) == 0 && !no_fpu_error_pending(state))) {
        return 0;
    }
    if (!row.handler({state, args, offset})) {
        return 0;
    }
    if ((row.flags & kControl) == 0) {
        record_operand(state, args, offset);
    }
    update_ferr(state);
    return 0;
}

bool is_aligned_for_fxsave(const Operand& m)
{
    if ((m.linear(0) & 15) != 0) {
        raise_fault(m.state, kGeneralProtection, 0);
        return false;
    }
    return true;
}

/// 0F AE /0. MXCSR and the XMM registers are not there before SSE: those bytes stay as they are.
u32 fxsave(State& state, u32 packed, u32 offset, u32)
{
    const Operand m{state, unpack_fpu_args(packed), offset};
    std::array<u8, fpu::kFxsaveSize> bytes{};
    if (!is_fpu_available(state) || !is_aligned_for_fxsave(m) || !m.read_bytes(bytes)) {
        return 0;
    }
    fpu::store_fxsave(state.x87, bytes);
    m.write_bytes(bytes);
    return 0;
}

/// 0F AE /1.
u32 fxrstor(State& state, u32 packed, u32 offset, u32)
{
    const Operand m{state, unpack_fpu_args(packed), offset};
    std::array<u8, fpu::kFxsaveSize> bytes{};
    if (!is_fpu_available(state) || !is_aligned_for_fxsave(m) || !m.read_bytes(bytes)) {
        return 0;
    }
    fpu::load_fxsave(state.x87, bytes);
    update_ferr(state);
    return 0;
}

constexpr std::array kHelpers{
    HelperInfo{"x87_memory", x87_memory, kHelperMayLeave | kHelperReaches},
    HelperInfo{"fxsave", fxsave, kHelperMayLeave | kHelperReaches},
    HelperInfo{"fxrstor", fxrstor, kHelperMayLeave | kHelperReaches},
};

} // namespace

std::span<const HelperInfo> fpu_memory_helpers()
{
    return kHelpers;
}

} // namespace emu::x86
