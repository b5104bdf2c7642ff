// ext2, ext3 and ext4 (Linux kernel documentation: filesystems/ext4, "the ext4 pages" here).
#pragma once

#include "imgtool/fs/file_system.hpp"

namespace img::fs {

/// Error: `wrong_format` when the volume has no such file system.
Result<std::unique_ptr<FileSystem>> open_ext(const Volume& volume);

} // namespace img::fs
