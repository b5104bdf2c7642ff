#include "emulator/cpu/fpu/x87_image.hpp"

#include "base/endian.hpp"

namespace emu::fpu {

namespace {

constexpr u16 kOpcodeMask = 0x07ff;

constexpr bool is_real(ImageFormat format)
{
    return format == ImageFormat::real_16 || format == ImageFormat::real_32;
}

/// One field of a 32-bit image: 16 bits that mean something below 16 reserved ones, which read as
/// ones on processors since the 387.
void store_padded(std::span<u8> bytes, std::size_t offset, u16 value)
{
    store_le<u32>(bytes, offset, 0xffff'0000 | value);
}

u32 linear(u16 selector, u32 offset)
{
    return (u32{selector} << 4) + offset;
}

void store_pointers_32(const X87State& s, ImageFormat format, std::span<u8> bytes)
{
    const u32 opcode = s.opcode & kOpcodeMask;
    if (is_real(format)) {
        const u32 instruction = linear(s.instruction_selector, s.instruction_offset);
        const u32 operand = linear(s.operand_selector, s.operand_offset);
        store_padded(bytes, 12, static_cast<u16>(instruction));
        store_le<u32>(bytes, 16, ((instruction >> 16) << 12) | opcode);
        store_padded(bytes, 20, static_cast<u16>(operand));
        store_le<u32>(bytes, 24, (operand >> 16) << 12);
        return;
    }
    store_le<u32>(bytes, 12, s.instruction_offset);
    store_le<u32>(bytes, 16, (opcode << 16) | s.instruction_selector);
    store_le<u32>(bytes, 20, s.operand_offset);
    store_padded(bytes, 24, s.operand_selector);
}

void store_pointers_16(const X87State& s, ImageFormat format, std::span<u8> bytes)
{
    if (is_real(format)) {
        const u32 instruction = linear(s.instruction_selector, s.instruction_offset);
        const u32 operand = linear(s.operand_selector, s.operand_offset);
        store_le<u16>(bytes, 6, static_cast<u16>(instruction));
        store_le<u16>(bytes, 8,
                      static_cast<u16>(((instruction >> 16) << 12) | (s.opcode & kOpcodeMask)));
        store_le<u16>(bytes, 10, static_cast<u16>(operand));
        store_le<u16>(bytes, 12, static_cast<u16>((operand >> 16) << 12));
        return;
    }
    store_le<u16>(bytes, 6, static_cast<u16>(s.instruction_offset));
    store_le<u16>(bytes, 8, s.instruction_selector);
    store_le<u16>(bytes, 10, static_cast<u16>(s.operand_offset));
    store_le<u16>(bytes, 12, s.operand_selector);
}

void load_pointers_32(X87State& s, ImageFormat format, std::span<const u8> bytes)
{
    if (is_real(format)) {
        const u32 high = load_le<u32>(bytes, 16);
        s.instruction_offset = load_le<u16>(bytes, 12) | (((high >> 12) & 0xffff) << 16);
        s.operand_offset =
            load_le<u16>(bytes, 20) | (((load_le<u32>(bytes, 24) >> 12) & 0xffff) << 16);
        s.instruction_selector = 0;
        s.operand_selector = 0;
        s.opcode = static_cast<u16>(high & kOpcodeMask);
        return;
    }
    s.instruction_offset = load_le<u32>(bytes, 12);
    s.instruction_selector = load_le<u16>(bytes, 16);
    s.opcode = load_le<u16>(bytes, 18) & kOpcodeMask;
    s.operand_offset = load_le<u32>(bytes, 20);
    s.operand_selector = load_le<u16>(bytes, 24);
}

void load_pointers_16(X87State& s, ImageFormat format, std::span<const u8> bytes)
{
    if (is_real(format)) {
        const u16 high = load_le<u16>(bytes, 8);
        s.instruction_offset = load_le<u16>(bytes, 6) | (u32{high} >> 12 << 16);
        s.operand_offset = load_le<u16>(bytes, 10) | (u32{load_le<u16>(bytes, 12)} >> 12 << 16);
        s.instruction_selector = 0;
        s.operand_selector = 0;
        s.opcode = high & kOpcodeMask;
        return;
    }
    s.instruction_offset = load_le<u16>(bytes, 6);
    s.instruction_selector = load_le<u16>(bytes, 8);
    s.operand_offset = load_le<u16>(bytes, 10);
    s.operand_selector = load_le<u16>(bytes, 12);
}

void store_f80(std::span<u8> bytes, std::size_t offset, F80 value)
{
    store_le<u64>(bytes, offset, value.significand);
    store_le<u16>(bytes, offset + 8, value.sign_exponent);
}

F80 load_f80(std::span<const u8> bytes, std::size_t offset)
{
    return {load_le<u64>(bytes, offset), load_le<u16>(bytes, offset + 8)};
}

} // namespace

void store_environment(const X87State& s, ImageFormat format, std::span<u8> bytes)
{
    if (is_32_bit(format)) {
        store_padded(bytes, 0, s.control);
        store_padded(bytes, 4, status_word(s));
        store_padded(bytes, 8, tag_word(s));
        store_pointers_32(s, format, bytes);
        return;
    }
    store_le<u16>(bytes, 0, s.control);
    store_le<u16>(bytes, 2, status_word(s));
    store_le<u16>(bytes, 4, tag_word(s));
    store_pointers_16(s, format, bytes);
}

void load_environment(X87State& s, ImageFormat format, std::span<const u8> bytes)
{
    const std::size_t stride = is_32_bit(format) ? 4 : 2;
    set_control_word(s, load_le<u16>(bytes, 0));
    set_status_word(s, load_le<u16>(bytes, stride));
    set_tag_word(s, load_le<u16>(bytes, 2 * stride));
    if (is_32_bit(format)) {
        load_pointers_32(s, format, bytes);
    } else {
        load_pointers_16(s, format, bytes);
    }
}

void fnstenv_finish(X87State& s)
{
    set_control_word(s, s.control | sw::exceptions);
}

void store_save_image(const X87State& s, ImageFormat format, std::span<u8> bytes)
{
    store_environment(s, format, bytes);
    for (unsigned i = 0; i < 8; ++i) {
        store_f80(bytes, environment_size(format) + 10 * i, st(s, i));
    }
}

void load_save_image(X87State& s, ImageFormat format, std::span<const u8> bytes)
{
    load_environment(s, format, bytes);
    for (unsigned i = 0; i < 8; ++i) {
        st(s, i) = load_f80(bytes, environment_size(format) + 10 * i);
    }
}

void store_fxsave(const X87State& s, std::span<u8> bytes)
{
    store_le<u16>(bytes, 0, s.control);
    store_le<u16>(bytes, 2, status_word(s));
    bytes[4] = static_cast<u8>(~s.empty); // the abridged tag word has a one for "not empty"
    bytes[5] = 0;
    store_le<u16>(bytes, 6, s.opcode & kOpcodeMask);
    store_le<u32>(bytes, 8, s.instruction_offset);
    store_le<u16>(bytes, 12, s.instruction_selector);
    store_le<u16>(bytes, 14, 0);
    store_le<u32>(bytes, 16, s.operand_offset);
    store_le<u16>(bytes, 20, s.operand_selector);
    store_le<u16>(bytes, 22, 0);
    for (unsigned i = 0; i < 8; ++i) {
        store_f80(bytes, 32 + 16 * i, st(s, i));
        store_le<u16>(bytes, 42 + 16 * i, 0);
        store_le<u32>(bytes, 44 + 16 * i, 0);
    }
}

void load_fxsave(X87State& s, std::span<const u8> bytes)
{
    set_control_word(s, load_le<u16>(bytes, 0));
    set_status_word(s, load_le<u16>(bytes, 2));
    s.empty = static_cast<u8>(~bytes[4]);
    s.opcode = load_le<u16>(bytes, 6) & kOpcodeMask;
    s.instruction_offset = load_le<u32>(bytes, 8);
    s.instruction_selector = load_le<u16>(bytes, 12);
    s.operand_offset = load_le<u32>(bytes, 16);
    s.operand_selector = load_le<u16>(bytes, 20);
    for (unsigned i = 0; i < 8; ++i) {
        st(s, i) = load_f80(bytes, 32 + 16 * i);
    }
}

} // namespace emu::fpu
