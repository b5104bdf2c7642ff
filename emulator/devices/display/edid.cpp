#include "emulator/devices/display/edid.hpp"

#include <algorithm>
#include <string_view>

namespace emu::devices::display {

namespace {

using base::u8;

// VESA "Display Monitor Timing" 1024x768 at 60 Hz: 65 MHz, 1344 x 806 in total.
constexpr std::array<u8, 18> kPreferredTiming{
    0x64, 0x19,       // pixel clock in units of 10 kHz
    0x00, 0x40, 0x41, // 1024 visible, 320 blank
    0x00, 0x26, 0x30, // 768 visible, 38 blank
    0x18, 0x88, 0x36, // sync: 24 after, 136 wide; 3 after, 6 high
    0x00, 0x40, 0xf0, // 320 x 240 mm
    0x10, 0x00, 0x00, // their high bits, no border
    0x18              // not interlaced, digital separate sync, both negative
};

constexpr std::string_view kName = "Menagerie\n   "; // 13 bytes, ended by a line feed

} // namespace

std::array<u8, 128> make_edid()
{
    std::array<u8, 128> edid{};
    std::fill_n(edid.begin() + 1, 6, u8{0xff});
    edid[8] = 0x35; // "MNG", five bits a letter
    edid[9] = 0xc7;
    edid[10] = 0x01; // product
    edid[17] = 10;   // made in 2000
    edid[18] = 1;    // EDID 1.4
    edid[19] = 4;
    edid[20] = 0xa0; // digital, 8 bits a colour
    edid[21] = 32;   // cm
    edid[22] = 24;
    edid[23] = 120;  // gamma 2.2
    edid[24] = 0x06; // sRGB, the first timing is the preferred one
    // Chromaticity of sRGB, as table 3.19 packs it.
    constexpr std::array<u8, 10> kSrgb{0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54};
    std::ranges::copy(kSrgb, edid.begin() + 25);
    edid[35] = 0x21;                              // 640x480 and 800x600 at 60 Hz
    edid[36] = 0x08;                              // 1024x768 at 60 Hz
    std::fill_n(edid.begin() + 38, 16, u8{0x01}); // no standard timings
    std::ranges::copy(kPreferredTiming, edid.begin() + 54);
    edid[72 + 3] = 0xfc; // descriptor: the monitor's name
    std::ranges::copy(kName, edid.begin() + 72 + 5);
    edid[90 + 3] = 0x10; // two dummy descriptors
    edid[108 + 3] = 0x10;
    unsigned sum = 0;
    for (const u8 byte : edid) {
        sum += byte;
    }
    edid[127] = static_cast<u8>(0 - sum);
    return edid;
}

} // namespace emu::devices::display
