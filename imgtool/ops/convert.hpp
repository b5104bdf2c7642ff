// Copying disks into an image.
#pragma once

#include "imgtool/chain/chain.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace img {

struct ConvertOptions {
    u64 sparse_size = 4096; // bytes of zeroes that are left out; 0: none
    bool compress = false;
    bool target_is_zero = true;      // a new image without a backing file
    bool target_has_backing = false; // what the source's top image lacks is in the target's backing
    /// Called now and then; false stops the conversion.
    std::function<bool(u64 done, u64 total)> progress = {};
};

/// Copies the sources, one after the other, to the beginning of the target. The target must be
/// large enough. Nothing is flushed. Error: `invalid_argument` when stopped.
Status convert(const std::vector<std::unique_ptr<ChainDisk>>& sources, ChainDisk& target,
               const ConvertOptions& options);

/// Whether all bytes are zero.
bool is_zero(std::span<const u8> bytes);

} // namespace img
