// A human at a monitor: prompt, echo, editing of a line.
#pragma once

#include "emulator/debug/monitor.hpp"
#include "emulator/hostio/channel.hpp"

namespace emu::debug {

/// Lines are read on the host loop's thread and executed on the machine's.
class MonitorSession {
public:
    MonitorSession(Monitor& monitor, Machine& machine, hostio::Channel& channel);

private:
    void received(std::span<const u8> bytes);
    void greet();
    void submit();

    Monitor& monitor_;
    Machine& machine_;
    hostio::Channel& channel_;
    std::string line_;
    bool greeted_ = false;
};

} // namespace emu::debug
