// QED, the QEMU Enhanced Disk format.
#pragma once

#include "imgtool/format.hpp"

namespace img::qed {

extern const FormatDriver kDriver;

} // namespace img::qed
