// CRC-32C, the checksum of VHDX and others.
#pragma once

#include "base/types.hpp"

#include <span>

namespace img {

/// The CRC with Castagnoli's polynomial (RFC 3720, appendix B.4) of `bytes`, after that of what
/// came before them.
base::u32 crc32c(std::span<const base::u8> bytes, base::u32 before = 0);

/// The same without the CPU's instruction for it; for tests.
base::u32 crc32c_by_table(std::span<const base::u8> bytes, base::u32 before = 0);

} // namespace img
