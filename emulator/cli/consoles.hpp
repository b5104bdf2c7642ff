// All character devices of a command line: opened, shared between front ends, wired to sinks.
#pragma once

#include "emulator/cli/options.hpp"
#include "emulator/hostio/mux.hpp"
#include "emulator/machine/device.hpp"

#include <memory>
#include <string>
#include <vector>

namespace emu::cli {

/// A guest's output line on a channel.
class ChannelSink : public CharSink {
public:
    explicit ChannelSink(hostio::Channel& channel) : channel_{channel} {}
    void put(u8 byte) override { channel_.write(std::span{&byte, 1}); }

private:
    hostio::Channel& channel_;
};

class Consoles {
public:
    /// Errors name the option or the chardev. `on_quit` is Ctrl-A x.
    static base::Result<std::unique_ptr<Consoles>>
    open(const Options& options, hostio::HostLoop& loop, std::function<void()> on_quit);

    // Null where the command line has none. They live as long as this.
    std::array<hostio::Channel*, 2> serial{};
    hostio::Channel* parallel = nullptr;
    hostio::Channel* debug_e9 = nullptr;
    hostio::Channel* debug_402 = nullptr;
    std::vector<hostio::Channel*> monitors;
    std::vector<hostio::Channel*> qmp;
    std::vector<hostio::SocketAddress> qmp_servers; // these take any number of clients
    bool qmp_waits = false;

    /// Whether anything outside can send input to the guest or the monitor.
    bool can_receive() const { return can_receive_; }
    /// Whether standard input belongs to the guest.
    bool uses_stdio() const { return uses_stdio_; }

    void wait_for_clients();
    void drain(std::chrono::milliseconds limit);
    std::vector<std::pair<std::string, std::string>> list() const; // label, description

private:
    Consoles(const Options& options, hostio::HostLoop& loop, std::function<void()> on_quit)
        : options_{options}, loop_{loop}, on_quit_{std::move(on_quit)}
    {}
    base::Status open_all();
    base::Status open_qmp(const ChannelUse& use);
    base::Result<hostio::Channel*> channel_for(const ChannelUse& use, const std::string& label);
    base::Result<hostio::Channel*> named(const std::string& id, const std::string& label);
    base::Result<hostio::Channel*> adopt(const hostio::ChannelSpec& spec, const std::string& label);

    struct Shared {
        std::string id;
        std::unique_ptr<hostio::Mux> mux;
    };
    const Options& options_;
    hostio::HostLoop& loop_;
    std::function<void()> on_quit_;
    std::vector<std::unique_ptr<hostio::Channel>> channels_;
    std::vector<bool> waits_; // for each channel: a server with wait=on
    std::vector<Shared> muxes_;
    std::vector<std::string> used_;
    bool can_receive_ = false;
    bool uses_stdio_ = false;
};

} // namespace emu::cli
