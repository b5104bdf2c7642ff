// Compressed loop images, as Knoppix used them, which are only read.
//
// Source: the cloop package's cloop.h and README (version 2 of the format). A shell script of 128
// bytes, then numbers in big-endian order: the block size, how many blocks, and where each block
// and the end of the last begins. Blocks are zlib streams (RFC 1950).
#pragma once

#include "imgtool/format.hpp"

namespace img::cloop {

inline constexpr std::size_t kScriptSize = 128;        // bytes
inline constexpr std::size_t kTableAt = 136;           // bytes
inline constexpr u64 kMaxBlock = u64{64} << 20;        // bytes; QEMU's limit too
inline constexpr u64 kMaxPackedBlock = 2 * kMaxBlock;  // bytes; likewise
inline constexpr u32 kMaxBlocks = 0xffff'ffff / 8 - 1; // likewise
inline constexpr u64 kMaxTable = u64{512} << 20;       // bytes; likewise

struct Header {
    u32 block_size = 0; // bytes
    u32 blocks = 0;
};

/// Checks the two numbers at kScriptSize. Error: `corrupt`.
Result<Header> parse_header(std::span<const u8> numbers);

extern const FormatDriver kDriver;

} // namespace img::cloop
