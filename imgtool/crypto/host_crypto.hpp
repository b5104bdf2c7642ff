// Digests, key derivation and block ciphers of the host's OpenSSL, which is loaded when they are
// first needed.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace img::crypto {

using base::Result;
using base::Status;
using base::u32;
using base::u64;
using base::u8;

enum class Hash : u8 { md5, sha1, sha224, sha256, sha384, sha512, ripemd160 };

std::optional<Hash> find_hash(std::string_view name); // "sha256"
std::string_view name_of(Hash hash);
u32 digest_size(Hash hash); // bytes, at most kMaxDigest
inline constexpr std::size_t kMaxDigest = 64;

/// The digest of `bytes` in `into`, which is digest_size() long.
Status digest(Hash hash, std::span<const u8> bytes, std::span<u8> into);

/// A digest of bytes that come in pieces. One per thread.
class Hasher {
public:
    static Result<Hasher> make(Hash hash);

    Hasher(Hasher&&) noexcept;
    Hasher& operator=(Hasher&&) noexcept;
    ~Hasher();

    void add(std::span<const u8> bytes);
    /// The digest of what was added since the last one; `into` is digest_size() long.
    Status finish(std::span<u8> into);

private:
    struct Context;
    explicit Hasher(std::unique_ptr<Context> context);
    std::unique_ptr<Context> context_;
};

/// Fills `into` by PBKDF2 (RFC 8018, section 5.2) with HMAC. `iterations` is at least 1.
Status pbkdf2(Hash hash, std::string_view passphrase, std::span<const u8> salt, u32 iterations,
              std::span<u8> into);

/// Fills `into` with random bytes of the host.
Status random_bytes(std::span<u8> into);

enum class Mode : u8 { ecb, cbc, xts };

/// One key, ready for use in one direction. Copies can be made in several threads at once.
class BlockCipher {
public:
    enum class Direction : u8 { encrypt, decrypt };

    /// AES; `key` has 16, 24 or 32 bytes, in XTS mode 32 or 64. Error: `unsupported`.
    static Result<BlockCipher> aes(Mode mode, std::span<const u8> key, Direction direction);

    BlockCipher(BlockCipher&&) noexcept;
    BlockCipher& operator=(BlockCipher&&) noexcept;
    ~BlockCipher();

    /// Another one with the same key, for a thread of its own.
    Result<BlockCipher> copy() const;

    /// Ciphers `bytes` (whole blocks of 16) in place as one unit, which begins with `iv`; in ECB
    /// mode that is not looked at.
    Status run(std::span<const u8, 16> iv, std::span<u8> bytes);

private:
    struct Context;
    explicit BlockCipher(std::unique_ptr<Context> context);
    std::unique_ptr<Context> context_;
};

} // namespace img::crypto
