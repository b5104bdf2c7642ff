// Keys by name (as QEMU's `sendkey` and QMP call them) and by the character on a US keyboard.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace emu::hostio {

/// A key's number: the Linux input event code (linux/input-event-codes.h, KEY_*), which for the
/// keys of the first PC keyboards is their scan code of set 1.
using KeyCode = base::u16;

inline constexpr KeyCode kKeyLeftShift = 42;
inline constexpr KeyCode kKeyLeftCtrl = 29;
inline constexpr KeyCode kKeyLeftAlt = 56;

std::optional<KeyCode> find_key(std::string_view name);

/// "ctrl-alt-delete": names, or set-1 scan codes as in "0x3b", joined with '-'.
base::Result<std::vector<KeyCode>> parse_chord(std::string_view text);

struct KeyStroke {
    KeyCode key;
    bool shift;
};

/// The key that gives a character on a US keyboard; \n is Enter, \t Tab, \b Backspace, ESC Escape.
std::optional<KeyStroke> us_key(char character);

/// All names, sorted, for messages and tests.
std::vector<std::string_view> key_names();

} // namespace emu::hostio
