#include "imgtool/crypto/host_crypto.hpp"

#include "base/host_library.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/random.h>

namespace img::crypto {

namespace {

using base::Errc;
using base::fail;

struct HashName {
    Hash hash;
    std::string_view name;
    const char* openssl;
    u32 size; // bytes
};
constexpr std::array kHashes{
    HashName{Hash::md5, "md5", "MD5", 16},
    HashName{Hash::sha1, "sha1", "SHA1", 20},
    HashName{Hash::sha224, "sha224", "SHA2-224", 28},
    HashName{Hash::sha256, "sha256", "SHA2-256", 32},
    HashName{Hash::sha384, "sha384", "SHA2-384", 48},
    HashName{Hash::sha512, "sha512", "SHA2-512", 64},
    HashName{Hash::ripemd160, "ripemd160", "RIPEMD-160", 20},
};

const HashName& row_of(Hash hash)
{
    return *std::ranges::find(kHashes, hash, &HashName::hash);
}

/// What is used of libcrypto.
struct Library {
    decltype(&::EVP_MD_fetch) md_fetch;
    decltype(&::EVP_MD_free) md_free;
    decltype(&::EVP_Digest) digest;
    decltype(&::EVP_MD_CTX_new) hash_new;
    decltype(&::EVP_MD_CTX_free) hash_free;
    decltype(&::EVP_DigestInit_ex2) hash_init;
    decltype(&::EVP_DigestUpdate) hash_update;
    decltype(&::EVP_DigestFinal_ex) hash_final;
    decltype(&::PKCS5_PBKDF2_HMAC) pbkdf2;
    decltype(&::EVP_CIPHER_fetch) cipher_fetch;
    decltype(&::EVP_CIPHER_free) cipher_free;
    decltype(&::EVP_CIPHER_CTX_new) context_new;
    decltype(&::EVP_CIPHER_CTX_free) context_free;
    decltype(&::EVP_CIPHER_CTX_copy) context_copy;
    decltype(&::EVP_CIPHER_CTX_set_padding) set_padding;
    decltype(&::EVP_CipherInit_ex2) init;
    decltype(&::EVP_CipherUpdate) update;
};

Result<Library> load_library()
{
    auto loaded = base::HostLibrary::load("libcrypto.so.3", "libssl3");
    if (!loaded) {
        return std::move(loaded).error();
    }
    base::HostLibrary& host = loaded.value();
    Library library{};
    host.find("EVP_MD_fetch", library.md_fetch);
    host.find("EVP_MD_free", library.md_free);
    host.find("EVP_Digest", library.digest);
    host.find("EVP_MD_CTX_new", library.hash_new);
    host.find("EVP_MD_CTX_free", library.hash_free);
    host.find("EVP_DigestInit_ex2", library.hash_init);
    host.find("EVP_DigestUpdate", library.hash_update);
    host.find("EVP_DigestFinal_ex", library.hash_final);
    host.find("PKCS5_PBKDF2_HMAC", library.pbkdf2);
    host.find("EVP_CIPHER_fetch", library.cipher_fetch);
    host.find("EVP_CIPHER_free", library.cipher_free);
    host.find("EVP_CIPHER_CTX_new", library.context_new);
    host.find("EVP_CIPHER_CTX_free", library.context_free);
    host.find("EVP_CIPHER_CTX_copy", library.context_copy);
    host.find("EVP_CIPHER_CTX_set_padding", library.set_padding);
    host.find("EVP_CipherInit_ex2", library.init);
    host.find("EVP_CipherUpdate", library.update);
    if (auto complete = host.complete(); !complete) {
        return std::move(complete).error();
    }
    return library;
}

/// Loaded once for the process; never changes.
const Result<Library>& library()
{
    static const Result<Library> loaded = load_library();
    return loaded;
}

/// A digest's implementation, held while it is used.
class FetchedHash {
public:
    FetchedHash(const Library& l, Hash hash)
        : library_{l}, md_{l.md_fetch(nullptr, row_of(hash).openssl, nullptr)}
    {}
    ~FetchedHash() { library_.md_free(md_); }
    FetchedHash(const FetchedHash&) = delete;
    FetchedHash& operator=(const FetchedHash&) = delete;

    const EVP_MD* get() const { return md_; }

private:
    const Library& library_;
    EVP_MD* md_;
};

base::Error no_hash(Hash hash)
{
    return fail(Errc::unsupported,
                "the host's OpenSSL has no " + std::string{row_of(hash).name} + " hash");
}

} // namespace

std::optional<Hash> find_hash(std::string_view name)
{
    const auto* row = std::ranges::find(kHashes, name, &HashName::name);
    return row == kHashes.end() ? std::nullopt : std::optional{row->hash};
}

std::string_view name_of(Hash hash)
{
    return row_of(hash).name;
}

u32 digest_size(Hash hash)
{
    return row_of(hash).size;
}

Status digest(Hash hash, std::span<const u8> bytes, std::span<u8> into)
{
    const auto& l = library();
    if (!l) {
        return l.error();
    }
    const FetchedHash md{l.value(), hash};
    unsigned length = 0;
    std::array<u8, kMaxDigest> out{};
    if (md.get() == nullptr ||
        l.value().digest(bytes.data(), bytes.size(), out.data(), &length, md.get(), nullptr) != 1) {
        return no_hash(hash);
    }
    std::copy_n(out.begin(), std::min<std::size_t>(length, into.size()), into.begin());
    return base::ok();
}

struct Hasher::Context {
    const Library& library;
    FetchedHash md;
    EVP_MD_CTX* evp;
    u32 size; // bytes of the digest
    bool good = false;

    Context(const Library& l, Hash hash)
        : library{l}, md{l, hash}, evp{l.hash_new()}, size{digest_size(hash)}
    {}
    ~Context() { library.hash_free(evp); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    void start() { good = library.hash_init(evp, md.get(), nullptr) == 1; }
};

Hasher::Hasher(std::unique_ptr<Context> context) : context_{std::move(context)} {}
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

Result<Hasher> Hasher::make(Hash hash)
{
    const auto& l = library();
    if (!l) {
        return l.error();
    }
    auto context = std::make_unique<Context>(l.value(), hash);
    if (context->md.get() != nullptr && context->evp != nullptr) {
        context->start();
    }
    if (!context->good) {
        return no_hash(hash);
    }
    return Hasher{std::move(context)};
}

void Hasher::add(std::span<const u8> bytes)
{
    Context& c = *context_;
    c.good = c.good && c.library.hash_update(c.evp, bytes.data(), bytes.size()) == 1;
}

Status Hasher::finish(std::span<u8> into)
{
    Context& c = *context_;
    unsigned length = 0;
    const bool good =
        c.good && into.size() == c.size && c.library.hash_final(c.evp, into.data(), &length) == 1;
    c.start();
    return good ? base::ok() : Status{fail(Errc::io, "the host's OpenSSL could not make a digest")};
}

Status pbkdf2(Hash hash, std::string_view passphrase, std::span<const u8> salt, u32 iterations,
              std::span<u8> into)
{
    const auto& l = library();
    if (!l) {
        return l.error();
    }
    if (iterations == 0 || iterations > INT32_MAX) {
        return fail(Errc::unsupported,
                    "PBKDF2 with " + std::to_string(iterations) + " iterations is not supported");
    }
    const FetchedHash md{l.value(), hash};
    if (md.get() == nullptr ||
        l.value().pbkdf2(passphrase.data(), static_cast<int>(passphrase.size()), salt.data(),
                         static_cast<int>(salt.size()), static_cast<int>(iterations), md.get(),
                         static_cast<int>(into.size()), into.data()) != 1) {
        return no_hash(hash);
    }
    return base::ok();
}

Status random_bytes(std::span<u8> into)
{
    while (!into.empty()) {
        const ssize_t n = ::getrandom(into.data(), into.size(), 0);
        if (n < 0 && errno != EINTR) {
            return fail(Errc::io, std::string{"no random bytes: "} + std::strerror(errno));
        }
        into = into.subspan(n < 0 ? 0 : static_cast<std::size_t>(n));
    }
    return base::ok();
}

struct BlockCipher::Context {
    const Library& library;
    EVP_CIPHER_CTX* evp;
    bool has_iv;

    Context(const Library& l, bool iv) : library{l}, evp{l.context_new()}, has_iv{iv} {}
    ~Context() { library.context_free(evp); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
};

BlockCipher::BlockCipher(std::unique_ptr<Context> context) : context_{std::move(context)} {}
BlockCipher::BlockCipher(BlockCipher&&) noexcept = default;
BlockCipher& BlockCipher::operator=(BlockCipher&&) noexcept = default;
BlockCipher::~BlockCipher() = default;

Result<BlockCipher> BlockCipher::aes(Mode mode, std::span<const u8> key, Direction direction)
{
    const auto& l = library();
    if (!l) {
        return l.error();
    }
    const std::size_t bytes = mode == Mode::xts ? key.size() / 2 : key.size();
    const bool good = bytes == 16 || bytes == 32 || (bytes == 24 && mode != Mode::xts);
    if (!good || (mode == Mode::xts && key.size() % 2 != 0)) {
        return fail(Errc::unsupported,
                    "AES with a key of " + std::to_string(key.size()) + " bytes is not supported");
    }
    constexpr std::array<const char*, 3> kModes{"ECB", "CBC", "XTS"};
    const std::string name =
        "AES-" + std::to_string(bytes * 8) + "-" + kModes[static_cast<std::size_t>(mode)];
    auto context = std::make_unique<Context>(l.value(), mode != Mode::ecb);
    EVP_CIPHER* cipher = l.value().cipher_fetch(nullptr, name.c_str(), nullptr);
    const bool ready = context->evp != nullptr && cipher != nullptr &&
                       l.value().init(context->evp, cipher, key.data(), nullptr,
                                      direction == Direction::encrypt ? 1 : 0, nullptr) == 1 &&
                       l.value().set_padding(context->evp, 0) == 1;
    l.value().cipher_free(cipher);
    if (!ready) {
        return fail(Errc::unsupported, "the host's OpenSSL cannot use this key with " + name);
    }
    return BlockCipher{std::move(context)};
}

Result<BlockCipher> BlockCipher::copy() const
{
    const Library& l = context_->library;
    auto context = std::make_unique<Context>(l, context_->has_iv);
    if (context->evp == nullptr || l.context_copy(context->evp, context_->evp) != 1) {
        return fail(Errc::io, "no memory for a cipher");
    }
    return BlockCipher{std::move(context)};
}

Status BlockCipher::run(std::span<const u8, 16> iv, std::span<u8> bytes)
{
    const Library& l = context_->library;
    int done = 0;
    if ((context_->has_iv &&
         l.init(context_->evp, nullptr, nullptr, iv.data(), -1, nullptr) != 1) ||
        l.update(context_->evp, bytes.data(), &done, bytes.data(),
                 static_cast<int>(bytes.size())) != 1 ||
        static_cast<std::size_t>(done) != bytes.size()) {
        return fail(Errc::io, "the host's OpenSSL could not cipher a block");
    }
    return base::ok();
}

} // namespace img::crypto
