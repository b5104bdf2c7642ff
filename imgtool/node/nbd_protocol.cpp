// NBD servers by name (QEMU's documentation, "Network Block Device"; the NBD URI specification).
#include "imgtool/node/protocols.hpp"
#include "imgtool/node/url.hpp"
#include "imgtool/source/nbd_source.hpp"

#include <fmt/format.h>

#include <array>

namespace img::node {

namespace {

using base::Errc;
using base::fail;

constexpr std::size_t kMaxExportName = 4096; // bytes; the protocol's limit on strings

base::Error refuse(std::string_view what)
{
    return fail(Errc::invalid_argument, std::string{what});
}

/// "nbd:host:port" and "nbd:unix:path", then perhaps ":exportname=name".
Result<Options> parse_old(std::string_view name)
{
    static constexpr std::string_view kExport = ":exportname=";
    Options options;
    std::string_view rest = name.substr(name.find(':') + 1);
    if (const std::size_t at = rest.find(kExport); at != std::string_view::npos) {
        options.set("export", std::string{rest.substr(at + kExport.size())});
        rest = rest.substr(0, at);
    }
    if (rest.starts_with("unix:")) {
        options.set("server.type", std::string{"unix"});
        options.set("server.path", std::string{rest.substr(5)});
        return options;
    }
    const std::size_t colon = rest.rfind(':');
    if (rest.empty() || colon == std::string_view::npos || colon + 1 == rest.size()) {
        return refuse(fmt::format("address string '{}' is not HOST:PORT", rest));
    }
    std::string_view host = rest.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    }
    options.set("server.type", std::string{"inet"});
    options.set("server.host", std::string{host});
    options.set("server.port", std::string{rest.substr(colon + 1)});
    return options;
}

Result<Options> parse(std::string_view name)
{
    if (name.find("://") == std::string_view::npos) {
        return parse_old(name);
    }
    auto parsed = parse_url(name);
    if (!parsed) {
        return std::move(parsed).error();
    }
    const Url& url = parsed.value();
    const bool is_unix = url.scheme == "nbd+unix";
    Options options;
    if (url.path.size() > 1) {
        options.set("export", url.path.substr(1));
    }
    if (!is_unix) {
        options.set("server.type", std::string{"inet"});
        options.set("server.host", url.host.empty() ? "localhost" : url.host);
        options.set("server.port", url.port.empty() ? "10809" : url.port);
        return url.query.empty()
                   ? Result<Options>{options}
                   : refuse(fmt::format("'{}' has parameters, which nbd: does not", name));
    }
    if (!url.host.empty() || url.query.size() != 1 || url.query[0].first != "socket") {
        return refuse(fmt::format("'{}' is not nbd+unix:///export?socket=path", name));
    }
    options.set("server.type", std::string{"unix"});
    options.set("server.path", url.query[0].second);
    return options;
}

Result<NbdSource::Address> take_address(Options& options)
{
    NbdSource::Address address;
    address.export_name = options.take("export").value_or("");
    const std::string type = options.take("server.type").value_or("");
    const auto path = options.take(type == "unix" ? "server.path" : "path");
    auto host = options.take(type == "inet" ? "server.host" : "host");
    const auto port = options.take(type == "inet" ? "server.port" : "port");
    if (!type.empty() && type != "unix" && type != "inet") {
        return refuse(fmt::format("NBD servers of type '{}' are not supported", type));
    }
    if (path && host) {
        return refuse("path and host may not be used at the same time");
    }
    if (!path && !host) {
        return refuse(port ? "port may not be used without host" : "NBD server address missing");
    }
    address.socket = path.value_or("");
    address.host = host.value_or("");
    address.port = port.value_or(address.port);
    if (path ? address.socket.empty() : address.host.empty()) {
        return refuse("NBD server address missing");
    }
    if (address.export_name.size() > kMaxExportName) {
        return refuse("export name too long to send to server");
    }
    return address;
}

Result<OpenedSource> open(Options& options, const How& how)
{
    auto address = take_address(options);
    if (!address) {
        return std::move(address).error();
    }
    address.value().dirty_bitmap = options.take("x-dirty-bitmap").value_or("");
    for (const std::string_view refused : {"tls-creds", "tls-hostname"}) {
        if (options.take(refused)) {
            return fail(Errc::unsupported, fmt::format("nbd's {} is not supported", refused));
        }
    }
    for (const std::string_view seconds : {"reconnect-delay", "open-timeout"}) {
        if (auto taken = take_number(options, seconds); !taken) {
            return std::move(taken).error(); // we neither wait nor try again
        }
    }
    if (auto known = refuse_unknown(options, "nbd", true); !known) {
        return std::move(known).error();
    }
    auto source = NbdSource::open(address.value(), how.read_only);
    if (!source) {
        return std::move(source).error();
    }
    NodeName name{.exact = source.value()->name(),
                  .is_protocol = true,
                  .no_origin = "Cannot generate a base directory for NBD nodes"};
    const NbdSource::Address& at = address.value();
    if (!at.export_name.empty()) {
        name.full.add("export", Value::of_text(at.export_name));
    }
    if (at.socket.empty()) {
        name.full.add("server.type", Value::of_text("inet"));
        name.full.add("server.host", Value::of_text(at.host));
        name.full.add("server.port", Value::of_text(at.port));
    } else {
        name.full.add("server.type", Value::of_text("unix"));
        name.full.add("server.path", Value::of_text(at.socket));
    }
    return OpenedSource{.file = std::move(source).value(), .name = std::move(name)};
}

constexpr std::array<std::string_view, 3> kPrefixes{"nbd", "nbd+tcp", "nbd+unix"};

} // namespace

const Protocol kNbdProtocol{"nbd", kPrefixes, parse, open, true, true};

} // namespace img::node
