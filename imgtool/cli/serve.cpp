// imgtool serve: an image over NBD, for QEMU, the kernel's nbd-client, libnbd and others.
#include "base/output.hpp"
#include "base/process.hpp"
#include "imgtool/cli/daemon.hpp"
#include "imgtool/cli/open_named.hpp"
#include "imgtool/nbd/protocol.hpp"
#include "imgtool/nbd/server.hpp"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstring>
#include <memory>
#include <optional>
#include <sys/signalfd.h>

namespace img::cli {

namespace {

enum LocalOption {
    kOptPort = 1000,
    kOptWritable,
    kOptOnce,
    kOptPidFile,
    kOptFork,
    kOptTlsCerts,
    kOptTlsRequired
};

struct Request {
    std::string path;
    std::string format;
    Common common;
    std::string socket;           // path; empty: TCP
    std::optional<unsigned> port; // 0: any
    std::optional<std::string> bind;
    bool writable = false;
    bool once = false;
    bool fork = false;
    bool tls_required = false;
    unsigned max_clients = 16;
    std::string name;
    std::string description;
    std::string pid_file;
    std::string tls_certs; // folder
};

constexpr unsigned kMostClients = 1024;
constexpr int kMostMessages = 100; // about errors of the disk

bool parse_number(const char* text, std::string_view what, unsigned least, unsigned most,
                  unsigned& into)
{
    const char* end = text + std::strlen(text);
    const auto [stopped, error] = std::from_chars(text, end, into);
    if (error != std::errc{} || stopped != end || into < least || into > most) {
        report(fmt::format("{} must be a number from {} to {}", what, least, most));
        return false;
    }
    return true;
}

bool take_string(const char* value, std::string_view what, std::string& into)
{
    into = value;
    if (into.size() > nbd::kMaxString) {
        report(fmt::format("{} is longer than {} bytes", what, nbd::kMaxString));
        return false;
    }
    return true;
}

bool take(int c, const char* value, Request& request)
{
    unsigned number = 0;
    switch (c) {
    case 'f':
        request.format = value;
        return true;
    case 'k':
        request.socket = value;
        return true;
    case kOptPort:
        if (!parse_number(value, "The port", 0, 65535, number)) {
            return false;
        }
        request.port = number;
        return true;
    case 'b':
        request.bind = value;
        return true;
    case kOptWritable:
        request.writable = true;
        return true;
    case 'r':
        request.writable = false;
        return true;
    case 'x':
        return take_string(value, "The export's name", request.name);
    case 'D':
        return take_string(value, "The description", request.description);
    case 'e':
        return parse_number(value, "--max-clients", 1, kMostClients, request.max_clients);
    case 't':
        request.once = false;
        return true;
    case kOptOnce:
        request.once = true;
        return true;
    case kOptFork:
        request.fork = true;
        return true;
    case kOptPidFile:
        request.pid_file = value;
        return true;
    case kOptTlsCerts:
        request.tls_certs = value;
        return true;
    case kOptTlsRequired:
        request.tls_required = true;
        return true;
    default:
        return false;
    }
}

bool check(const Request& request)
{
    if (!request.socket.empty() && (request.port || request.bind)) {
        report("--socket cannot be used together with --port or --bind");
        return false;
    }
    if (request.tls_required && request.tls_certs.empty()) {
        report("--tls-required needs --tls-certs");
        return false;
    }
    return true;
}

bool parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong = with_common(
        std::array<option, 16>{{{"format", required_argument, nullptr, 'f'},
                                {"socket", required_argument, nullptr, 'k'},
                                {"port", required_argument, nullptr, kOptPort},
                                {"bind", required_argument, nullptr, 'b'},
                                {"writable", no_argument, nullptr, kOptWritable},
                                {"read-only", no_argument, nullptr, 'r'},
                                {"export-name", required_argument, nullptr, 'x'},
                                {"description", required_argument, nullptr, 'D'},
                                {"max-clients", required_argument, nullptr, 'e'},
                                {"shared", required_argument, nullptr, 'e'},
                                {"persistent", no_argument, nullptr, 't'},
                                {"once", no_argument, nullptr, kOptOnce},
                                {"fork", no_argument, nullptr, kOptFork},
                                {"pid-file", required_argument, nullptr, kOptPidFile},
                                {"tls-certs", required_argument, nullptr, kOptTlsCerts},
                                {"tls-required", no_argument, nullptr, kOptTlsRequired}}},
        false);
    OptionReader reader{argc, argv, "f:k:b:rx:D:e:tqhU", kLong.data()};
    if (!read_options(reader, request, take) || !take_one_operand(reader, request.path)) {
        return false;
    }
    return check(request);
}

/// The signals that end the server, as a file descriptor. They are blocked from now on, in the
/// threads to come too.
nbd::Descriptor take_signals()
{
    const sigset_t set = base::ending_signals();
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    return nbd::Descriptor{::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
}

Result<nbd::Listener> listen_where(const Request& request)
{
    return request.socket.empty()
               ? nbd::Listener::on_tcp(
                     request.bind.value_or("127.0.0.1"),
                     static_cast<base::u16>(request.port.value_or(nbd::kDefaultPort)))
               : nbd::Listener::on_unix(request.socket);
}

/// Tells of errors of the disk, but not for ever: a client can bring them about at will.
void log_error(std::atomic<int>& told, const std::string& message)
{
    const int before = told.fetch_add(1);
    if (before < kMostMessages) {
        report("serving: " + message);
    } else if (before == kMostMessages) {
        told = kMostMessages + 1;
        report("serving: there are more errors, which are not told");
    } else {
        told = kMostMessages + 1; // it must not overflow
    }
}

int serve(const Request& request, ChainDisk& disk, Daemon& daemon)
{
    std::unique_ptr<nbd::TlsCredentials> credentials;
    if (!request.tls_certs.empty()) {
        auto loaded = nbd::TlsCredentials::load(request.tls_certs);
        if (!loaded) {
            return report(loaded.error().message);
        }
        credentials = std::move(loaded).value();
    }
    const nbd::Descriptor signals = take_signals();
    auto listener = listen_where(request);
    if (!listener) {
        return report(listener.error().message);
    }
    PidFile pid_file;
    if (!request.pid_file.empty()) {
        if (auto written = pid_file.write(request.pid_file); !written) {
            return report(written.error().message);
        }
    }
    std::atomic<int> told = 0;
    nbd::Export offered{disk,
                        {.name = request.name,
                         .description = request.description,
                         .log = [&told](const std::string& message) { log_error(told, message); }}};
    nbd::Server server{
        offered,
        {.max_clients = request.max_clients,
         .once = request.once,
         // Who wants to know the clients' certificates cannot serve those that have none.
         .tls_required =
             request.tls_required || (credentials != nullptr && credentials->verifies_clients()),
         .credentials = credentials.get()}};
    if (!request.common.quiet) {
        base::note(fmt::format("Serving '{}' ({} bytes, {}) at {}\n", request.path, disk.size(),
                               disk.read_only() ? "read-only" : "writable",
                               listener.value().url(request.name)));
    }
    daemon.ready();
    auto served = server.run(listener.value(), signals.get());
    auto flushed = disk.flush();
    for (const Status* done : {&served, &flushed}) {
        if (!*done) {
            return report(done->error().message);
        }
    }
    return kSuccess;
}

} // namespace

int run_serve(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    Daemon daemon;
    if (request.fork) {
        // Before the image is opened, so that its locks and threads are those of the server.
        auto started = daemon.start();
        if (!started) {
            return report(started.error().message);
        }
        if (started.value()) {
            return *started.value();
        }
    }
    auto disk =
        open_named(request.common,
                   {.path = request.path, .format = request.format, .writable = request.writable});
    if (disk == nullptr) {
        return kFailure;
    }
    return serve(request, *disk, daemon);
}

} // namespace img::cli
