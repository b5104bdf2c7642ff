#include "emulator/hostio/socket_address.hpp"

#include <cerrno>
#include <cstring>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace emu::hostio {

namespace {

using base::Errc;

constexpr int kBacklog = 16;

base::Error system_error(const std::string& what)
{
    return base::fail(Errc::io, what + ": " + std::strerror(errno));
}

base::Result<sockaddr_un> unix_address(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        return base::fail(Errc::invalid_argument,
                          "a unix socket's path has 1 to 107 bytes: '" + path + "'");
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

base::Result<int> open_unix(const SocketAddress& where, bool server)
{
    auto address = unix_address(where.path);
    if (!address) {
        return std::move(address).error();
    }
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return system_error("socket");
    }
    const auto* raw = reinterpret_cast<const sockaddr*>(&address.value());
    if (server) {
        struct stat info {};
        if (::lstat(where.path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) {
            ::unlink(where.path.c_str());
        }
    }
    const int result =
        server ? ::bind(fd, raw, sizeof(sockaddr_un)) : ::connect(fd, raw, sizeof(sockaddr_un));
    if (result < 0) {
        auto error = system_error(where.text());
        ::close(fd);
        return error;
    }
    return fd;
}

base::Result<int> open_tcp(const SocketAddress& where, bool server)
{
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = server ? AI_PASSIVE : 0;
    addrinfo* list = nullptr;
    const char* host = where.host.empty() ? nullptr : where.host.c_str();
    if (const int code = ::getaddrinfo(host, where.port.c_str(), &hints, &list); code != 0) {
        return base::fail(Errc::io, where.text() + ": " + ::gai_strerror(code));
    }
    int fd = -1;
    for (const addrinfo* entry = list; entry != nullptr && fd < 0; entry = entry->ai_next) {
        fd = ::socket(entry->ai_family, entry->ai_socktype | SOCK_CLOEXEC, entry->ai_protocol);
        const int on = 1;
        if (fd >= 0 && server) {
            ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        }
        if (fd >= 0 && (server ? ::bind(fd, entry->ai_addr, entry->ai_addrlen)
                               : ::connect(fd, entry->ai_addr, entry->ai_addrlen)) < 0) {
            const int saved = errno;
            ::close(fd);
            errno = saved;
            fd = -1;
        }
    }
    ::freeaddrinfo(list);
    if (fd < 0) {
        return system_error(where.text());
    }
    return fd;
}

base::Result<int> open_socket(const SocketAddress& where, bool server)
{
    return where.kind == SocketAddress::Kind::unix_path ? open_unix(where, server)
                                                        : open_tcp(where, server);
}

} // namespace

std::string SocketAddress::text() const
{
    return kind == Kind::unix_path ? "unix:" + path : "tcp:" + host + ":" + port;
}

base::Result<SocketAddress> parse_socket_address(const std::string& text)
{
    SocketAddress address;
    if (text.starts_with("unix:")) {
        address.path = text.substr(5);
        if (auto checked = unix_address(address.path); !checked) {
            return std::move(checked).error();
        }
        return address;
    }
    if (text.starts_with("tcp:")) {
        const auto colon = text.rfind(':');
        address.kind = SocketAddress::Kind::tcp;
        address.port = text.substr(colon + 1);
        if (colon > 4) {
            address.host = text.substr(4, colon - 4);
        }
        if (address.port.empty()) {
            return base::fail(Errc::invalid_argument, "no port in '" + text + "'");
        }
        return address;
    }
    return base::fail(Errc::invalid_argument,
                      "'" + text + "' is no socket address (unix:PATH or tcp:HOST:PORT)");
}

base::Result<int> connect_socket(const SocketAddress& address)
{
    return open_socket(address, false);
}

base::Result<std::unique_ptr<Listener>> Listener::create(HostLoop& loop, SocketAddress address,
                                                         Accepted accepted)
{
    auto fd = open_socket(address, true);
    if (!fd) {
        return std::move(fd).error();
    }
    if (::listen(fd.value(), kBacklog) < 0) {
        auto error = system_error(address.text());
        ::close(fd.value());
        return error;
    }
    std::unique_ptr<Listener> listener{
        new Listener{loop, std::move(address), fd.value(), std::move(accepted)}};
    loop.post([raw = listener.get()] { raw->set_accepting(true); });
    return listener;
}

Listener::Listener(HostLoop& loop, SocketAddress address, int fd, Accepted accepted)
    : loop_{loop}, address_{std::move(address)}, fd_{fd}, accepted_{std::move(accepted)}
{}

Listener::~Listener()
{
    loop_.unwatch(fd_);
    ::close(fd_);
    if (address_.kind == SocketAddress::Kind::unix_path) {
        ::unlink(address_.path.c_str());
    }
}

void Listener::set_accepting(bool accepting)
{
    if (accepting) {
        loop_.watch(fd_, POLLIN, [this](short) { on_ready(); });
    } else {
        loop_.unwatch(fd_);
    }
}

void Listener::on_ready()
{
    const int client = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client >= 0) {
        accepted_(client);
    }
}

} // namespace emu::hostio
