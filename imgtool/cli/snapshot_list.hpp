// The list of an image's internal snapshots, as `info` and `snapshot -l` print it.
#pragma once

#include "imgtool/image.hpp"

#include <vector>

namespace img::cli {

void print_snapshot_list(const std::vector<SnapshotInfo>& snapshots);

} // namespace img::cli
