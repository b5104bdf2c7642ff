// A VGA with the Bochs VBE extensions, on PCI or ISA.
//
// Sources: IBM "Personal System/2 Hardware Interface Technical Reference - Video Subsystem" (1992),
// "Video Graphics Array" (section names in comments); "Bochs VBE display interface" (the DISPI
// registers as the LGPL VGA BIOS documents them).
// Modelled: text with two fonts, blinking and cursor; 2-, 4- and 16-colour and 256-colour modes,
// all write and read modes, panning, split screen, retrace from the virtual clock, DISPI banks and
// linear frame buffer. Not modelled: light pen, overscan border, vertical interrupt.
//
// Video memory is kept with the four planes interleaved: byte 4n + p is byte n of plane p. So a
// chain-4 or linear address is simply an index, and a planar write is one 32-bit operation.
#pragma once

#include "emulator/devices/display/display_source.hpp"
#include "emulator/devices/display/vbe_dispi.hpp"
#include "emulator/machine/clock.hpp"
#include "emulator/machine/device.hpp"
#include "emulator/machine/port_space.hpp"
#include "emulator/memory/address_space.hpp"

#include <array>

namespace emu::devices::display {

/// Register indices, by their names in the technical reference.
namespace crtc {
enum : u8 {
    horizontal_total = 0x00,
    horizontal_display_end = 0x01,
    vertical_total = 0x06,
    overflow = 0x07,
    preset_row_scan = 0x08,
    maximum_scan_line = 0x09,
    cursor_start = 0x0a,
    cursor_end = 0x0b,
    start_high = 0x0c,
    start_low = 0x0d,
    cursor_high = 0x0e,
    cursor_low = 0x0f,
    retrace_start = 0x10,
    retrace_end = 0x11,
    vertical_display_end = 0x12,
    offset = 0x13,
    underline = 0x14,
    mode_control = 0x17,
    line_compare = 0x18,
    count = 0x19
};
} // namespace crtc

namespace seq {
enum : u8 { reset, clocking_mode, map_mask, character_map, memory_mode, count };
} // namespace seq

namespace gfx {
enum : u8 {
    set_reset,
    enable_set_reset,
    compare,
    rotate,
    read_map,
    mode,
    misc,
    dont_care,
    mask,
    count
};
} // namespace gfx

namespace atc {
enum : u8 { mode_control = 0x10, overscan, plane_enable, panning, color_select, count };
} // namespace atc

struct VgaRegisters {
    std::array<u8, crtc::count> crtc{};
    std::array<u8, seq::count> seq{};
    std::array<u8, gfx::count> gfx{};
    std::array<u8, atc::count> atc{};
    u8 crtc_index = 0;
    u8 seq_index = 0;
    u8 gfx_index = 0;
    u8 atc_index = 0;      // with bit 5, "palette address source"
    bool atc_data = false; // the next write to 3C0h is data
    u8 misc_output = 0;
    u8 feature_control = 0;
    u8 dac_mask = 0xff;
    u8 dac_read_index = 0;
    u8 dac_write_index = 0;
    u8 dac_component = 0; // 0 red, 1 green, 2 blue of the next access
    bool dac_reading = false;
    std::array<u8, 3> dac_latch{};
    std::array<u8, 768> dac{};
    u32 latches = 0; // one byte a plane
};

class Vga final : public Device, public IoHandler, public MmioHandler, public DisplaySource {
public:
    static constexpr u64 kWindow = 0xa'0000;
    static constexpr u64 kWindowSize = 0x2'0000;

    struct Wiring {
        Clock& clock;
        AddressSpace& memory;
        PortSpace& ports;
        PortBus bus; // of the ports
    };

    /// `vram` holds the picture; a linear frame buffer maps the same block. Maps the standard ports
    /// and the window at A0000h.
    Vga(Wiring wiring, RamBlock& vram);

    std::string_view name() const override { return "vga"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    /// Ports 3B4h-3DFh and the DISPI pair 1CEh, 1CFh.
    u32 io_read(u64 port, unsigned size) override;
    void io_write(u64 port, unsigned size, u32 value) override;

    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

    void render(Frame& frame) override;
    std::optional<TextScreen> text() override;
    std::string mode_name() override;

    const VbeDispi& dispi() const { return dispi_; }
    void write_dispi(u16 index, u16 value);
    const VgaRegisters& registers() const { return r_; }
    bool graphics() const { return (r_.gfx[gfx::misc] & 1) != 0; }

private:
    /// How CPU addresses in the window reach memory; follows from the registers.
    enum class Addressing : u8 { planar, odd_even, chain4, linear };

    // Ports (vga.cpp).
    u8 read_port(u16 port);
    void write_port(u16 port, u8 value);
    void write_attribute(u8 value);
    void write_crtc(u8 value);
    u8 read_dac();
    void write_dac(u8 value);
    u8 status_1();

    // The window (vga_memory.cpp).
    void registers_changed();
    void map_direct(bool wanted);
    std::optional<u32> window_address(u64 offset) const;
    u8 read_memory(u64 offset);
    void write_memory(u64 offset, u8 value);
    u32 read_planes(u32 address);
    void write_planes(u32 address, u8 value);

    // The picture (vga_render.cpp, vga_text.cpp).
    struct Timing {
        u32 dots_per_line; // character clocks times character width
        u32 lines;
        u32 visible_dots;
        u32 visible_lines;
        u32 retrace_start; // line
        u32 retrace_lines;
        u64 frame_ns;
    };
    struct Palette {
        std::array<u32, 16> attribute;
        std::array<u32, 256> dac;
    };
    Timing timing() const;
    u32 dots_per_character() const { return (r_.seq[seq::clocking_mode] & 1) != 0 ? 8 : 9; }
    bool half_clock() const { return (r_.seq[seq::clocking_mode] & 8) != 0; }
    u32 columns() const { return r_.crtc[crtc::horizontal_display_end] + 1u; }
    u32 start_address() const;
    u32 line_offset() const { return r_.crtc[crtc::offset] * 2u; } // bytes of a plane
    u32 line_compare() const;
    u32 cell_height() const { return (r_.crtc[crtc::maximum_scan_line] & 31) + 1u; }
    bool blanked() const;
    bool blink_phase(unsigned frames) const;
    u32 dac_color(u8 index) const;
    Palette palette() const;
    void render_vbe(Frame& frame) const;
    void render_scan(Frame& frame) const;
    u32 scanned_address(u32 address, u32 row) const;
    void draw_graphics(u32 address, u32 row, std::vector<u32>& dots, const Palette& p) const;
    void draw_text(u32 address, u32 row, std::vector<u32>& dots, const Palette& p) const;
    u32 font_offset(bool second) const;
    u8 plane_byte(u32 address, unsigned plane) const
    {
        return vram_bytes()[((address << 2) + plane) & vram_mask_];
    }
    const u8* vram_bytes() const { return vram_.data(); }

    Wiring wiring_;
    RamBlock& vram_;
    u32 vram_mask_;
    VgaRegisters r_;
    VbeDispi dispi_;

    // Derived from the registers by registers_changed(), never saved.
    Addressing addressing_ = Addressing::planar;
    u32 map_mask32_ = 0;
    u32 set_reset32_ = 0;
    u32 enable_set_reset32_ = 0;
    u32 bit_mask32_ = 0;
    bool plain_write_ = false; // write mode 0 that only honours the map mask

    AddressSpace::RegionId direct_region_ = 0;
    bool direct_mapped_ = false;
    u64 direct_offset_ = 0;
};

} // namespace emu::devices::display
