// Finding and reading the files a machine starts from.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <string>
#include <vector>

namespace emu::cli {

/// Reads a whole file of at most `limit` bytes.
base::Result<std::vector<base::u8>> read_file(const std::string& path, base::u64 limit);

/// Reads a firmware file: a path, or a name looked for in `folders` (-L) and where Debian's
/// packages `seabios` and `vgabios` put theirs. The error says where it was looked for.
base::Result<std::vector<base::u8>> read_firmware(const std::string& name,
                                                  const std::vector<std::string>& folders);

} // namespace emu::cli
