// qcow, version 1: QEMU's first copy-on-write format.
#pragma once

#include "imgtool/format.hpp"

namespace img::qcow {

extern const FormatDriver kDriver;

} // namespace img::qcow
