#include "emulator/devices/display/vga.hpp"

#include <algorithm>
#include <bit>

namespace emu::devices::display {

namespace {

constexpr u16 kDispiIndex = 0x1ce;
constexpr u16 kDispiData = 0x1cf;
constexpr u8 kColorPorts = 0x01; // misc output bit 0: the CRTC is at 3D4h, not 3B4h
constexpr u8 kProtectCrtc = 0x80;
constexpr int kWindowPriority = 1;

// Which bits exist; the rest read as zero.
constexpr std::array<u8, seq::count> kSeqBits{0x03, 0x3d, 0x0f, 0x3f, 0x0e};
constexpr std::array<u8, gfx::count> kGfxBits{0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};
constexpr std::array<u8, atc::count> kAtcBits{0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
                                              0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
                                              0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f};

template <std::size_t N>
u8 indexed(const std::array<u8, N>& registers, u8 index)
{
    return index < N ? registers[index] : u8{0};
}

} // namespace

Vga::Vga(Wiring wiring, RamBlock& vram)
    : wiring_{wiring}, vram_{vram},
      vram_mask_{static_cast<u32>(std::bit_floor(vram.size()) - 1)}, dispi_{vram.size()}
{
    wiring_.ports.map(0x3b4, 2, *this, "vga crtc (mono)", wiring_.bus);
    wiring_.ports.map(0x3ba, 1, *this, "vga status (mono)", wiring_.bus);
    wiring_.ports.map(0x3c0, 16, *this, "vga", wiring_.bus);
    wiring_.ports.map(0x3d4, 2, *this, "vga crtc", wiring_.bus);
    wiring_.ports.map(0x3da, 1, *this, "vga status", wiring_.bus);
    wiring_.ports.map(kDispiIndex, 3, *this, "dispi",
                      wiring_.bus); // 1CFh is 16 bits wide, odd as it is
    wiring_.memory.map_mmio(kWindow, kWindowSize, *this, "vga window", kWindowPriority);
    reset();
}

void Vga::reset()
{
    r_ = {};
    dispi_.reset();
    registers_changed();
}

u32 Vga::io_read(u64 port, unsigned size)
{
    if (port == kDispiIndex || port == kDispiData) {
        return port == kDispiIndex ? dispi_.index : dispi_.read(dispi_.index);
    }
    u32 value = 0;
    for (unsigned i = 0; i < size; ++i) {
        value |= u32{read_port(static_cast<u16>(port + i))} << (8 * i);
    }
    return value;
}

void Vga::io_write(u64 port, unsigned size, u32 value)
{
    if (port == kDispiIndex) {
        dispi_.index = static_cast<u16>(value);
        return;
    }
    if (port == kDispiData) {
        write_dispi(dispi_.index, static_cast<u16>(value));
        return;
    }
    for (unsigned i = 0; i < size; ++i) {
        write_port(static_cast<u16>(port + i), static_cast<u8>(value >> (8 * i)));
    }
}

void Vga::write_dispi(u16 index, u16 value)
{
    const auto effect = dispi_.write(index, value);
    if (effect == VbeDispi::Effect::changed_and_cleared) {
        const u64 planes = dispi_.bits() == 4 ? 4 : 1;
        const auto screen = vram_.bytes().first(dispi_.visible_bytes() * planes);
        std::ranges::fill(screen, u8{0});
        wiring_.memory.notify_code_write(vram_, 0, screen.size());
    }
    if (effect != VbeDispi::Effect::none) {
        registers_changed();
    }
}

u8 Vga::read_port(u16 port)
{
    switch (port) {
    case 0x3c0:
        return r_.atc_data ? 0 : r_.atc_index;
    case 0x3c1:
        return indexed(r_.atc, r_.atc_index & 0x1f);
    case 0x3c2:
        return 0x10; // input status 0: the switch that says "colour display"
    case 0x3c4:
        return r_.seq_index;
    case 0x3c5:
        return indexed(r_.seq, r_.seq_index);
    case 0x3c6:
        return r_.dac_mask;
    case 0x3c7:
        return r_.dac_reading ? 3 : 0;
    case 0x3c8:
        return r_.dac_write_index;
    case 0x3c9:
        return read_dac();
    case 0x3ca:
        return r_.feature_control;
    case 0x3cc:
        return r_.misc_output;
    case 0x3ce:
        return r_.gfx_index;
    case 0x3cf:
        return indexed(r_.gfx, r_.gfx_index);
    default:
        break;
    }
    const bool color = (r_.misc_output & kColorPorts) != 0;
    if ((port & 0xfff0) != (color ? 0x3d0 : 0x3b0)) {
        return 0xff;
    }
    switch (port & 0x0f) {
    case 0x4:
        return r_.crtc_index;
    case 0x5:
        return indexed(r_.crtc, r_.crtc_index);
    case 0xa:
        r_.atc_data = false;
        return status_1();
    default:
        return 0xff;
    }
}

void Vga::write_port(u16 port, u8 value)
{
    switch (port) {
    case 0x3c0:
        write_attribute(value);
        return;
    case 0x3c2:
        r_.misc_output = value & 0xef;
        return;
    case 0x3c4:
        r_.seq_index = value & 7;
        return;
    case 0x3c5:
        if (r_.seq_index < seq::count) {
            r_.seq[r_.seq_index] = value & kSeqBits[r_.seq_index];
            registers_changed();
        }
        return;
    case 0x3c6:
        r_.dac_mask = value;
        return;
    case 0x3c7:
        r_.dac_read_index = value;
        r_.dac_component = 0;
        r_.dac_reading = true;
        return;
    case 0x3c8:
        r_.dac_write_index = value;
        r_.dac_component = 0;
        r_.dac_reading = false;
        return;
    case 0x3c9:
        write_dac(value);
        return;
    case 0x3ce:
        r_.gfx_index = value & 0x0f;
        return;
    case 0x3cf:
        if (r_.gfx_index < gfx::count) {
            r_.gfx[r_.gfx_index] = value & kGfxBits[r_.gfx_index];
            registers_changed();
        }
        return;
    default:
        break;
    }
    const bool color = (r_.misc_output & kColorPorts) != 0;
    if ((port & 0xfff0) != (color ? 0x3d0 : 0x3b0)) {
        return;
    }
    switch (port & 0x0f) {
    case 0x4:
        r_.crtc_index = value;
        break;
    case 0x5:
        write_crtc(value);
        break;
    case 0xa:
        r_.feature_control = value & 0x0b;
        break;
    default:
        break;
    }
}

/// "Attribute Controller Registers": index and data alternate at one port.
void Vga::write_attribute(u8 value)
{
    if (!r_.atc_data) {
        r_.atc_index = value & 0x3f;
    } else {
        const u8 index = r_.atc_index & 0x1f;
        if (index < atc::count) {
            r_.atc[index] = value & kAtcBits[index];
        }
    }
    r_.atc_data = !r_.atc_data;
}

void Vga::write_crtc(u8 value)
{
    const u8 index = r_.crtc_index;
    if (index >= crtc::count) {
        return;
    }
    const bool locked = (r_.crtc[crtc::retrace_end] & kProtectCrtc) != 0;
    if (locked && index <= crtc::overflow) {
        // "Vertical Retrace End", bit 7: only the line compare bit of the overflow register stays
        // writable.
        if (index == crtc::overflow) {
            r_.crtc[index] = static_cast<u8>((r_.crtc[index] & ~0x10) | (value & 0x10));
        }
        return;
    }
    r_.crtc[index] = value;
}

u8 Vga::read_dac()
{
    const u8 value = r_.dac[r_.dac_read_index * 3u + r_.dac_component];
    if (++r_.dac_component == 3) {
        r_.dac_component = 0;
        ++r_.dac_read_index;
    }
    return value;
}

void Vga::write_dac(u8 value)
{
    r_.dac_latch[r_.dac_component] = dispi_.eight_bit_dac() ? value : value & 0x3f;
    if (++r_.dac_component == 3) {
        std::copy(r_.dac_latch.begin(), r_.dac_latch.end(),
                  r_.dac.begin() + r_.dac_write_index * 3);
        r_.dac_component = 0;
        ++r_.dac_write_index;
    }
}

/// "Input Status Register 1": where the beam is at this virtual time.
u8 Vga::status_1()
{
    const Timing t = timing();
    const u64 in_frame = wiring_.clock.now_ns() % t.frame_ns;
    const u64 dot = in_frame * t.dots_per_line * t.lines / t.frame_ns;
    const u64 line = dot / t.dots_per_line;
    const bool displaying = line < t.visible_lines && dot % t.dots_per_line < t.visible_dots;
    const bool retrace = line >= t.retrace_start && line < u64{t.retrace_start} + t.retrace_lines;
    return static_cast<u8>((displaying ? 0 : 0x01) | (retrace ? 0x08 : 0));
}

void Vga::visit_state(StateVisitor& visitor)
{
    visitor.section("vga");
    VgaRegisters& r = r_;
    visitor.field("crtc", r.crtc);
    visitor.field("seq", r.seq);
    visitor.field("gfx", r.gfx);
    visitor.field("atc", r.atc);
    for (u8* field : {&r.crtc_index, &r.seq_index, &r.gfx_index, &r.atc_index, &r.misc_output,
                      &r.feature_control, &r.dac_mask, &r.dac_read_index, &r.dac_write_index,
                      &r.dac_component}) {
        visitor.field("register", *field);
    }
    visitor.field("atc_data", r.atc_data);
    visitor.field("dac_reading", r.dac_reading);
    visitor.field("dac_latch", r.dac_latch);
    visitor.bytes("dac", r.dac);
    visitor.field("latches", r.latches);
    dispi_.visit_state(visitor);
    visitor.bytes("vram", vram_.bytes());
    if (visitor.restoring()) {
        r.dac_component %= 3;
        registers_changed();
    }
}

} // namespace emu::devices::display
