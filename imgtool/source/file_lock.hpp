// Locks that keep two writers off one image file.
//
// They are the open-file-description locks that QEMU takes (its documentation: docs/system/
// qemu-block-drivers, "Disk image file locking"), so that QEMU's tools and ours respect each other.
#pragma once

#include "base/result.hpp"

#include <string>

namespace img {

/// `off` is the user's explicit wish (`-U`) or for readers that share with a writer.
enum class Locking { on, off };

/// Takes the lock of a reader or writer on an open file; closing the file gives it back.
/// The error names the holder where the system tells.
base::Status lock_image(int fd, const std::string& path, bool writable, Locking locking);

} // namespace img
