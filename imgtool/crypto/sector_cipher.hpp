// Ciphers of disk sectors as disk encryption formats name them: "aes", "cbc", "essiv:sha256".
#pragma once

#include "imgtool/crypto/host_crypto.hpp"
#include "imgtool/filter/cipher.hpp"

#include <memory>

namespace img::crypto {

/// How the initial vector of a sector is made of its number (LUKS On-Disk Format Specification,
/// "Cipher and Hash specification registry": "Valid cipher modes").
enum class IvKind : u8 {
    none,
    plain,   // 32 bits, little-endian
    plain64, // 64 bits, little-endian
    essiv    // 64 bits, encrypted with a hash of the key
};

struct CipherSpec {
    Mode mode = Mode::xts;
    IvKind iv = IvKind::plain64;
    Hash iv_hash = Hash::sha256; // of essiv
};

std::optional<Mode> find_mode(std::string_view name); // "xts"
std::optional<IvKind> find_iv(std::string_view name); // "plain64"; of "", none

/// AES with that key (in XTS mode, both keys).
Result<std::unique_ptr<SectorCipher>> make_cipher(const CipherSpec& spec, std::span<const u8> key);

/// The cipher of qcow and of qcow2's encryption method 1: AES-128 in CBC mode, the key is the
/// passphrase, cut or filled up with zeroes. Positions are those on the virtual disk.
Result<std::unique_ptr<SectorCipher>> make_qcow_cipher(std::string_view passphrase);

} // namespace img::crypto
