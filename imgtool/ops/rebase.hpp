// Putting an image onto another backing file without changing what it reads as.
#pragma once

#include "imgtool/chain/chain.hpp"

#include <functional>
#include <optional>

namespace img {

struct RebaseOptions {
    /// When the new backing file is one of the disk's own chain: its place there. What the layers
    /// between do not hold need not be looked at.
    std::optional<std::size_t> kept_depth = {};
    /// Compresses what is copied, where that makes whole clusters smaller. The top image's format
    /// must be able to.
    bool compress = false;
    /// Called now and then; false stops.
    std::function<bool(u64 done, u64 total)> progress = {};
};

/// Writes into the top image all that would read differently over `new_backing` (null: over
/// nothing), and flushes it; referring to the new backing file is then up to the caller.
/// Error: `invalid_argument` when stopped, which leaves a disk that reads as before.
Status copy_for_rebase(ChainDisk& disk, ChainDisk* new_backing, const RebaseOptions& options);

} // namespace img
