// The text forms of character devices, as -serial, -parallel, -monitor and -qmp take them.
#include "emulator/hostio/channel.hpp"

namespace emu::hostio {

namespace {

using base::Errc;

/// "server", "server=on", "nowait", "wait=off", "nodelay" …
base::Status apply_socket_option(ChannelSpec& spec, const std::string& option)
{
    if (option == "server" || option == "server=on") {
        spec.server = true;
    } else if (option == "nowait" || option == "wait=off" || option == "wait=no") {
        spec.wait = false;
    } else if (option == "server=off") {
        spec.server = false;
    } else if (option != "wait" && option != "wait=on" && option != "nodelay" &&
               option != "nodelay=on") {
        return base::fail(Errc::invalid_argument, "unknown socket option '" + option + "'");
    }
    return base::ok();
}

base::Result<ChannelSpec> parse_socket(const std::string& text)
{
    ChannelSpec spec;
    spec.kind = ChannelSpec::Kind::socket;
    std::size_t comma = text.find(',');
    auto address = parse_socket_address(text.substr(0, comma));
    if (!address) {
        return std::move(address).error();
    }
    spec.address = std::move(address).value();
    while (comma != std::string::npos) {
        const std::size_t next = text.find(',', comma + 1);
        const std::size_t length = next == std::string::npos ? next : next - comma - 1;
        if (auto applied = apply_socket_option(spec, text.substr(comma + 1, length)); !applied) {
            return std::move(applied).error();
        }
        comma = next;
    }
    return spec;
}

} // namespace

base::Result<ChannelSpec> parse_channel(const std::string& text)
{
    ChannelSpec spec;
    if (text.starts_with("mon:")) {
        auto inner = parse_channel(text.substr(4));
        if (inner) {
            inner.value().mux = true;
        }
        return inner;
    }
    if (text == "null" || text == "none") {
        return spec;
    }
    if (text == "stdio") {
        spec.kind = ChannelSpec::Kind::stdio;
        return spec;
    }
    if (text == "pty") {
        spec.kind = ChannelSpec::Kind::pty;
        return spec;
    }
    if (text.starts_with("file:") && text.size() > 5) {
        spec.kind = ChannelSpec::Kind::file;
        spec.path = text.substr(5);
        return spec;
    }
    if (text.starts_with("unix:") || text.starts_with("tcp:")) {
        return parse_socket(text);
    }
    return base::fail(Errc::unsupported,
                      "no such character device: '" + text +
                          "' (known: stdio, null, none, pty, file:PATH, unix:PATH, "
                          "tcp:HOST:PORT, chardev:ID, mon:…)");
}

} // namespace emu::hostio
