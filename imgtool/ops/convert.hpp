// Copying disks into an image.
#pragma once

#include "imgtool/chain/chain.hpp"
#include "imgtool/ops/convert_plan.hpp"
#include "imgtool/zero_scan.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace img {

struct ConvertOptions {
    u64 sparse_size = 4096; // bytes of zeroes that are left out; 0: none
    bool compress = false;
    bool target_is_zero = true;      // a new image without a backing file
    bool target_has_backing = false; // what the source's top image lacks is in the target's backing
    bool own_zeroes = false;         // zeroes are stored, not left to what shows through
    bool offload = false;            // the host copies what it can, which is not looked at (`-C`)
    unsigned threads = 0;            // at most so many; 0: as many as the host has processors
    /// Called now and then, in the disk's order, from one thread at a time; false stops the
    /// conversion.
    std::function<bool(u64 done, u64 total)> progress = {};
    /// When set, what cannot be read is told here (bytes of the source disk) and is zero in the
    /// target (`--salvage`). Called from one thread at a time.
    LossSink salvage = {};
    /// The same for what is not even known to be data or a hole; it is read then.
    LossSink salvage_status = {};
    /// When set, called before each write of so many bytes, to slow it down (`-r`).
    std::function<void(u64 bytes)> throttle = {};
};

/// Copies the sources, one after the other, to the beginning of the target. The target must be
/// large enough. Nothing is flushed. What is written, and where in the target's file, does not
/// depend on the number of threads. Error: `invalid_argument` when stopped.
Status convert(const std::vector<std::unique_ptr<ChainDisk>>& sources, ChainDisk& target,
               const ConvertOptions& options);

} // namespace img
