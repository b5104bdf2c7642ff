// Finding and reading the files a machine starts from.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <string>
#include <vector>

namespace emu::cli {

/// Reads a whole file of at most `limit` bytes.
base::Result<std::vector<base::u8>> read_file(const std::string& path, base::u64 limit);

/// Where firmware is looked for after the folders of -L: what is installed with the program
/// (<prefix>/share/menagerie/firmware), then the build's MENAGERIE_FIRMWARE_PATH, by default where
/// Debian's packages put theirs.
std::vector<std::string> default_firmware_folders();

/// Reads a firmware file: a path, or a name looked for in `folders` (-L) and in the default ones.
/// The error says where it was looked for.
base::Result<std::vector<base::u8>> read_firmware(const std::string& name,
                                                  const std::vector<std::string>& folders);

} // namespace emu::cli
