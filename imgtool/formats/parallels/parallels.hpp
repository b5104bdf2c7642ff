// Parallels expandable images (.hds).
#pragma once

#include "imgtool/format.hpp"

namespace img::parallels {

extern const FormatDriver kDriver;

} // namespace img::parallels
