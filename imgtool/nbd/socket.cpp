#include "imgtool/nbd/socket.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace img::nbd {

namespace {

using base::Errc;
using base::fail;
using base::Result;
using base::Status;

constexpr int kBacklog = 64; // connections that wait to be accepted

base::Error host_error(const std::string& what)
{
    return fail(Errc::io, fmt::format("{}: {}", what, std::strerror(errno)));
}

/// Of text in an URL (RFC 3986, section 2.1).
std::string percent_encoded(const std::string& text, std::string_view also_plain)
{
    std::string encoded;
    for (const char c : text) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') ||
                           std::string_view{"-._~"}.find(c) != std::string_view::npos ||
                           also_plain.find(c) != std::string_view::npos;
        encoded += plain ? std::string{c} : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return encoded;
}

/// Clients may run in other folders.
std::string absolute_path(const std::string& path)
{
    std::error_code error;
    const auto absolute = std::filesystem::absolute(path, error);
    return error ? path : absolute.string();
}

/// A socket that nobody listens on. Connecting to another kind of file is refused as well.
bool is_abandoned(const sockaddr_un& address)
{
    struct stat info = {};
    if (::lstat(address.sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) {
        return false;
    }
    const Descriptor probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
               0 &&
           errno == ECONNREFUSED;
}

struct Addresses {
    addrinfo* first = nullptr;
    ~Addresses()
    {
        if (first != nullptr) {
            ::freeaddrinfo(first);
        }
    }
};

/// "127.0.0.1:10809", "[::1]:10809".
std::string bound_to(int fd)
{
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> port{};
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::getsockname(fd, generic, &size) != 0 ||
        ::getnameinfo(generic, size, host.data(), host.size(), port.data(), port.size(),
                      NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return "?";
    }
    return address.ss_family == AF_INET6 ? fmt::format("[{}]:{}", host.data(), port.data())
                                         : fmt::format("{}:{}", host.data(), port.data());
}

} // namespace

Descriptor::~Descriptor()
{
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept
{
    std::swap(fd_, other.fd_);
    return *this;
}

int Descriptor::release()
{
    return std::exchange(fd_, -1);
}

Listener::Listener(Descriptor fd, std::string path, std::string authority)
    : fd_{std::move(fd)}, path_{std::move(path)}, authority_{std::move(authority)}
{}

Listener::Listener(Listener&& other) noexcept
    : fd_{std::move(other.fd_)}, path_{std::exchange(other.path_, {})}, authority_{std::move(
                                                                            other.authority_)}
{}

Listener::~Listener()
{
    if (!path_.empty()) {
        ::unlink(path_.c_str());
    }
}

std::string Listener::url(const std::string& export_name) const
{
    const std::string name = percent_encoded(export_name, "");
    return path_.empty()
               ? fmt::format("nbd://{}/{}", authority_, name)
               : fmt::format("nbd+unix:///{}?socket={}", name, percent_encoded(path_, "/"));
}

Result<Listener> Listener::on_unix(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        return fail(Errc::invalid_argument,
                    fmt::format("a socket's path must have 1 to {} bytes: '{}'",
                                sizeof address.sun_path - 1, path));
    }
    std::ranges::copy(path, address.sun_path);
    const std::string what = fmt::format("Failed to listen on '{}'", path);
    Descriptor fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (fd.get() < 0) {
        return host_error(what);
    }
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    int bound = ::bind(fd.get(), generic, sizeof address);
    if (bound != 0 && errno == EADDRINUSE) {
        if (is_abandoned(address)) { // a server was killed
            ::unlink(path.c_str());
            bound = ::bind(fd.get(), generic, sizeof address);
        } else {
            errno = EADDRINUSE;
        }
    }
    if (bound != 0) {
        return host_error(what);
    }
    Listener listener{std::move(fd), absolute_path(path), {}};
    if (::listen(listener.fd(), kBacklog) != 0) {
        return host_error(what);
    }
    return listener;
}

Result<Listener> Listener::on_tcp(const std::string& host, base::u16 port)
{
    const std::string what = fmt::format("Failed to listen on {}, port {}", host, port);
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    Addresses found;
    const std::string service = std::to_string(port);
    if (const int error = ::getaddrinfo(host.c_str(), service.c_str(), &hints, &found.first)) {
        return fail(Errc::io, fmt::format("{}: {}", what, ::gai_strerror(error)));
    }
    for (const addrinfo* at = found.first; at != nullptr; at = at->ai_next) {
        Descriptor fd{::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
        const int on = 1;
        if (fd.get() >= 0 &&
            ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
            ::bind(fd.get(), at->ai_addr, at->ai_addrlen) == 0 &&
            ::listen(fd.get(), kBacklog) == 0) {
            std::string authority = bound_to(fd.get());
            return Listener{std::move(fd), {}, std::move(authority)};
        }
    }
    return host_error(what);
}

SocketStream::SocketStream(Descriptor fd, int stop, const TlsCredentials* credentials,
                           const Limits& limits)
    : fd_{std::move(fd)}, stop_{stop},
      credentials_{credentials}, limits_{limits}, deadline_{Clock::now() + limits.handshake}
{
    // Replies are sent whole; waiting for more of them only costs time. No-ops on unix sockets.
    const int on = 1;
    (void)::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)::setsockopt(fd_.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

SocketStream::~SocketStream()
{
    if (tls_) {
        tls_->close();
    }
}

/// With no deadline it waits for ever, or until the server is stopped.
Status SocketStream::wait_until(short events, std::optional<Clock::time_point> deadline)
{
    for (;;) {
        int timeout = -1; // milliseconds
        if (deadline) {
            const auto left = *deadline - Clock::now();
            timeout = static_cast<int>(std::max<Clock::rep>(
                0, std::chrono::ceil<std::chrono::milliseconds>(left).count()));
        }
        std::array<pollfd, 2> polled{{{fd_.get(), events, 0}, {stop_, POLLIN, 0}}};
        const int ready = ::poll(polled.data(), stopping_ ? 1 : 2, timeout);
        if (ready < 0 && errno != EINTR) {
            return host_error("poll");
        }
        if (ready == 0) {
            return fail(Errc::io, "the client is too slow");
        }
        if (ready > 0 && !stopping_ && polled[1].revents != 0) {
            stopping_ = true;
            if ((events & POLLOUT) == 0) {
                return fail(Errc::io, "the server is being stopped");
            }
            const auto last = Clock::now() + limits_.stop;
            deadline = deadline ? std::min(*deadline, last) : last;
        }
        if (ready > 0 && polled[0].revents != 0) {
            return base::ok();
        }
    }
}

Status SocketStream::wait_for(bool writable)
{
    const auto stall = Clock::now() + limits_.stall;
    return wait_until(writable ? POLLOUT : POLLIN, deadline_ ? *deadline_ : stall);
}

Status SocketStream::wait()
{
    if (tls_ && tls_->has_pending()) {
        return base::ok();
    }
    return wait_until(POLLIN, deadline_);
}

Status SocketStream::read(std::span<base::u8> into)
{
    if (tls_) {
        return tls_->read(into, [this](bool writable) { return wait_for(writable); });
    }
    while (!into.empty()) {
        const ssize_t n = ::recv(fd_.get(), into.data(), into.size(), 0);
        if (n > 0) {
            into = into.subspan(static_cast<std::size_t>(n));
        } else if (n == 0) {
            return fail(Errc::io, "the client went away");
        } else if (errno == EAGAIN) {
            if (auto ready = wait_for(false); !ready) {
                return ready;
            }
        } else if (errno != EINTR) {
            return host_error("recv");
        }
        // A client that never lets us wait must not outlast its time, either.
        if (deadline_ && Clock::now() > *deadline_) {
            return fail(Errc::io, "the client is too slow");
        }
    }
    return base::ok();
}

Status SocketStream::write(std::span<const base::u8> from)
{
    if (tls_) {
        return tls_->write(from, [this](bool writable) { return wait_for(writable); });
    }
    while (!from.empty()) {
        const ssize_t n = ::send(fd_.get(), from.data(), from.size(), MSG_NOSIGNAL);
        if (n >= 0) {
            from = from.subspan(static_cast<std::size_t>(n));
        } else if (errno == EAGAIN) {
            if (auto ready = wait_for(true); !ready) {
                return ready;
            }
        } else if (errno != EINTR) {
            return host_error("send");
        }
    }
    return base::ok();
}

Status SocketStream::start_tls()
{
    auto started = credentials_->start(fd_.get());
    if (!started) {
        return std::move(started).error();
    }
    const auto wait = [this](bool writable) { return wait_for(writable); };
    if (auto done = started.value()->handshake(wait); !done) {
        return done;
    }
    tls_ = std::move(started).value();
    return base::ok();
}

} // namespace img::nbd
