// The memory images of FSTENV, FSAVE and FXSAVE.
//
// Storing only reads the state, so that the caller can write the bytes to guest memory first and
// finish the instruction (fnstenv_finish, fninit) when that succeeded.
//
// Source: Intel SDM volume 1, 8.1.10, figures 8-9 to 8-12; volume 2, FSTENV, FSAVE, FXSAVE (table
// "Non-64-bit-Mode Layout of FXSAVE and FXRSTOR Memory Region").
#pragma once

#include "emulator/cpu/fpu/x87_state.hpp"

#include <span>

namespace emu::fpu {

/// By operand size and mode; virtual-8086 mode counts as real mode.
enum class ImageFormat { protected_16, protected_32, real_16, real_32 };

constexpr bool is_32_bit(ImageFormat format)
{
    return format == ImageFormat::protected_32 || format == ImageFormat::real_32;
}

/// In bytes.
constexpr std::size_t environment_size(ImageFormat format)
{
    return is_32_bit(format) ? 28 : 14;
}

/// In bytes.
constexpr std::size_t save_image_size(ImageFormat format)
{
    return environment_size(format) + 8 * 10;
}

constexpr std::size_t kFxsaveSize = 512; // bytes

// Each writes or reads exactly the size above; `bytes` may be longer.
void store_environment(const X87State& s, ImageFormat format, std::span<u8> bytes);
void load_environment(X87State& s, ImageFormat format, std::span<const u8> bytes); // FLDENV
/// FNSTENV masks all exceptions after storing.
void fnstenv_finish(X87State& s);

/// FNSAVE; the caller follows it with fninit().
void store_save_image(const X87State& s, ImageFormat format, std::span<u8> bytes);
void load_save_image(X87State& s, ImageFormat format, std::span<const u8> bytes); // FRSTOR

/// The x87 and MMX part of FXSAVE: bytes 0 to 23 and 32 to 159. MXCSR and the XMM registers are the
/// caller's; reserved bytes are left as they are.
void store_fxsave(const X87State& s, std::span<u8> bytes);
void load_fxsave(X87State& s, std::span<const u8> bytes);

} // namespace emu::fpu
