// Whether bytes are all zero.
#pragma once

#include "base/types.hpp"

#include <cstring>
#include <span>

namespace img {

/// Most data differs in its first bytes; the rest is looked at 64 bytes at a time, which the
/// compiler turns into vector operations.
inline bool is_zero(std::span<const base::u8> bytes)
{
    using base::u64;
    const base::u8* at = bytes.data();
    std::size_t left = bytes.size();
    for (; left >= 64; left -= 64, at += 64) {
        u64 words[8];
        std::memcpy(words, at, sizeof words);
        u64 any = 0;
        for (const u64 word : words) {
            any |= word;
        }
        if (any != 0) {
            return false;
        }
    }
    base::u8 any = 0;
    for (std::size_t i = 0; i < left; ++i) {
        any |= at[i];
    }
    return any == 0;
}

} // namespace img
