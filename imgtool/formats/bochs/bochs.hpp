// Bochs' growing disk images, which are only read.
#pragma once

#include "imgtool/format.hpp"

namespace img::bochs {

extern const FormatDriver kDriver;

} // namespace img::bochs
