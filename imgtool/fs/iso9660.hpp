// CD-ROMs: ISO 9660 (ECMA-119, 4th edition), with Joliet and Rock Ridge (SUSP 1.12, RRIP 1.12).
#pragma once

#include "imgtool/fs/file_system.hpp"

namespace img::fs {

/// Error: `wrong_format` when the volume has no such file system.
Result<std::unique_ptr<FileSystem>> open_iso9660(const Volume& volume);

} // namespace img::fs
