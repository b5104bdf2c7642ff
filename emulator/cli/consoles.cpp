#include "emulator/cli/consoles.hpp"

#include <algorithm>

namespace emu::cli {

namespace {

using base::Errc;
using hostio::ChannelSpec;

} // namespace

base::Result<std::unique_ptr<Consoles>>
Consoles::open(const Options& options, hostio::HostLoop& loop, std::function<void()> on_quit)
{
    std::unique_ptr<Consoles> consoles{new Consoles{options, loop, std::move(on_quit)}};
    if (auto opened = consoles->open_all(); !opened) {
        return std::move(opened).error();
    }
    return consoles;
}

base::Result<hostio::Channel*> Consoles::adopt(const ChannelSpec& spec, const std::string& label)
{
    ChannelSpec labelled = spec;
    if (labelled.id.empty()) {
        labelled.id = label;
    }
    const bool stdio = spec.kind == ChannelSpec::Kind::stdio;
    if (stdio && uses_stdio_) {
        return base::fail(Errc::invalid_argument,
                          "standard input and output are used twice (mon:stdio or mux=on shares "
                          "them)");
    }
    uses_stdio_ = uses_stdio_ || stdio;
    can_receive_ = can_receive_ ||
                   (spec.kind != ChannelSpec::Kind::null && spec.kind != ChannelSpec::Kind::file);
    auto channel = hostio::open_channel(loop_, labelled);
    if (!channel) {
        return std::move(channel).error();
    }
    if (spec.mux) {
        muxes_.push_back(
            {labelled.id, std::make_unique<hostio::Mux>(std::move(channel).value(), on_quit_)});
        return &muxes_.back().mux->add_front(label);
    }
    channels_.push_back(std::move(channel).value());
    waits_.push_back(spec.kind == ChannelSpec::Kind::socket && spec.server && spec.wait);
    return channels_.back().get();
}

base::Result<hostio::Channel*> Consoles::named(const std::string& id, const std::string& label)
{
    for (Shared& shared : muxes_) {
        if (shared.id == id) {
            return &shared.mux->add_front(label);
        }
    }
    const auto spec = options_.chardevs.find(id);
    if (spec == options_.chardevs.end()) {
        return base::fail(Errc::invalid_argument, "no -chardev with id '" + id + "'");
    }
    if (std::find(used_.begin(), used_.end(), id) != used_.end()) {
        return base::fail(Errc::invalid_argument,
                          "chardev '" + id + "' is used twice (mux=on lets it be shared)");
    }
    used_.push_back(id);
    return adopt(spec->second, label);
}

base::Result<hostio::Channel*> Consoles::channel_for(const ChannelUse& use,
                                                     const std::string& label)
{
    return use.chardev_id.empty() ? adopt(use.spec, label) : named(use.chardev_id, label);
}

base::Status Consoles::open_qmp(const ChannelUse& use)
{
    const auto named_spec = options_.chardevs.find(use.chardev_id);
    const ChannelSpec& spec = named_spec == options_.chardevs.end() ? use.spec : named_spec->second;
    if (spec.kind == ChannelSpec::Kind::socket && spec.server) {
        qmp_servers.push_back(spec.address);
        qmp_waits = qmp_waits || spec.wait;
        used_.push_back(use.chardev_id);
        can_receive_ = true;
        return base::ok();
    }
    auto channel = channel_for(use, "qmp" + std::to_string(qmp.size()));
    if (!channel) {
        return std::move(channel).error();
    }
    if (spec.kind != ChannelSpec::Kind::null) {
        qmp.push_back(channel.value());
    }
    return base::ok();
}

base::Status Consoles::open_all()
{
    std::vector<ChannelUse> serial_uses = options_.serial;
    std::vector<ChannelUse> monitor_uses = options_.monitors;
    if (options_.no_graphic && serial_uses.empty()) {
        serial_uses.push_back({"", hostio::parse_channel("mon:stdio").value()});
    }
    for (std::size_t i = 0; i < serial_uses.size(); ++i) {
        auto channel = channel_for(serial_uses[i], "serial" + std::to_string(i));
        if (!channel) {
            return std::move(channel).error().in("-serial");
        }
        serial[i] = channel.value();
    }
    if (!options_.parallel.empty()) {
        auto channel = channel_for(options_.parallel[0], "parallel0");
        if (!channel) {
            return std::move(channel).error().in("-parallel");
        }
        parallel = channel.value();
    }
    for (const DebugConsoleOption& console : options_.debug_consoles) {
        auto channel = named(console.chardev, "debugcon");
        if (!channel) {
            return std::move(channel).error().in("-device isa-debugcon");
        }
        (console.port == 0xe9 ? debug_e9 : debug_402) = channel.value();
    }
    for (const ChannelUse& use : monitor_uses) {
        auto channel = channel_for(use, "compat_monitor" + std::to_string(monitors.size()));
        if (!channel) {
            return std::move(channel).error().in("-monitor");
        }
        if (!use.chardev_id.empty() || use.spec.kind != ChannelSpec::Kind::null) {
            monitors.push_back(channel.value());
        }
    }
    // "mon:" asks for a monitor beside whatever else is on the channel.
    const bool monitor_named = !options_.monitors.empty();
    for (Shared& shared : muxes_) {
        const bool from_mon = !options_.chardevs.contains(shared.id);
        if (from_mon && !monitor_named) {
            monitors.push_back(&shared.mux->add_front("compat_monitor0"));
        }
    }
    for (const ChannelUse& use : options_.qmp) {
        if (auto opened = open_qmp(use); !opened) {
            return std::move(opened).error().in("-qmp");
        }
    }
    return base::ok();
}

void Consoles::wait_for_clients()
{
    for (std::size_t i = 0; i < channels_.size(); ++i) {
        if (waits_[i]) {
            channels_[i]->wait_for_client();
        }
    }
}

void Consoles::drain(std::chrono::milliseconds limit)
{
    for (const auto& channel : channels_) {
        channel->drain(limit);
        channel->drain_log(limit);
    }
    for (const Shared& shared : muxes_) {
        shared.mux->channel().drain(limit);
        shared.mux->channel().drain_log(limit);
    }
}

std::vector<std::pair<std::string, std::string>> Consoles::list() const
{
    std::vector<std::pair<std::string, std::string>> all;
    for (const auto& channel : channels_) {
        all.emplace_back(channel->id(), channel->description());
    }
    for (const Shared& shared : muxes_) {
        all.emplace_back(shared.id, "mux:" + shared.mux->channel().description());
    }
    for (const hostio::SocketAddress& address : qmp_servers) {
        all.emplace_back("qmp", address.text() + ",server=on");
    }
    return all;
}

} // namespace emu::cli
