// Files on web servers (QEMU's documentation, "HTTP, HTTPS, FTP, FTPS"); ftp: and ftps: are
// refused.
#include "imgtool/node/protocols.hpp"
#include "imgtool/source/http_source.hpp"

#include <fmt/format.h>

#include <array>

namespace img::node {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kMaxReadAhead = u64{16} << 20; // bytes
constexpr u64 kMaxTimeout = 10000;           // seconds; QEMU's limit

Result<Options> parse(std::string_view name)
{
    Options options;
    options.set("url", std::string{name});
    return options;
}

/// Takes what a request can be told besides its URL.
Status take_settings(Options& options, HttpSource::Request& request)
{
    auto read_ahead = take_size(options, "readahead");
    auto timeout = take_number(options, "timeout");
    auto verify = take_boolean(options, "sslverify");
    for (const base::Error* wrong :
         {read_ahead ? nullptr : &read_ahead.error(), timeout ? nullptr : &timeout.error(),
          verify ? nullptr : &verify.error()}) {
        if (wrong != nullptr) {
            return *wrong;
        }
    }
    request.read_ahead = read_ahead.value().value_or(request.read_ahead);
    if (request.read_ahead == 0 || request.read_ahead % 512 != 0) {
        return fail(
            Errc::invalid_argument,
            fmt::format("HTTP_READAHEAD_SIZE {} is not a multiple of 512", request.read_ahead));
    }
    request.read_ahead = std::min(request.read_ahead, kMaxReadAhead);
    const u64 seconds = timeout.value().value_or(static_cast<u64>(request.timeout_s));
    if (seconds > kMaxTimeout) {
        return fail(Errc::invalid_argument, "timeout parameter is too large or negative");
    }
    request.timeout_s = static_cast<long>(seconds);
    request.verify_tls = verify.value().value_or(true);
    request.cookie = options.take("cookie").value_or("");
    for (const std::string_view refused : {"cookie-secret", "username", "password-secret",
                                           "proxy-username", "proxy-password-secret"}) {
        if (options.take(refused)) {
            return fail(Errc::unsupported, fmt::format("http's {} is not supported", refused));
        }
    }
    return base::ok();
}

Result<OpenedSource> open(Options& options, std::string_view scheme)
{
    HttpSource::Request request{.url = options.take("url").value_or("")};
    if (request.url.empty()) {
        return fail(Errc::invalid_argument,
                    fmt::format("{} block driver requires an 'url' option", scheme));
    }
    if (!request.url.starts_with(std::string{scheme} + "://")) {
        return fail(Errc::invalid_argument,
                    fmt::format("{} curl driver cannot handle the URL '{}' (does not start with "
                                "'{}://')",
                                scheme, request.url, scheme));
    }
    if (auto taken = take_settings(options, request); !taken) {
        return std::move(taken).error();
    }
    const std::string driver{scheme};
    if (auto known = refuse_unknown(options, driver, true); !known) {
        return std::move(known).error();
    }
    auto source = HttpSource::open(std::move(request));
    if (!source) {
        return std::move(source).error();
    }
    NodeName name{
        .exact = source.value()->name(), .is_protocol = true, .origin = source.value()->name()};
    name.full.add("url", Value::of_text(name.exact));
    return OpenedSource{.file = std::move(source).value(), .name = std::move(name)};
}

Result<OpenedSource> open_http(Options& options, const How&)
{
    return open(options, "http");
}

Result<OpenedSource> open_https(Options& options, const How&)
{
    return open(options, "https");
}

constexpr std::array<std::string_view, 1> kHttp{"http"};
constexpr std::array<std::string_view, 1> kHttps{"https"};

} // namespace

const Protocol kHttpProtocol{"http", kHttp, parse, open_http};
const Protocol kHttpsProtocol{"https", kHttps, parse, open_https};

} // namespace img::node
