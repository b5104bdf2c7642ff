// Where a socket is: "unix:PATH" or "tcp:HOST:PORT", and the descriptors for it.
#pragma once

#include "base/result.hpp"
#include "emulator/hostio/stream.hpp"

#include <functional>
#include <string>

namespace emu::hostio {

struct SocketAddress {
    enum class Kind : base::u8 { unix_path, tcp };
    Kind kind = Kind::unix_path;
    std::string path; // unix
    std::string host; // tcp; empty: all interfaces for a server, the loopback for a client
    std::string port;

    std::string text() const;
};

/// Accepts "unix:PATH" and "tcp:HOST:PORT" without options.
base::Result<SocketAddress> parse_socket_address(const std::string& text);

base::Result<int> connect_socket(const SocketAddress& address);

/// A listening socket; each connection becomes a stream. A stale unix socket is replaced.
class Listener {
public:
    using Accepted = std::function<void(int fd)>; // on the loop's thread; takes the descriptor

    static base::Result<std::unique_ptr<Listener>> create(HostLoop& loop, SocketAddress address,
                                                          Accepted accepted);
    ~Listener();
    const SocketAddress& address() const { return address_; }

    /// Loop's thread: whether connections are taken (a channel with one client waits for its end).
    void set_accepting(bool accepting);

private:
    Listener(HostLoop& loop, SocketAddress address, int fd, Accepted accepted);
    void on_ready();

    HostLoop& loop_;
    SocketAddress address_;
    int fd_;
    Accepted accepted_;
};

} // namespace emu::hostio
