// LUKS volumes, version 1: making them, unlocking them, and changing their passphrases. The header
// with the key slots may be a whole file's beginning (the format luks) or part of another image
// (qcow2).
#pragma once

#include "imgtool/crypto/luks_layout.hpp"
#include "imgtool/format.hpp"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace img::crypto {

/// What a new volume is to be; the defaults are QEMU's.
struct LuksParameters {
    std::string algorithm = "aes-256";
    std::string mode = "xts";
    std::string iv = "plain64";
    std::string iv_hash = {}; // of essiv; empty: sha256
    std::string hash = "sha256";
    u64 iter_time_ms = 2000; // to spend on trying one passphrase
};

/// Takes what begins with `prefix` ("" or "encrypt.") from completed settings.
LuksParameters luks_parameters(const CreateSettings& settings, std::string_view prefix);

/// A header without keys; its payload_offset() says how many bytes a volume needs before its data.
/// Errors in qemu-img's words.
Result<luks::Header> plan_luks(const LuksParameters& parameters);

/// Where a header is in a file.
struct LuksPlace {
    ByteSource& file;
    u64 at = 0;    // of the header
    u64 limit = 0; // bytes from there on that the header and its key slots may use
};

/// Writes a new volume's header and its first key slot, with a new random key.
Status create_luks(const LuksPlace& place, const LuksParameters& parameters,
                   const std::string& passphrase);

Result<luks::Header> read_luks(const LuksPlace& place);

/// The master key. Errors in qemu-img's words: no slot takes the passphrase.
Result<std::vector<u8>> unlock_luks(const LuksPlace& place, const luks::Header& header,
                                    const std::string& passphrase);

/// The cipher of a volume's data. Positions are those in the data.
Result<std::unique_ptr<SectorCipher>> luks_cipher(const luks::Header& header,
                                                  std::span<const u8> key);

/// Adds or erases passphrases as `settings` say ("state", "new-secret", ..., with `prefix` before
/// them). `key` is the master key; empty when the volume was opened without.
Status amend_luks(const LuksPlace& place, luks::Header& header, std::span<const u8> key,
                  const CreateSettings& settings, std::string_view prefix, const Secrets* secrets,
                  bool force);

/// What `info` shows. With `format`, that the format is luks is among it.
std::vector<Property> describe_luks(const luks::Header& header, bool format);

} // namespace img::crypto
