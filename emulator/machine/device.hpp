// What a device is, and the only ways it may touch the world outside itself.
//
// A device is constructed with all it may use (wires, clock, address space, disk, character
// sink); it never sees a CPU, a board or another device's type.
#pragma once

#include "emulator/machine/state.hpp"

#include <functional>
#include <string_view>

namespace emu {

class Device {
public:
    virtual ~Device() = default;
    virtual std::string_view name() const = 0;

    /// Power-on or hardware reset: state becomes its initial value.
    virtual void reset() = 0;
    virtual void visit_state(StateVisitor& visitor) = 0;
};

/// A signal wire. set() may be called with an unchanged level. An unconnected wire is harmless.
class Wire {
public:
    Wire() = default;
    explicit Wire(std::function<void(bool level)> set) : set_{std::move(set)} {}
    void set(bool level) const
    {
        if (set_) {
            set_(level);
        }
    }
    void pulse() const
    {
        set(true);
        set(false);
    }

private:
    std::function<void(bool)> set_;
};

/// x86 port space and memory-mapped registers share this shape. `offset` is from the start of the
/// range that was mapped (ports: the port number itself); `size` is 1, 2 or 4 bytes.
class IoHandler {
public:
    virtual ~IoHandler() = default;
    virtual u32 io_read(u64 offset, unsigned size) = 0;
    virtual void io_write(u64 offset, unsigned size, u32 value) = 0;
};

/// Where a device reports what the guest did wrong. Never an assertion: a guest cannot crash us.
class GuestLog {
public:
    virtual ~GuestLog() = default;
    virtual void guest_error(std::string_view device, std::string_view what) = 0;
};

/// The host end of a serial or parallel line, seen from the device. Output only: input arrives
/// through the machine's recorded input door as an InputSink of the device.
class CharSink {
public:
    virtual ~CharSink() = default;
    virtual void put(u8 byte) = 0;
};

/// The receiving end of recorded host input (keys, mouse, serial bytes, media changes). Called on
/// the machine's thread at an exact instruction count; the payload's meaning is the sink's own.
class InputSink {
public:
    virtual ~InputSink() = default;
    virtual void deliver(std::span<const u8> payload) = 0;
};

} // namespace emu
