// Encryption of qcow2: the legacy method AES, and LUKS, whose header is in clusters of its own.
#pragma once

#include "imgtool/crypto/luks.hpp"
#include "imgtool/formats/qcow2/layout.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace img::qcow2 {

/// What an image is encrypted with.
struct Encryption {
    std::unique_ptr<SectorCipher> cipher = {}; // null: not encrypted, or opened without its key
    std::optional<crypto::luks::Header> luks = {};
    std::vector<u8> key = {}; // of LUKS; empty when opened without the passphrase
};

/// Errors in qemu-img's words: no key, no such secret, a wrong passphrase.
Result<Encryption> open_encryption(ByteSource& file, const Header& header,
                                   const OpenContext& context);

/// The member "encrypt" of what `info` shows.
Property describe_encryption(const Header& header, const Encryption& encryption);

/// What new images are encrypted with; from settings "encryption" and "encrypt.*".
struct EncryptionParameters {
    u32 method = encryption_method::none;
    std::string key_secret = {};
    crypto::LuksParameters luks = {};

    /// Bytes of the LUKS header with its key slots; 0 when there is none.
    Result<u64> header_bytes() const;
};

/// Errors: unknown names, no key; whether there is a secret of that name is not looked at.
Result<EncryptionParameters> parse_encryption(const CreateSettings& settings);

/// The passphrase for a new image.
Result<std::string> new_passphrase(const EncryptionParameters& parameters, const Secrets* secrets);

} // namespace img::qcow2
