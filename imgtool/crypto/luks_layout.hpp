// The on-disk header of LUKS, version 1, and its checks.
//
// Source: "LUKS On-Disk Format Specification", version 1.2.3 (Clemens Fruhwirth), figures 1 to 4
// ("PHDR layout", "key slot layout", the constants). All numbers are big-endian.
#pragma once

#include "imgtool/crypto/sector_cipher.hpp"
#include "imgtool/image.hpp"

#include <array>
#include <string>
#include <vector>

namespace img::crypto {

namespace luks {

inline constexpr std::size_t kHeaderSize = 592; // bytes
inline constexpr std::size_t kSlots = 8;        // LUKS_NUMKEYS
inline constexpr u32 kStripes = 4000;           // LUKS_STRIPES
inline constexpr std::size_t kSaltSize = 32;    // bytes, LUKS_SALTSIZE
inline constexpr std::size_t kDigestSize = 20;  // bytes, LUKS_DIGESTSIZE
inline constexpr u64 kSector = 512;             // bytes
inline constexpr u64 kFirstMaterial = 4096;     // bytes, where the first slot's key begins
inline constexpr u64 kMaterialAlignment = 4096; // bytes, LUKS_ALIGN_KEYSLOTS
inline constexpr u32 kMinIterations = 1000;
inline constexpr std::size_t kMaxKeySize = 64; // bytes

struct Slot {
    bool active = false;
    u32 iterations = 0;
    std::array<u8, kSaltSize> salt{};
    u32 material_sector = 0; // from the header on
    u32 stripes = kStripes;
};

struct Header {
    std::string cipher_name; // "aes"
    std::string cipher_mode; // "xts-plain64"
    std::string hash_spec;   // "sha256"
    u32 payload_sector = 0;
    u32 key_bytes = 0;
    std::array<u8, kDigestSize> digest{}; // of the master key
    std::array<u8, kSaltSize> digest_salt{};
    u32 digest_iterations = 0;
    std::string uuid;
    std::array<Slot, kSlots> slots{};

    u64 payload_offset() const { return u64{payload_sector} * kSector; }
    /// Bytes of a slot's split key.
    u64 split_size() const { return u64{key_bytes} * kStripes; }
};

/// What the names in a header mean.
struct Meaning {
    CipherSpec cipher;
    Hash hash = Hash::sha256;
    std::string algorithm; // "aes-256", as QEMU names it
    std::string mode;      // "xts"
    std::string iv;        // "plain64"
    std::string iv_hash;   // "sha256", or empty
};

bool has_magic(std::span<const u8> start);

/// Parses and checks the first kHeaderSize bytes. `limit`: bytes of the header with its key slots,
/// at most. Errors: `wrong_format`, `corrupt`, `unsupported`.
Result<Header> parse(std::span<const u8> start, u64 limit);
std::vector<u8> encode(const Header& header);

/// Errors: `unsupported`, names what is not known.
Result<Meaning> meaning_of(const Header& header);

} // namespace luks

} // namespace img::crypto
