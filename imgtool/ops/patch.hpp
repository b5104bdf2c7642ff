// Applying a delta to a disk.
#pragma once

#include "imgtool/chain/chain.hpp"
#include "imgtool/ops/delta.hpp"

#include <functional>

namespace img {

using PatchProgress = std::function<bool(u64 done, u64 total)>;

/// Whether the disk is the one that the delta was made from. Error: `invalid_argument` when not.
Status check_base(ChainDisk& disk, const DeltaHeader& header, const PatchProgress& progress = {});

/// Makes `target`, which reads as zero, a copy of the disk up to the target's end.
Status copy_disk(ChainDisk& disk, ChainDisk& target, const PatchProgress& progress = {});

/// Writes what the delta has, whose size `target` has, and checks that the outcome is the disk that
/// the delta leads to.
Status apply_delta(DeltaReader& delta, ChainDisk& target, const PatchProgress& progress = {});

} // namespace img
