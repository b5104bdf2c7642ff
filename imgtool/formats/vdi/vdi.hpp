// VDI, VirtualBox's images.
#pragma once

#include "imgtool/format.hpp"

namespace img::vdi {

extern const FormatDriver kDriver;

} // namespace img::vdi
