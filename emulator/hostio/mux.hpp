// Several front ends (a serial port, a monitor) on one channel, with QEMU's Ctrl-A commands.
#pragma once

#include "emulator/hostio/channel.hpp"

#include <atomic>

namespace emu::hostio {

/// Ctrl-A x ends the program, Ctrl-A c goes to the next front end, Ctrl-A h lists the commands,
/// Ctrl-A Ctrl-A sends a Ctrl-A.
class Mux {
public:
    Mux(std::unique_ptr<Channel> channel, std::function<void()> on_quit);
    ~Mux();

    /// Before the loop starts. The first one has the keyboard. Lives as long as the mux.
    Channel& add_front(std::string id);
    Channel& channel() { return *channel_; }

private:
    class Front;
    void received(std::span<const u8> bytes);
    void command(u8 key);

    std::unique_ptr<Channel> channel_;
    std::function<void()> on_quit_;
    std::vector<std::unique_ptr<Front>> fronts_;
    std::size_t focus_ = 0;
    bool escaped_ = false;
};

} // namespace emu::hostio
