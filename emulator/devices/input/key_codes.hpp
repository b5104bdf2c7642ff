// Names and scan codes of the keys of a 105-key PC keyboard, and how text is typed on it.
//
// Sources: Microsoft "Keyboard Scan Code Specification" 1.3a, appendix A (sets 1, 2 and 3); IBM
// "PS/2 Hardware Interface Technical Reference", "Keyboard". Key names are those monitors and
// scripts of PC emulators use ("ret", "spc", "shift", "pgup").
#pragma once

#include "base/types.hpp"

#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace emu::devices {

using base::u8;

/// Identifies a key: its set 1 make code, plus 80h when that is prefixed by E0h. Pause, whose code
/// is a sequence of its own, is kKeyPause; Print Screen is kKeyPrint.
using KeyCode = u8;

inline constexpr KeyCode kKeyLeftShift = 0x2a;
inline constexpr KeyCode kKeyPrint = 0xb7;
inline constexpr KeyCode kKeyPause = 0xc6;

struct KeyInfo {
    std::string_view name;
    KeyCode code;
    u8 set2; // make code, after E0h when `code` has bit 7
    u8 set3; // make code, never prefixed
};

/// Every key once, in order of `code`.
std::span<const KeyInfo> all_keys();
const KeyInfo* find_key(KeyCode code);
/// Also knows aliases ("enter", "esc", "page_up"). Nothing for an unknown name.
std::optional<KeyCode> key_by_name(std::string_view name);

/// "ctrl-alt-delete" → the keys to hold, in order. Nothing when a part is unknown.
std::optional<std::vector<KeyCode>> parse_chord(std::string_view chord);

struct TypedKey {
    KeyCode code;
    bool shift;
};

/// How a character is typed on the US layout; '\n' is Return, '\t' Tab, '\b' Backspace.
std::optional<TypedKey> key_for_character(char character);

/// What an 8042 makes of a set 2 byte when translation is on.
u8 translate_to_set1(u8 set2);

/// The payload keyboards take from the machine's input door: one key going down or up.
constexpr std::array<u8, 2> keyboard_payload(KeyCode code, bool pressed)
{
    return {code, static_cast<u8>(pressed ? 1 : 0)};
}

} // namespace emu::devices
