// Taking persistent bitmaps along when an image is copied.
#pragma once

#include "imgtool/image.hpp"

#include <functional>
#include <string>

namespace img {

/// Makes all bitmaps of `from` in `to`, with their bits. Those that cannot be relied on are
/// refused, or with `skip_broken` told and left out. Error: `unsupported` when one of the images
/// has no bitmaps.
Status copy_bitmaps(Image& from, Image& to, bool skip_broken,
                    const std::function<void(const std::string& name)>& skipped);

/// Whether copy_bitmaps() would refuse because a bitmap cannot be relied on; its name.
std::string find_broken_bitmap(Image& image);

} // namespace img
