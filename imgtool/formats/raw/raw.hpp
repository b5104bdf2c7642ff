// Raw images: the bytes of the disk, as they are.
#pragma once

#include "imgtool/format.hpp"

namespace img::raw {

extern const FormatDriver kDriver;

} // namespace img::raw
