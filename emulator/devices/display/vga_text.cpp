// Alphanumeric modes: characters in plane 0, attributes in plane 1, fonts in plane 2.
#include "emulator/devices/display/vga.hpp"

#include <algorithm>

namespace emu::devices::display {

namespace {

constexpr u8 kBlinkEnable = 0x08;  // attribute mode control
constexpr u8 kLineGraphics = 0x04; // C0h-DFh repeat their eighth dot in the ninth
constexpr u8 kMonochrome = 0x02;
constexpr u8 kCursorOff = 0x20; // cursor start
constexpr unsigned kCursorFrames = 16;
constexpr unsigned kBlinkFrames = 32;
constexpr u32 kFontBytes = 32; // per character

} // namespace

/// "Character Map Select": eight 8 KiB maps in plane 2, interleaved as the two bit groups say.
u32 Vga::font_offset(bool second) const
{
    constexpr std::array<u32, 8> kMaps{0x0000, 0x4000, 0x8000, 0xc000,
                                       0x2000, 0x6000, 0xa000, 0xe000};
    const u8 select = r_.seq[seq::character_map];
    const unsigned a = (select >> 2 & 3u) | (select >> 3 & 4u); // attribute bit 3 set
    const unsigned b = (select & 3u) | (select >> 2 & 4u);
    return kMaps[second ? a : b];
}

void Vga::draw_text(u32 address, u32 row, std::vector<u32>& dots, const Palette& p) const
{
    const u8 mode = r_.atc[atc::mode_control];
    const bool blink_enabled = (mode & kBlinkEnable) != 0;
    const bool hide_blinking = blink_enabled && blink_phase(kBlinkFrames);
    const bool two_fonts = font_offset(true) != font_offset(false);
    const u32 cursor = u32{r_.crtc[crtc::cursor_high]} << 8 | r_.crtc[crtc::cursor_low];
    const u8 cursor_start = r_.crtc[crtc::cursor_start];
    const bool cursor_row = (cursor_start & kCursorOff) == 0 && row >= (cursor_start & 31u) &&
                            row <= (r_.crtc[crtc::cursor_end] & 31u) && !blink_phase(kCursorFrames);
    const bool nine = dots_per_character() == 9;
    const u32 underline = r_.crtc[crtc::underline] & 31;
    for (u32 i = 0; i <= columns(); ++i) {
        const u32 at = address + i;
        const u8 character = plane_byte(at, 0);
        const u8 attribute = plane_byte(at, 1);
        const bool second = two_fonts && (attribute & 8) != 0;
        u32 pattern = plane_byte(font_offset(second) + character * kFontBytes + row, 2);
        pattern <<= 1;
        const bool joins = (character & 0xe0) == 0xc0 && (mode & kLineGraphics) != 0;
        if (joins) {
            pattern |= pattern >> 1 & 1;
        }
        const bool underlined =
            (mode & kMonochrome) != 0 && (attribute & 7) == 1 && row == underline;
        if ((hide_blinking && (attribute & 0x80) != 0) && !underlined) {
            pattern = 0;
        }
        if (underlined || (cursor_row && at == cursor)) {
            pattern = 0x1ff;
        }
        const u32 foreground = p.attribute[attribute & 15];
        const u32 background = p.attribute[attribute >> 4 & (blink_enabled ? 7 : 15)];
        for (unsigned dot = 0; dot < (nine ? 9u : 8u); ++dot) {
            dots.push_back((pattern >> (8 - dot) & 1) != 0 ? foreground : background);
        }
    }
}

std::optional<TextScreen> Vga::text()
{
    if (dispi_.enabled() || graphics()) {
        return std::nullopt;
    }
    const Timing t = timing();
    const bool doubled = (r_.crtc[crtc::maximum_scan_line] & 0x80) != 0;
    TextScreen screen;
    screen.columns = columns();
    screen.rows = std::max(t.visible_lines / (cell_height() * (doubled ? 2 : 1)), 1u);
    const u32 start = start_address();
    for (u32 row = 0; row < screen.rows; ++row) {
        for (u32 column = 0; column < screen.columns; ++column) {
            const u32 at = start + row * line_offset() + column;
            screen.characters.push_back(plane_byte(at, 0));
            screen.attributes.push_back(plane_byte(at, 1));
        }
    }
    const u32 cursor = u32{r_.crtc[crtc::cursor_high]} << 8 | r_.crtc[crtc::cursor_low];
    const u32 inside = cursor - start;
    if (cursor >= start && line_offset() != 0) {
        screen.cursor_row = inside / line_offset();
        screen.cursor_column = inside % line_offset();
        screen.cursor_visible = (r_.crtc[crtc::cursor_start] & kCursorOff) == 0 &&
                                screen.cursor_row < screen.rows &&
                                screen.cursor_column < screen.columns;
    }
    return screen;
}

} // namespace emu::devices::display
