// Sockets: where a server listens, and the connection to one client.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"
#include "imgtool/nbd/stream.hpp"
#include "imgtool/nbd/tls.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace img::nbd {

/// A file descriptor that is closed with its owner.
class Descriptor {
public:
    explicit Descriptor(int fd = -1) : fd_{fd} {}
    ~Descriptor();
    Descriptor(Descriptor&& other) noexcept : fd_{other.release()} {}
    Descriptor& operator=(Descriptor&& other) noexcept;

    int get() const { return fd_; }
    int release();

private:
    int fd_;
};

/// A socket that clients connect to. A unix socket's file is removed at the end.
class Listener {
public:
    /// Takes the place of a socket that nobody listens on any more, of nothing else.
    static base::Result<Listener> on_unix(const std::string& path);
    /// `port` 0: any that is free.
    static base::Result<Listener> on_tcp(const std::string& host, base::u16 port);

    ~Listener();
    Listener(Listener&& other) noexcept;
    Listener& operator=(Listener&&) = delete;

    int fd() const { return fd_.get(); }
    /// Of an export on it: "nbd://127.0.0.1:10809/name", "nbd+unix:///name?socket=path".
    std::string url(const std::string& export_name) const;

private:
    Listener(Descriptor fd, std::string path, std::string authority);

    Descriptor fd_;
    std::string path_;      // of a unix socket
    std::string authority_; // of a TCP socket: host and port
};

class SocketStream final : public Stream {
public:
    struct Limits {
        std::chrono::milliseconds handshake = std::chrono::seconds{30};
        /// Without any progress in the midst of a message.
        std::chrono::milliseconds stall = std::chrono::seconds{120};
        /// For answers under way when the server is stopped.
        std::chrono::milliseconds stop = std::chrono::seconds{2};
    };
    /// `stop` becomes readable when the server is to be stopped. `credentials` may be null.
    SocketStream(Descriptor fd, int stop, const TlsCredentials* credentials, const Limits& limits);
    ~SocketStream() override;
    SocketStream(const SocketStream&) = delete;
    SocketStream& operator=(const SocketStream&) = delete;

    base::Status read(std::span<base::u8> into) override;
    base::Status write(std::span<const base::u8> from) override;
    base::Status wait() override;
    void handshake_done() override { deadline_.reset(); }
    bool can_secure() const override { return credentials_ != nullptr; }
    bool secure() const override { return tls_ != nullptr; }
    base::Status start_tls() override;

private:
    using Clock = std::chrono::steady_clock;

    base::Status wait_for(bool writable);
    base::Status wait_until(short events, std::optional<Clock::time_point> deadline);

    Descriptor fd_;
    int stop_;
    const TlsCredentials* credentials_;
    Limits limits_;
    std::optional<Clock::time_point> deadline_; // of the handshake
    bool stopping_ = false;
    std::unique_ptr<TlsSession> tls_;
};

} // namespace img::nbd
