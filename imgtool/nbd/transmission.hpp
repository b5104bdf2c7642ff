// The second phase of the protocol: the client's requests, answered one after the other.
//
// Source: "The NBD protocol" (doc/proto.md), sections "Transmission" and "Request types".
// However long a request is, its data goes through one buffer of fixed size.
#pragma once

#include "imgtool/nbd/export.hpp"
#include "imgtool/nbd/handshake.hpp"
#include "imgtool/nbd/stream.hpp"

namespace img::nbd {

/// Serves until the client leaves, breaks the protocol, or cannot be reached any more.
void transmit(Stream& stream, Export& offered, const Session& session);

/// The whole of a connection: handshake and transmission.
void serve_client(Stream& stream, Export& offered, bool tls_required);

} // namespace img::nbd
