// Input steps as lists of presses and movements.
#pragma once

#include "emulator/script/script.hpp"

namespace emu::script {

/// Errors name the character that a US keyboard does not have.
base::Result<std::vector<InputAction>> type_program(const std::string& text, u64 gap_ns);

/// Errors name the unknown key.
base::Result<std::vector<InputAction>> key_program(const std::string& chord, u64 hold_ns,
                                                   u32 repeat);

struct MouseRequest {
    int dx = 0;
    int dy = 0;
    int wheel = 0;
    u8 press = 0; // sets of hostio::MouseButton
    u8 click = 0;
    u8 double_click = 0;
    u8 release = 0;
};
std::vector<InputAction> mouse_program(const MouseRequest& request);

} // namespace emu::script
