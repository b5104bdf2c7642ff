// Encryption of disk sectors, for all formats that have it.
#pragma once

#include "imgtool/image.hpp"

#include <span>

namespace img {

/// Enciphers sectors of 512 bytes in place; each sector's initial vector comes from its position.
class SectorCipher {
public:
    static constexpr u64 kSectorSize = 512;

    virtual ~SectorCipher() = default;

    /// `position` and the length of `bytes` are multiples of 512. Usable from several threads at
    /// once.
    virtual Status encrypt(u64 position, std::span<u8> bytes) const = 0;
    virtual Status decrypt(u64 position, std::span<u8> bytes) const = 0;
};

} // namespace img
