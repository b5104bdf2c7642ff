// From registers and video memory to pixels: the raster that the CRT controller scans.
#include "emulator/devices/display/vga.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace emu::devices::display {

namespace {

constexpr u32 kShowPalette = 0x20;    // attribute index bit 5, "palette address source"
constexpr u32 kScreenOff = 0x20;      // clocking mode
constexpr u8 kDoubleScan = 0x80;      // maximum scan line
constexpr u8 kPanningReset = 0x20;    // attribute mode control: the lower half is not panned
constexpr u8 kInternalPalette = 0x80; // attribute mode control: bits 5:4 from colour select

// Shown while no mode has been programmed.
constexpr u32 kDefaultWidth = 720;
constexpr u32 kDefaultHeight = 400;

constexpr u32 expand_6(u32 value)
{
    return (value << 2) | (value >> 4);
}

constexpr u32 expand_5(u32 value)
{
    return (value << 3) | (value >> 2);
}

u32 rgb(u32 red, u32 green, u32 blue)
{
    return red << 16 | green << 8 | blue;
}

void fill_black(Frame& frame, u32 width, u32 height)
{
    frame.width = width;
    frame.height = height;
    frame.pixels.assign(std::size_t{width} * height, 0);
}

} // namespace

/// "CRT Controller": totals are stored less a few clocks, with their high bits in the overflow
/// register.
Vga::Timing Vga::timing() const
{
    constexpr u64 kSecond = 1'000'000'000;
    if (dispi_.enabled()) {
        const u32 lines = dispi_.height() + 28;
        return {dispi_.width() + 160, lines, dispi_.width(), dispi_.height(),
                dispi_.height() + 1,  3,     kSecond / 60};
    }
    const auto& c = r_.crtc;
    const u32 overflow = c[crtc::overflow];
    const u32 total =
        c[crtc::vertical_total] + ((overflow & 1) << 8) + ((overflow & 0x20) << 4) + 2;
    const u32 visible =
        c[crtc::vertical_display_end] + ((overflow & 2) << 7) + ((overflow & 0x40) << 3) + 1;
    const u32 retrace = c[crtc::retrace_start] + ((overflow & 4) << 6) + ((overflow & 0x80) << 2);
    const u32 retrace_end = c[crtc::retrace_end] & 15;
    const u32 width = dots_per_character();
    const u32 dots = (c[crtc::horizontal_total] + 5u) * width;
    const u64 clock = (r_.misc_output & 0x0c) == 0x04 ? 28'322'000 : 25'175'000; // Hz
    const u64 divided = half_clock() ? clock / 2 : clock;
    if (visible <= 1 || columns() <= 1) {
        return {900, 449, kDefaultWidth, kDefaultHeight, 412, 2, kSecond / 70};
    }
    if (total <= visible / 2) { // firmware of virtual machines (GRUB's) sets no more than the size
        return {columns() * width + 180,
                visible + 49,
                columns() * width,
                visible,
                visible + 12,
                2,
                kSecond / 70};
    }
    const u32 retrace_lines = (retrace_end - retrace) & 15;
    return {dots,
            total,
            columns() * width,
            visible,
            retrace,
            retrace_lines == 0 ? 16 : retrace_lines,
            std::max<u64>(u64{dots} * total * kSecond / divided, 1)};
}

u32 Vga::start_address() const
{
    const u32 start = u32{r_.crtc[crtc::start_high]} << 8 | r_.crtc[crtc::start_low];
    return start + ((r_.crtc[crtc::preset_row_scan] >> 5) & 3u); // byte panning
}

u32 Vga::line_compare() const
{
    return r_.crtc[crtc::line_compare] | ((r_.crtc[crtc::overflow] & 0x10u) << 4) |
           ((r_.crtc[crtc::maximum_scan_line] & 0x40u) << 3);
}

bool Vga::blanked() const
{
    return (r_.atc_index & kShowPalette) == 0 || (r_.seq[seq::clocking_mode] & kScreenOff) != 0;
}

bool Vga::blink_phase(unsigned frames) const
{
    return (wiring_.clock.now_ns() / timing().frame_ns / frames & 1) != 0;
}

u32 Vga::dac_color(u8 index) const
{
    const u8* entry = &r_.dac[index * 3u];
    if (dispi_.eight_bit_dac()) {
        return rgb(entry[0], entry[1], entry[2]);
    }
    return rgb(expand_6(entry[0] & 63u), expand_6(entry[1] & 63u), expand_6(entry[2] & 63u));
}

Vga::Palette Vga::palette() const
{
    Palette p{};
    for (unsigned i = 0; i < 256; ++i) {
        p.dac[i] = dac_color(static_cast<u8>(i & r_.dac_mask));
    }
    const u8 select = r_.atc[atc::color_select];
    const bool internal = (r_.atc[atc::mode_control] & kInternalPalette) != 0;
    for (unsigned i = 0; i < 16; ++i) {
        const u8 entry = r_.atc[i];
        const unsigned index = internal ? (entry & 0x0fu) | (select & 0x0fu) << 4
                                        : (entry & 0x3fu) | (select & 0x0cu) << 4;
        p.attribute[i] = p.dac[index];
    }
    return p;
}

void Vga::render(Frame& frame)
{
    if (dispi_.enabled()) {
        render_vbe(frame);
        return;
    }
    const Timing t = timing();
    fill_black(frame, t.visible_dots * (half_clock() ? 2 : 1), t.visible_lines);
    if (!blanked()) {
        render_scan(frame);
    }
}

void Vga::render_scan(Frame& frame) const
{
    const Palette colors = palette();
    const u32 compare = line_compare();
    const bool doubled = (r_.crtc[crtc::maximum_scan_line] & kDoubleScan) != 0;
    const u32 repeat = half_clock() ? 2 : 1;
    u32 panning = r_.atc[atc::panning] & 15;
    if (!graphics() && dots_per_character() == 9) {
        panning = panning >= 8 ? 0 : panning + 1; // "Horizontal PEL Panning": 8 means none
    } else {
        panning &= 7;
    }
    u32 address = start_address();
    u32 row = r_.crtc[crtc::preset_row_scan] & 31;
    std::vector<u32> dots;
    for (u32 y = 0; y < frame.height; ++y) {
        dots.clear();
        if (graphics()) {
            draw_graphics(address, row, dots, colors);
        } else {
            draw_text(address, row, dots, colors);
        }
        u32* line = frame.pixels.data() + std::size_t{y} * frame.width;
        for (u32 x = 0; x < frame.width; ++x) {
            const std::size_t from = x / repeat + panning;
            line[x] = from < dots.size() ? dots[from] : 0;
        }
        if (y == compare) {
            address = 0;
            row = 0;
            panning = (r_.atc[atc::mode_control] & kPanningReset) != 0 ? 0 : panning;
        } else if (doubled && (y & 1) == 0) {
            continue;
        } else if (row + 1 >= cell_height()) {
            row = 0;
            address += line_offset();
        } else {
            ++row;
        }
    }
}

/// "CRT Mode Control", bits 0 and 1: the CGA and Hercules compatibility that puts row scan bits
/// into the address. Word addresses are kept shifted down, so the bit is one lower there.
u32 Vga::scanned_address(u32 address, u32 row) const
{
    const u8 mode = r_.crtc[crtc::mode_control];
    const unsigned bit = (mode & 0x40) != 0 ? 13 : 12;
    if ((mode & 1) == 0) {
        address = (address & ~(1u << bit)) | (row & 1) << bit;
    }
    if ((mode & 2) == 0) {
        address = (address & ~(2u << bit)) | (row >> 1 & 1) << (bit + 1);
    }
    return address;
}

void Vga::draw_graphics(u32 address, u32 row, std::vector<u32>& dots, const Palette& p) const
{
    const u32 units = columns() + 1; // one more for panning
    const u8 enabled = r_.atc[atc::plane_enable] & 15;
    const unsigned shift_mode = (r_.gfx[gfx::mode] >> 5) & 3;
    for (u32 i = 0; i < units; ++i) {
        const u32 at = scanned_address(address + i, row);
        const std::array<u8, 4> planes{plane_byte(at, 0), plane_byte(at, 1), plane_byte(at, 2),
                                       plane_byte(at, 3)};
        if (shift_mode >= 2) { // 256 colours, two dots a pixel
            for (const u8 pixel : planes) {
                dots.push_back(p.dac[pixel]);
                dots.push_back(p.dac[pixel]);
            }
        } else if (shift_mode == 1) { // two bits a pixel, even bytes before odd ones
            for (unsigned half = 0; half < 2; ++half) {
                for (int shift = 6; shift >= 0; shift -= 2) {
                    const unsigned low = planes[half] >> shift & 3u;
                    const unsigned high = planes[half + 2] >> shift & 3u;
                    dots.push_back(p.attribute[(low | high << 2) & enabled]);
                }
            }
        } else {
            for (int shift = 7; shift >= 0; --shift) {
                const unsigned index = (planes[0] >> shift & 1u) | (planes[1] >> shift & 1u) << 1 |
                                       (planes[2] >> shift & 1u) << 2 |
                                       (planes[3] >> shift & 1u) << 3;
                dots.push_back(p.attribute[index & enabled]);
            }
        }
    }
}

void Vga::render_vbe(Frame& frame) const
{
    fill_black(frame, dispi_.width(), dispi_.height());
    const Palette colors = palette();
    const u8* memory = vram_bytes();
    const u64 mask = vram_mask_;
    for (u32 y = 0; y < frame.height; ++y) {
        u64 at = dispi_.start() + u64{y} * dispi_.pitch();
        u32* line = frame.pixels.data() + std::size_t{y} * frame.width;
        for (u32 x = 0; x < frame.width; ++x) {
            switch (dispi_.bits()) {
            case 4: {
                unsigned index = 0;
                for (unsigned plane = 0; plane < 4; ++plane) {
                    const u8 byte = plane_byte(static_cast<u32>(at + x / 8), plane);
                    index |= (byte >> (7 - x % 8) & 1u) << plane;
                }
                line[x] = colors.attribute[index];
                break;
            }
            case 8:
                line[x] = colors.dac[memory[(at + x) & mask]];
                break;
            case 15:
            case 16: {
                const u32 v = memory[(at + x * 2) & mask] | u32{memory[(at + x * 2 + 1) & mask]}
                                                                << 8;
                line[x] = dispi_.bits() == 15
                              ? rgb(expand_5(v >> 10 & 31), expand_5(v >> 5 & 31), expand_5(v & 31))
                              : rgb(expand_5(v >> 11), expand_6(v >> 5 & 63), expand_5(v & 31));
                break;
            }
            default: {
                const u64 bytes = dispi_.bits() / 8;
                const u64 pixel = at + x * bytes;
                line[x] = rgb(memory[(pixel + 2) & mask], memory[(pixel + 1) & mask],
                              memory[pixel & mask]);
                break;
            }
            }
        }
    }
}

std::string Vga::mode_name()
{
    if (dispi_.enabled()) {
        return fmt::format("{}x{}x{}", dispi_.width(), dispi_.height(), dispi_.bits());
    }
    const Timing t = timing();
    const u32 width = t.visible_dots * (half_clock() ? 2 : 1);
    if (!graphics()) {
        return fmt::format("{}x{} text {}x{}", width, t.visible_lines, columns(),
                           t.visible_lines / cell_height());
    }
    const unsigned shift_mode = (r_.gfx[gfx::mode] >> 5) & 3;
    const int bits = shift_mode >= 2 ? 8 : shift_mode == 1 ? 2 : 4;
    return fmt::format("{}x{}x{}", width, t.visible_lines, bits);
}

} // namespace emu::devices::display
