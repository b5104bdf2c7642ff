// What can be said when a qcow2 image is opened.
#pragma once

#include "imgtool/format.hpp"

namespace img::qcow2 {

extern const std::span<const CreateOption> kOpenOptions;

/// Checks options' ranges, as QEMU does. Sizes of caches and the like are hints that we do not
/// take.
Status check_open_options(const CreateSettings& options, u64 cluster_size);

} // namespace img::qcow2
