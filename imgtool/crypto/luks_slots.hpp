// The key slots of a LUKS volume: in each, the master key is encrypted with a passphrase.
#pragma once

#include "imgtool/crypto/luks.hpp"

namespace img::crypto::luks {

/// How many PBKDF2 iterations this host does in about `milliseconds` of CPU time; at least
/// kMinIterations.
Result<u32> count_iterations(Hash hash, std::size_t key_bytes, u64 milliseconds);

/// The master key, if the passphrase opens the slot; else nothing in it.
Result<std::vector<u8>> open_slot(const LuksPlace& place, const Header& header, std::size_t index,
                                  const std::string& passphrase);

/// Stores the master key under a passphrase and marks the slot active.
Status fill_slot(const LuksPlace& place, Header& header, std::size_t index, std::span<const u8> key,
                 const std::string& passphrase, u64 iter_time_ms);

/// Marks the slot inactive and destroys what it had.
Status erase_slot(const LuksPlace& place, Header& header, std::size_t index);

Result<bool> is_key(const Header& header, std::span<const u8> key);

} // namespace img::crypto::luks
