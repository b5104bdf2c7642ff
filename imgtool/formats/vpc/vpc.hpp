#pragma once

#include "imgtool/format.hpp"

namespace img::vpc {

/// Microsoft VHD, called "vpc" as in qemu-img: fixed, dynamic and differencing disks.
extern const FormatDriver kDriver;

} // namespace img::vpc
