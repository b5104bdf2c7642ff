#include "emulator/hostio/sdl_keys.hpp"

#include <SDL_scancode.h>

namespace emu::hostio {

namespace {

struct Row {
    SDL_Scancode sdl;
    std::string_view name;
};

constexpr Row kRows[] = {
    {SDL_SCANCODE_RETURN, "ret"},
    {SDL_SCANCODE_ESCAPE, "esc"},
    {SDL_SCANCODE_BACKSPACE, "backspace"},
    {SDL_SCANCODE_TAB, "tab"},
    {SDL_SCANCODE_SPACE, "spc"},
    {SDL_SCANCODE_MINUS, "minus"},
    {SDL_SCANCODE_EQUALS, "equal"},
    {SDL_SCANCODE_LEFTBRACKET, "bracket_left"},
    {SDL_SCANCODE_RIGHTBRACKET, "bracket_right"},
    {SDL_SCANCODE_BACKSLASH, "backslash"},
    {SDL_SCANCODE_NONUSHASH, "backslash"},
    {SDL_SCANCODE_SEMICOLON, "semicolon"},
    {SDL_SCANCODE_APOSTROPHE, "apostrophe"},
    {SDL_SCANCODE_GRAVE, "grave_accent"},
    {SDL_SCANCODE_COMMA, "comma"},
    {SDL_SCANCODE_PERIOD, "dot"},
    {SDL_SCANCODE_SLASH, "slash"},
    {SDL_SCANCODE_CAPSLOCK, "caps_lock"},
    {SDL_SCANCODE_PRINTSCREEN, "print"},
    {SDL_SCANCODE_SCROLLLOCK, "scroll_lock"},
    {SDL_SCANCODE_PAUSE, "pause"},
    {SDL_SCANCODE_INSERT, "insert"},
    {SDL_SCANCODE_HOME, "home"},
    {SDL_SCANCODE_PAGEUP, "pgup"},
    {SDL_SCANCODE_DELETE, "delete"},
    {SDL_SCANCODE_END, "end"},
    {SDL_SCANCODE_PAGEDOWN, "pgdn"},
    {SDL_SCANCODE_RIGHT, "right"},
    {SDL_SCANCODE_LEFT, "left"},
    {SDL_SCANCODE_DOWN, "down"},
    {SDL_SCANCODE_UP, "up"},
    {SDL_SCANCODE_NUMLOCKCLEAR, "num_lock"},
    {SDL_SCANCODE_KP_DIVIDE, "kp_divide"},
    {SDL_SCANCODE_KP_MULTIPLY, "kp_multiply"},
    {SDL_SCANCODE_KP_MINUS, "kp_subtract"},
    {SDL_SCANCODE_KP_PLUS, "kp_add"},
    {SDL_SCANCODE_KP_ENTER, "kp_enter"},
    {SDL_SCANCODE_KP_PERIOD, "kp_decimal"},
    {SDL_SCANCODE_KP_0, "kp_0"},
    {SDL_SCANCODE_NONUSBACKSLASH, "less"},
    {SDL_SCANCODE_APPLICATION, "menu"},
    {SDL_SCANCODE_LCTRL, "ctrl"},
    {SDL_SCANCODE_LSHIFT, "shift"},
    {SDL_SCANCODE_LALT, "alt"},
    {SDL_SCANCODE_LGUI, "meta_l"},
    {SDL_SCANCODE_RCTRL, "ctrl_r"},
    {SDL_SCANCODE_RSHIFT, "shift_r"},
    {SDL_SCANCODE_RALT, "alt_r"},
    {SDL_SCANCODE_RGUI, "meta_r"},
    {SDL_SCANCODE_0, "0"},
};

} // namespace

std::optional<KeyCode> sdl_key(int scancode)
{
    // Runs of letters, digits and function keys have names that follow from their order.
    if (scancode >= SDL_SCANCODE_A && scancode <= SDL_SCANCODE_Z) {
        const char name = static_cast<char>('a' + scancode - SDL_SCANCODE_A);
        return find_key({&name, 1});
    }
    if (scancode >= SDL_SCANCODE_1 && scancode <= SDL_SCANCODE_9) {
        const char name = static_cast<char>('1' + scancode - SDL_SCANCODE_1);
        return find_key({&name, 1});
    }
    if (scancode >= SDL_SCANCODE_F1 && scancode <= SDL_SCANCODE_F12) {
        return find_key("f" + std::to_string(1 + scancode - SDL_SCANCODE_F1));
    }
    if (scancode >= SDL_SCANCODE_KP_1 && scancode <= SDL_SCANCODE_KP_9) {
        return find_key("kp_" + std::to_string(1 + scancode - SDL_SCANCODE_KP_1));
    }
    for (const Row& row : kRows) {
        if (row.sdl == scancode) {
            return find_key(row.name);
        }
    }
    return std::nullopt;
}

} // namespace emu::hostio
