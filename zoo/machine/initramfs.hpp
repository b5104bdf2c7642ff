// Makes an initramfs: a cpio archive in the newc form, gzipped, that depends on nothing but its
// entries.
//
// Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst. Entries are sorted,
// owned by root and dated 1970, so the same recipe and media give the same bytes (with the same
// zlib).
#pragma once

#include "base/result.hpp"
#include "zoo/recipe/recipe.hpp"

#include <functional>

namespace zoo {

/// The path of a media's file.
using FindMedia = std::function<base::Result<std::filesystem::path>(const std::string& name)>;

/// Folders that an entry's path needs are made. Errors: `invalid_argument` when an entry appears
/// twice or lies below a file, `io`.
base::Result<std::string> make_cpio(const Build& build, const FindMedia& find);
base::Result<std::string> gzip(std::string_view bytes);

} // namespace zoo
