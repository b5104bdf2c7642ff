// Putting another header in the place of one.
#pragma once

#include "imgtool/formats/qcow2/layout.hpp"

namespace img::qcow2 {

/// Makes `header` that of the image, whose own is `old`. Disks write sectors of 512 bytes whole,
/// but not what is longer; and extensions and the backing file's name may lie in later sectors. Cut
/// anywhere, one of the two headers is in the file, with all that belongs to it.
/// Error: `invalid_argument` when it does not fit.
base::Status replace_header(ByteSource& file, const Header& old, Header& header);

} // namespace img::qcow2
