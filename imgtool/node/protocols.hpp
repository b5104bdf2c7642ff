// The list of protocols.
#pragma once

#include "imgtool/node/node.hpp"

namespace img::node {

extern const Protocol kFileProtocol;
extern const Protocol kHostDeviceProtocol;
extern const Protocol kNullCoProtocol;
extern const Protocol kNullAioProtocol;
extern const Protocol kFaultProtocol;
extern const Protocol kQuorumProtocol;
extern const Protocol kNbdProtocol;
extern const Protocol kHttpProtocol;
extern const Protocol kHttpsProtocol;
extern const Protocol kFatProtocol;

} // namespace img::node
