// Where a differencing VHDX disk says that its parent is, and which sectors of a block are its own.
//
// Source: MS-VHDX 2.6.2.6, "Parent Locator", and 2.4, "Blocks".
#pragma once

#include "imgtool/formats/vhdx/layout.hpp"

#include <string>

namespace img::vhdx {

/// What a parent locator of the VHDX type says.
struct ParentLocator {
    std::vector<Guid> linkage = {};      // one of them is the parent's Header::data_write_guid
    std::vector<std::string> paths = {}; // on this host, in the order in which they are tried
};
/// Errors: `unsupported` when the parent is no VHDX file, and `corrupt`.
Result<ParentLocator> parse_parent_locator(std::span<const u8> item);

/// Bytes of a sector bitmap block.
inline constexpr u64 kBitmapSize = kMiB;

/// Bits that are alike.
struct BitRun {
    bool set;
    u64 length;
};
/// The run that begins with bit `first` and is `limit` bits long at most. Bit 0 is the lowest one
/// of the first byte.
BitRun bit_run(std::span<const u8> bits, u64 first, u64 limit);

} // namespace img::vhdx
