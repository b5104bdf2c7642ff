// The connection to a client, as the protocol sees it: bytes in order, both ways.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <span>

namespace img::nbd {

class Stream {
public:
    virtual ~Stream() = default;

    /// Fills `into` or fails: the client went away, was too slow, or the server is being stopped.
    virtual base::Status read(std::span<base::u8> into) = 0;
    virtual base::Status write(std::span<const base::u8> from) = 0;

    /// Waits, for as long as it takes, until there is something to read. Fails as read() does.
    virtual base::Status wait() = 0;

    /// What was read and written so far was the handshake, which as a whole has a time limit;
    /// from now on each message has one.
    virtual void handshake_done() = 0;

    virtual bool can_secure() const = 0; // whether the server has a certificate
    virtual bool secure() const = 0;     // whether TLS is on
    /// Turns TLS on: a handshake of its own follows.
    virtual base::Status start_tls() = 0;
};

} // namespace img::nbd
