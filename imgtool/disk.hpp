// A virtual disk as its users (devices, commands) see it: bytes at offsets, whatever the format.
//
// imgtool's library implements it over format drivers and backing chains; tests implement it over
// memory. Offsets and lengths are in bytes and need no alignment.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <functional>
#include <span>

namespace img {

class Disk {
public:
    virtual ~Disk() = default;

    /// Bytes of the virtual disk.
    virtual base::u64 size() const = 0;
    virtual bool read_only() const = 0;

    /// Fills `into` completely or fails. Errors: `invalid_argument` past the end, `io`, `corrupt`.
    virtual base::Status read(base::u64 offset, std::span<base::u8> into) = 0;
    virtual base::Status write(base::u64 offset, std::span<const base::u8> from) = 0;
    virtual base::Status write_zeroes(base::u64 offset, base::u64 length) = 0;

    /// On return all earlier writes are on stable storage.
    virtual base::Status flush() = 0;

    /// Calls `visit(offset, length)` for every range that may differ from the backing image or from
    /// zero (what an overlay itself holds), in ascending order. For state hashes and `map`.
    virtual base::Status
    visit_written(const std::function<base::Status(base::u64 offset, base::u64 length)>& visit) = 0;
};

} // namespace img
