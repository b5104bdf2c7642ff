// The identification data a monitor sends, so that guests know which resolution suits it.
//
// Source: VESA "Enhanced EDID Standard", release A, revision 2 (EDID 1.4), section 3.
#pragma once

#include "base/types.hpp"

#include <array>

namespace emu::devices::display {

/// A digital monitor that prefers 1024x768 at 60 Hz and also names 640x480 and 800x600.
std::array<base::u8, 128> make_edid();

} // namespace emu::devices::display
