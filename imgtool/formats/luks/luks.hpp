// LUKS, version 1, as an image format: an encrypted disk behind its header.
#pragma once

#include "imgtool/format.hpp"

namespace img::luks {

extern const FormatDriver kDriver;

} // namespace img::luks
