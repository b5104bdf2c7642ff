#include "zoo/store/digest.hpp"

#include "zoo/host/file.hpp"

#include <openssl/evp.h>

#include <array>
#include <vector>

namespace zoo {

using base::u8;

struct Sha256::Context {
    EVP_MD_CTX* evp = EVP_MD_CTX_new();
    Context() { EVP_DigestInit_ex(evp, EVP_sha256(), nullptr); }
    ~Context() { EVP_MD_CTX_free(evp); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
};

Sha256::Sha256() : context_{std::make_unique<Context>()} {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const u8> bytes)
{
    EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size());
}

std::string Sha256::finish()
{
    std::array<u8, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    EVP_DigestFinal_ex(context_->evp, digest.data(), &length);
    EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr);
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string text;
    for (unsigned i = 0; i < length; ++i) {
        text += kHex[digest[i] >> 4];
        text += kHex[digest[i] & 15];
    }
    return text;
}

std::string sha256_of(std::string_view bytes)
{
    Sha256 hash;
    hash.update({reinterpret_cast<const u8*>(bytes.data()), bytes.size()});
    return hash.finish();
}

base::Result<std::string> sha256_of_file(const std::filesystem::path& path)
{
    Sha256 hash;
    auto read = read_file(path, [&](std::span<const u8> bytes) {
        hash.update(bytes);
        return base::ok();
    });
    if (!read) {
        return std::move(read).error();
    }
    return hash.finish();
}

std::optional<std::string> normalise_digest(std::string_view text, std::size_t digits)
{
    if (text.size() != digits || text.find_first_not_of('0') == text.npos) {
        return std::nullopt;
    }
    std::string lower;
    for (const char c : text) {
        if (c >= 'A' && c <= 'F') {
            lower += static_cast<char>(c - 'A' + 'a');
        } else if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) {
            lower += c;
        } else {
            return std::nullopt;
        }
    }
    return lower;
}

} // namespace zoo
