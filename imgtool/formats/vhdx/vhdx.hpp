#pragma once

#include "imgtool/format.hpp"

namespace img::vhdx {

/// Microsoft VHDX: fixed and dynamic disks.
extern const FormatDriver kDriver;

} // namespace img::vhdx
