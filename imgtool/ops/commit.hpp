// Writing what overlays hold into the image under them.
#pragma once

#include "imgtool/chain/chain.hpp"

#include <functional>

namespace img {

struct CommitOptions {
    /// Called now and then; false stops. `copied` are the bytes moved since the last call.
    std::function<bool(u64 done, u64 total, u64 copied)> progress = {};
};

/// Copies all that the layers of `overlays` have (their own backing file must not be among them)
/// into `target`, makes that as large as the overlays if it is smaller, and flushes it.
/// Error: `invalid_argument` when stopped; the overlays are as they were.
Status commit(ChainDisk& overlays, ChainDisk& target, const CommitOptions& options);

} // namespace img
