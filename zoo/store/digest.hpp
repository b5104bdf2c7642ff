// SHA-256 of streams, and the textual form of digests.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace zoo {

constexpr std::size_t kSha256Digits = 64;

/// A running SHA-256. Movable, not copyable.
class Sha256 {
public:
    Sha256();
    ~Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;

    void update(std::span<const base::u8> bytes);

    /// The digest in lower-case hexadecimal; afterwards the object starts anew.
    std::string finish();

private:
    struct Context;
    std::unique_ptr<Context> context_;
};

std::string sha256_of(std::string_view bytes);
base::Result<std::string> sha256_of_file(const std::filesystem::path& path);

/// The digest in lower case, or nothing when it is not `digits` hexadecimal digits or is all zeros
/// (the usual placeholder).
std::optional<std::string> normalise_digest(std::string_view text, std::size_t digits);

} // namespace zoo
