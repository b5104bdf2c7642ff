// What a display adapter shows, for windows, screenshots and scripts. Reading it never changes
// guest state, and the picture is a function of guest state and virtual time alone.
#pragma once

#include "base/types.hpp"

#include <optional>
#include <string>
#include <vector>

namespace emu {

using base::u16;
using base::u32;
using base::u8;

struct Frame {
    u32 width = 0;           // pixels
    u32 height = 0;          // pixels
    std::vector<u32> pixels; // 0x00RRGGBB, row by row, no padding
};

struct TextScreen {
    u32 columns = 0;
    u32 rows = 0;
    std::vector<u8> characters; // code page 437, columns * rows
    std::vector<u8> attributes; // VGA attribute bytes
    bool cursor_visible = false;
    u32 cursor_column = 0;
    u32 cursor_row = 0;
};

class DisplaySource {
public:
    virtual ~DisplaySource() = default;

    /// Draws the current picture into `frame`, resizing it as needed. A blanked screen is black.
    virtual void render(Frame& frame) = 0;

    /// The characters on screen, or nothing in a graphics mode.
    virtual std::optional<TextScreen> text() = 0;

    /// "720x400 text 80x25", "1024x768x32": for titles and reports.
    virtual std::string mode_name() = 0;
};

} // namespace emu
