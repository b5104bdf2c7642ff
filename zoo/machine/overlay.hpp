// The one place where the zoo makes disk images: through imgtool's library.
#pragma once

#include "base/result.hpp"

#include <filesystem>
#include <string>

namespace zoo {

/// A qcow2 image that holds what is written, over the file `base` that stays as it is.
base::Status make_overlay(const std::filesystem::path& overlay, const std::filesystem::path& base,
                          const std::string& base_format);

} // namespace zoo
