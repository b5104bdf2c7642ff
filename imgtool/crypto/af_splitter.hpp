// The anti-forensic splitter: a key is spread over many blocks, so that losing any of them loses
// the key (LUKS On-Disk Format Specification, section "AF splitter").
#pragma once

#include "imgtool/crypto/host_crypto.hpp"

#include <vector>

namespace img::crypto {

/// `stripes` blocks of the key's length, all but the last of them random.
Result<std::vector<u8>> af_split(Hash hash, std::span<const u8> key, u32 stripes);

/// The key again; `split` is `stripes` times as long as it.
Result<std::vector<u8>> af_merge(Hash hash, std::span<const u8> split, u32 stripes);

} // namespace img::crypto
