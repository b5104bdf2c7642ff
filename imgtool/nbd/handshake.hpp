// The first phase of the protocol: what is agreed with a client before it may read and write.
//
// Source: "The NBD protocol" (doc/proto.md), sections "Handshake", "TLS support" and "Option
// types". Only fixed newstyle negotiation is spoken; clients that know no options may still name an
// export.
#pragma once

#include "imgtool/nbd/export.hpp"
#include "imgtool/nbd/stream.hpp"

#include <optional>

namespace img::nbd {

/// What a client has negotiated.
struct Session {
    bool structured = false; // NBD_OPT_STRUCTURED_REPLY
    bool allocation = false; // the metadata context base:allocation was selected
};
inline constexpr base::u32 kAllocationContext = 1; // its ID

inline constexpr base::u32 kMaxRequest = base::u32{32} << 20; // bytes of data of one request

/// Speaks with a client until it has chosen the export; nothing when the connection is to be
/// closed. With `tls_required` nothing is told before TLS is on ("FORCEDTLS mode").
std::optional<Session> shake_hands(Stream& stream, const Export& offered, bool tls_required);

} // namespace img::nbd
