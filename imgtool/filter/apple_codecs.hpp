// Decoders of Apple disk images: ADC is our own, the others are libraries that are loaded when
// first needed.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <optional>
#include <span>

namespace img {

/// Each fills `into` from its beginning and says how many bytes that were; nothing when `packed` is
/// damaged or holds more than fits.
std::optional<std::size_t> unpack_adc(std::span<const base::u8> packed, std::span<base::u8> into);
/// Error: `unsupported` without libbz2.
base::Result<std::optional<std::size_t>> unpack_bzip2(std::span<const base::u8> packed,
                                                      std::span<base::u8> into);
/// Error: `unsupported` without liblzfse.
base::Result<std::optional<std::size_t>> unpack_lzfse(std::span<const base::u8> packed,
                                                      std::span<base::u8> into);

} // namespace img
