// FAT12, FAT16 and FAT32 (Microsoft Extensible Firmware Initiative FAT32 File System
// Specification, version 1.03, "the FAT specification" here).
#pragma once

#include "imgtool/fs/file_system.hpp"

namespace img::fs {

/// Error: `wrong_format` when the volume has no such file system.
Result<std::unique_ptr<FileSystem>> open_fat(const Volume& volume);

} // namespace img::fs
