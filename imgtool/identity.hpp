// Where the random bytes and times in images come from: UUIDs, creation times, content IDs.
#pragma once

#include "base/types.hpp"

#include <array>
#include <span>

namespace img {

/// The one source of what makes two images with the same content differ. Giving a fixed one makes
/// the same image every time.
class Identity {
public:
    virtual ~Identity() = default;

    virtual void random(std::span<base::u8> into) const = 0;
    /// Seconds since 1970, UTC.
    virtual base::u64 now() const = 0;

    /// The host's random numbers and clock.
    static const Identity& of_host();
    /// Numbers that are the same each time, and the year 2000.
    static const Identity& reproducible();

    /// A random UUID, as RFC 9562 (section 5.4, "UUID Version 4") writes its bytes.
    std::array<base::u8, 16> uuid() const
    {
        std::array<base::u8, 16> bytes{};
        random(bytes);
        bytes[6] = static_cast<base::u8>((bytes[6] & 0x0f) | 0x40);
        bytes[8] = static_cast<base::u8>((bytes[8] & 0x3f) | 0x80);
        return bytes;
    }
};

} // namespace img
