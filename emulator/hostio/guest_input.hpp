// Keys and mouse movements on their way to the guest. Any thread may call any function here.
#pragma once

#include "emulator/hostio/keys.hpp"

#include <span>

namespace emu::hostio {

enum class MouseButton : base::u8 { left = 1, right = 2, middle = 4 };

/// Where windows, terminals, monitors and scripts send input; the program connects it to the
/// machine's input door.
class GuestInput {
public:
    virtual ~GuestInput() = default;
    virtual void key(KeyCode key, bool down) = 0;

    /// Mickeys, right and down positive; `wheel` up positive; `buttons` is a set of MouseButton.
    virtual void mouse(int dx, int dy, int wheel, base::u8 buttons) = 0;
};

} // namespace emu::hostio
