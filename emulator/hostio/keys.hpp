// Keys by name and by character, for windows, terminals, monitors and scripts. The table of keys is
// the keyboard's own (devices/input/key_codes.hpp); here are the ways people write them.
#pragma once

#include "base/result.hpp"
#include "emulator/devices/input/key_codes.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace emu::hostio {

using devices::KeyCode;

inline constexpr KeyCode kKeyLeftShift = devices::kKeyLeftShift;
inline constexpr KeyCode kKeyLeftCtrl = 0x1d;
inline constexpr KeyCode kKeyLeftAlt = 0x38;

/// A name, or a set-1 scan code as in "0x3b".
std::optional<KeyCode> find_key(std::string_view name);

/// "ctrl-alt-delete". The error names the part that is no key.
base::Result<std::vector<KeyCode>> parse_chord(std::string_view text);

using KeyStroke = devices::TypedKey;

/// The key that gives a character on a US keyboard; \n is Enter, \t Tab, \b Backspace, ESC Escape.
std::optional<KeyStroke> us_key(char character);

} // namespace emu::hostio
