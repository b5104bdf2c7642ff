// SDL's scan codes as our key numbers.
#pragma once

#include "emulator/hostio/keys.hpp"

namespace emu::hostio {

/// `scancode` is an SDL_Scancode. Nothing for keys a PC keyboard lacks.
std::optional<KeyCode> sdl_key(int scancode);

} // namespace emu::hostio
