// What a keyboard controller sees of whatever is plugged into a PS/2 socket.
#pragma once

#include "emulator/machine/device.hpp"

#include <deque>
#include <functional>

namespace emu::devices {

/// Bytes wait in the device until the controller takes them, as when the controller holds the
/// clock line low.
class Ps2Device {
public:
    virtual ~Ps2Device() = default;

    /// A byte from the host: a command or a command's parameter.
    virtual void host_write(u8 byte) = 0;

    bool has_output() const { return !output_.empty(); }
    u8 take_output()
    {
        const u8 byte = output_.front();
        output_.pop_front();
        output_taken();
        return byte;
    }
    /// Called whenever output becomes available.
    void set_listener(std::function<void()> listener) { listener_ = std::move(listener); }

protected:
    virtual void output_taken() {}

    void send(u8 byte)
    {
        output_.push_back(byte);
        if (listener_) {
            listener_();
        }
    }
    std::deque<u8> output_;

private:
    std::function<void()> listener_;
};

inline constexpr u8 kPs2Acknowledge = 0xfa;
inline constexpr u8 kPs2Resend = 0xfe;
inline constexpr u8 kPs2SelfTestPassed = 0xaa;

} // namespace emu::devices
