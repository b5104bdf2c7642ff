// The Bochs VBE display interface: resolutions and depths beyond VGA behind an index and a data
// register.
//
// Source: the interface's description in the LGPL VGA BIOS package ("vbe_display_api.txt").
#pragma once

#include "emulator/machine/state.hpp"

#include <array>

namespace emu::devices::display {

class VbeDispi {
public:
    enum Register : u16 {
        id,
        x_resolution,
        y_resolution,
        bits_per_pixel,
        enable,
        bank,
        virtual_width,
        virtual_height,
        x_offset,
        y_offset,
        memory_64k,
        count
    };
    static constexpr u16 kEnabled = 0x01;
    static constexpr u16 kGetCapabilities = 0x02;
    static constexpr u16 kEightBitDac = 0x20;
    static constexpr u16 kLinear = 0x40;
    static constexpr u16 kKeepMemory = 0x80;

    static constexpr u16 kMaxWidth = 4096;
    static constexpr u16 kMaxHeight = 4096;
    static constexpr u16 kMaxBits = 32;

    /// `vram_size` in bytes.
    explicit VbeDispi(u64 vram_size) : vram_size_{vram_size} {}

    void reset();
    void visit_state(StateVisitor& visitor);

    u16 read(u16 index) const;

    /// What the adapter has to do about a write.
    enum class Effect : u8 { none, changed, changed_and_cleared };
    Effect write(u16 index, u16 value);

    bool enabled() const { return (registers_[enable] & kEnabled) != 0; }
    bool eight_bit_dac() const { return (registers_[enable] & kEightBitDac) != 0; }
    u32 width() const { return registers_[x_resolution]; }
    u32 height() const { return registers_[y_resolution]; }
    u32 bits() const { return registers_[bits_per_pixel]; }
    u32 bank_number() const { return registers_[bank]; }

    /// Bytes between two rows; of one plane when bits() is 4.
    u32 pitch() const;

    /// Of the first pixel shown, in bytes.
    u64 start() const;
    u64 visible_bytes() const { return u64{pitch()} * height(); }

    u16 index = 0; // the index register

private:
    static bool depth_exists(u16 bits);
    Effect write_enable(u16 value);
    void limit_offsets();

    u64 vram_size_;
    std::array<u16, count> registers_{};
};

} // namespace emu::devices::display
