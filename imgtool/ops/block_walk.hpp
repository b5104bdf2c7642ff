// Going through a disk's content block by block on all cores, at no cost for what is known to be
// zero.
#pragma once

#include "imgtool/chain/chain.hpp"

#include <functional>
#include <memory>
#include <span>

namespace img {

/// What one thread does with blocks.
class BlockWorker {
public:
    virtual ~BlockWorker() = default;

    /// Beside other threads: a block with something in it. The disk's last one may be shorter.
    virtual Status work(u64 offset, std::span<const u8> bytes) = 0;
    /// In the disk's order, one thread at a time: the block that work() was given last, or a range
    /// of whole blocks that are zero (which may end with the disk).
    virtual Status pass(u64 offset, u64 length, bool zero) = 0;
};

struct BlockWalk {
    u64 block_size;       // bytes, a power of two
    unsigned threads = 0; // at most so many; 0: as many as the host has processors
    /// Called in order; false stops.
    std::function<bool(u64 done, u64 total)> progress = {};
    std::function<Result<std::unique_ptr<BlockWorker>>()> make_worker;
};

/// Error: `invalid_argument` when stopped.
Status walk_blocks(ChainDisk& disk, const BlockWalk& options);

} // namespace img
