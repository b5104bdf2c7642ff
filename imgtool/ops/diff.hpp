// Where two disks differ.
#pragma once

#include "imgtool/chain/chain.hpp"

#include <functional>
#include <span>

namespace img {

/// A range in which the first disk is not as the second.
struct Difference {
    u64 offset; // bytes; ranges begin and end at multiples of 512 or with the disk
    u64 length; // bytes
    /// What the second disk has there; empty: zeroes.
    std::span<const u8> bytes;
};

struct DiffOptions {
    /// Is told all differences in order; neighbours may be told one by one.
    std::function<Status(const Difference& difference)> visit;
    /// Called now and then; false stops.
    std::function<bool(u64 done, u64 total)> progress = {};
};

/// Compares up to the end of the second disk; past the end of the first there are zeroes.
/// Error: `invalid_argument` when stopped.
Status diff(ChainDisk& first, ChainDisk& second, const DiffOptions& options);

} // namespace img
