// Apple disk images (UDIF), which are only read.
#pragma once

#include "imgtool/format.hpp"

namespace img::dmg {

extern const FormatDriver kDriver;

} // namespace img::dmg
