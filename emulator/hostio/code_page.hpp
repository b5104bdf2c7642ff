// What text-mode screens say, in Unicode.
#pragma once

#include "emulator/devices/display/display_source.hpp"

#include <string>
#include <string_view>

namespace emu::hostio {

/// UTF-8 of a character of code page 437 as the VGA font draws it (0x01 is a smiling face).
/// 0x00, 0x20 and 0xff are blanks.
std::string_view code_page_437(u8 character);

/// The rows without blanks at their ends, joined with line feeds.
std::string screen_text(const TextScreen& screen);

} // namespace emu::hostio
