// Whether two disks hold the same.
#pragma once

#include "imgtool/chain/chain.hpp"

#include <functional>
#include <string>

namespace img {

struct CompareOptions {
    /// Not only the bytes but what is allocated, known to be zero or compressed, and the sizes.
    bool strict = false;
    /// Called now and then; false stops the comparison.
    std::function<bool(u64 done, u64 total)> progress = {};
};

struct Comparison {
    enum class Outcome : u8 {
        identical,
        sizes_differ,   // only when strict
        status_differs, // only when strict; from `offset` on
        content_differs,
        map_failed, // `side` could not say where its bytes are
        read_failed,
        stopped
    };

    Outcome outcome = Outcome::identical;
    u64 offset = 0;           // bytes; a multiple of 512 from where the comparison began
    std::size_t side = 0;     // 0 or 1, of failures
    std::string message = {}; // of failures
    /// One disk is longer, and what lies past the other's end was looked at: zeroes are the same as
    /// nothing.
    bool overhang = false;
};

Comparison compare(ChainDisk& first, ChainDisk& second, const CompareOptions& options);

} // namespace img
