// A DMA channel as the device at its end sees it.
#pragma once

#include "base/types.hpp"

#include <span>

namespace emu::devices {

using base::u32;
using base::u8;

/// What a device that uses DMA sees of one channel: its DREQ/DACK pair.
class DmaChannel {
public:
    virtual ~DmaChannel() = default;

    struct Moved {
        u32 bytes = 0;               // fewer than asked when masked or at terminal count
        bool terminal_count = false; // TC was pulsed with the last byte
    };
    /// The device has `data` for memory. In verify mode bytes count but memory stays.
    virtual Moved to_memory(std::span<const u8> data) = 0;
    /// The device wants bytes from memory; in verify mode it gets zeroes.
    virtual Moved from_memory(std::span<u8> data) = 0;
};

} // namespace emu::devices
