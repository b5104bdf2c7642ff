// TLS for the server's side of a connection, by OpenSSL, which is loaded when it is first wanted.
//
// Source: "The NBD protocol" (doc/proto.md), section "TLS support"; names of the files as QEMU's
// documentation (docs/system/tls, "Network security with TLS") has them.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <functional>
#include <memory>
#include <span>
#include <string>

namespace img::nbd {

/// Waits until a socket can be read (or written), or says why not.
using WaitForSocket = std::function<base::Status(bool writable)>;

/// TLS on one connection. Not for several threads at once.
class TlsSession {
public:
    virtual ~TlsSession() = default;
    virtual base::Status handshake(const WaitForSocket& wait) = 0;
    /// Fills `into` or fails.
    virtual base::Status read(std::span<base::u8> into, const WaitForSocket& wait) = 0;
    virtual base::Status write(std::span<const base::u8> from, const WaitForSocket& wait) = 0;
    /// Whether something can be read without the socket.
    virtual bool has_pending() const = 0;
    /// Tells the client that this is the end, if that is possible without waiting.
    virtual void close() = 0;
};

/// The server's certificate. Sessions must not outlive it.
class TlsCredentials {
public:
    /// Reads server-cert.pem and server-key.pem of a folder. When ca-cert.pem is there too, clients
    /// must have a certificate that it has signed. Errors: `unsupported` without OpenSSL; `io`.
    static base::Result<std::unique_ptr<TlsCredentials>> load(const std::string& folder);

    virtual ~TlsCredentials() = default;
    virtual bool verifies_clients() const = 0;
    /// TLS on a socket that does not block.
    virtual base::Result<std::unique_ptr<TlsSession>> start(int fd) const = 0;
};

} // namespace img::nbd
