// Copying files and folders out of a file system.
#pragma once

#include "imgtool/fs/file_system.hpp"

#include <functional>

namespace img::fs {

struct ExtractOptions {
    /// Is told what was left out, and why.
    std::function<void(const std::string& path, const std::string& why)> skipped;
    /// Called now and then with the bytes copied since; false stops.
    std::function<bool(u64 bytes)> progress = {};
};

/// Makes `node` the file or folder `target` on the host. Folders that are there are added to; what
/// else is there is left as it is. No link is followed, nothing is made outside of `target`,
/// whatever the names and links on the disk are.
/// Modes are kept without set-user-ID and the like; devices and sockets are left out.
Status extract(FileSystem& file_system, const Node& node, const std::string& target,
               const ExtractOptions& options);

/// Hands all bytes of a file to `take`, in order.
Status read_file(FileSystem& file_system, const Node& file,
                 const std::function<Status(u64 offset, std::span<const u8> bytes)>& take);

} // namespace img::fs
