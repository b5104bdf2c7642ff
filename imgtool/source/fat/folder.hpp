// A host folder with all that is in it, as it is to become a FAT volume.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <ctime>
#include <string>
#include <sys/types.h>
#include <vector>

namespace img::fat {

using base::Result;
using base::u64;
using base::u8;

struct Entry {
    std::string name;
    std::string path; // on the host
    bool is_folder = false;
    u64 size = 0; // bytes of a file
    std::time_t modified = 0;
    dev_t device = 0; // these two tell whether the file is still the same
    ino_t inode = 0;
    std::vector<Entry> members = {}; // of a folder, sorted by name
};

/// Reads a folder and the folders in it. Left out: devices, pipes and sockets, symbolic links to
/// folders, and those to files outside the folder. Errors: `io`, `unsupported` for what is too
/// much.
Result<Entry> read_folder(const std::string& path);

} // namespace img::fat
