#include "imgtool/cli/object.hpp"

#include "imgtool/cli/command.hpp"
#include "imgtool/crypto/host_crypto.hpp"
#include "imgtool/node/json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <unistd.h>
#include <vector>

namespace img::cli {

namespace {

using base::Errc;
using base::fail;
using base::Result;
using base::Status;

constexpr std::size_t kMaxSecretBytes = std::size_t{16} << 20;

/// QEMU's other types, which are refused by name.
constexpr std::array<std::string_view, 12> kOtherTypes{
    "authz-list",        "authz-list-file", "authz-simple",   "main-loop",
    "pr-manager-helper", "secret_keyring",  "thread-context", "throttle-group",
    "tls-cipher-suites", "tls-creds-anon",  "tls-creds-psk",  "tls-creds-x509"};
constexpr std::array<std::string_view, 6> kSecretOptions{"data",  "file", "format",
                                                         "keyid", "iv",   "id"};

base::Error bad(std::string message)
{
    return fail(Errc::invalid_argument, std::move(message));
}

/// RFC 4648, section 4. Line ends may be anywhere.
Result<std::string> decode_base64(std::string_view text)
{
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    base::u32 bits = 0;
    int count = 0; // of bits
    for (const char c : text) {
        const std::size_t digit = kDigits.find(c);
        if (digit == std::string_view::npos) {
            if (c == '=' || c == '\n') {
                continue;
            }
            return bad("Base64 data contains invalid characters");
        }
        bits = bits << 6 | static_cast<base::u32>(digit);
        count += 6;
        if (count >= 8) {
            count -= 8;
            out += static_cast<char>(bits >> count & 0xff);
        }
    }
    return out;
}

Result<std::string> read_secret_file(const std::string& path)
{
    const auto failed = [&] {
        const int error = errno;
        return bad(fmt::format("Unable to read {}: Failed to open file “{}”: {}", path, path,
                               std::strerror(error)));
    };
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return failed();
    }
    std::string bytes;
    std::array<char, 4096> piece{};
    ssize_t n = 0;
    while (bytes.size() <= kMaxSecretBytes && (n = ::read(fd, piece.data(), piece.size())) > 0) {
        bytes.append(piece.data(), static_cast<std::size_t>(n));
    }
    const bool too_long = bytes.size() > kMaxSecretBytes;
    const base::Error error =
        too_long ? bad(fmt::format("Unable to read {}: too long", path)) : failed();
    ::close(fd);
    if (n < 0 || too_long) {
        return error;
    }
    return bytes;
}

std::optional<std::string> take(CreateSettings& settings, std::string_view name)
{
    std::optional<std::string> value;
    std::erase_if(settings, [&](const auto& setting) {
        if (setting.first == name) {
            value = setting.second;
        }
        return setting.first == name;
    });
    return value;
}

/// Undoes AES-256-CBC with the padding of RFC 5652, section 6.3.
Result<std::string> decrypt(std::string text, const std::string& key, const std::string& iv)
{
    if (key.size() != 32) {
        return bad("Key should be 32 bytes in length");
    }
    auto vector = decode_base64(iv);
    if (!vector) {
        return vector;
    }
    if (vector.value().size() != 16) {
        return bad(fmt::format("IV should be 16 bytes in length not {}", vector.value().size()));
    }
    if (text.size() % 16 != 0 || text.empty()) {
        return bad(fmt::format("Length {} must be a multiple of block size 16", text.size()));
    }
    const auto bytes_of = [](std::string& s) {
        return std::span<u8>{reinterpret_cast<u8*>(s.data()), s.size()};
    };
    std::string key_copy = key;
    auto cipher = crypto::BlockCipher::aes(crypto::Mode::cbc, bytes_of(key_copy),
                                           crypto::BlockCipher::Direction::decrypt);
    if (!cipher) {
        return std::move(cipher).error();
    }
    const auto begin = bytes_of(vector.value()).first<16>();
    if (auto done = cipher.value().run(begin, bytes_of(text)); !done) {
        return std::move(done).error();
    }
    const auto padding = static_cast<unsigned char>(text.back());
    if (padding == 0 || padding > 16) {
        return bad(
            fmt::format("Incorrect number of padding bytes ({}) found on decrypted data", padding));
    }
    text.resize(text.size() - padding);
    return text;
}

Result<std::string> secret_bytes(CreateSettings& settings, const Secrets& secrets)
{
    const auto data = take(settings, "data");
    const auto file = take(settings, "file");
    const auto format = take(settings, "format").value_or("raw");
    const auto key_id = take(settings, "keyid");
    const auto iv = take(settings, "iv");
    if (format != "raw" && format != "base64") {
        return bad(fmt::format("Parameter 'format' does not accept value '{}'", format));
    }
    if (data && file) {
        return bad("'file' and 'data' are mutually exclusive");
    }
    if (!data && !file) {
        return bad("Either 'file' or 'data' must be provided");
    }
    Result<std::string> bytes = file ? read_secret_file(*file) : Result<std::string>{*data};
    if (bytes && format == "base64") {
        bytes = decode_base64(bytes.value());
    }
    if (!bytes || !key_id) {
        return bytes;
    }
    auto key = secrets.find(*key_id);
    if (!key) {
        return key;
    }
    if (!iv) {
        return bad("IV is required to decrypt secret");
    }
    return decrypt(std::move(bytes).value(), key.value(), *iv);
}

Status check_id(const std::string& id)
{
    const auto is_part = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_';
    };
    if (id.empty() || std::isalpha(static_cast<unsigned char>(id[0])) == 0 ||
        !std::ranges::all_of(id, is_part)) {
        return bad("Parameter 'id' expects an identifier\n"
                   "Identifiers consist of letters, digits, '-', '.', '_', starting with a "
                   "letter.");
    }
    return base::ok();
}

Result<CreateSettings> parse_json(std::string_view text)
{
    auto value = node::parse_json(text);
    if (!value) {
        return std::move(value).error();
    }
    CreateSettings settings;
    for (const auto& [name, member] : value.value().members) {
        if (member.kind != node::Value::Kind::text) {
            return bad(fmt::format("Invalid parameter type for '{}', expected: string", name));
        }
        settings.emplace_back(name, member.text);
    }
    return settings;
}

[[noreturn]] void show_help(const std::string& type)
{
    if (type == "secret") {
        std::fputs("secret options:\n  data=<string>\n  file=<string>\n"
                   "  format=<QCryptoSecretFormat>\n  iv=<string>\n  keyid=<string>\n",
                   stdout);
    } else {
        std::fputs("List of user creatable objects:\n  secret\n", stdout);
    }
    std::exit(kSuccess);
}

} // namespace

Status add_object(std::string_view text, Secrets& secrets)
{
    CreateSettings settings;
    bool help = false;
    if (text.starts_with('{')) {
        auto parsed = parse_json(text);
        if (!parsed) {
            return std::move(parsed).error();
        }
        settings = std::move(parsed).value();
    } else {
        const std::string_view first = text.substr(0, text.find(','));
        if (first.find('=') == std::string_view::npos && !first.empty()) {
            settings.emplace_back("qom-type", first);
            text.remove_prefix(std::min(text.size(), first.size() + 1));
        }
        parse_settings(text, settings, help);
    }
    const std::string type = take(settings, "qom-type").value_or("");
    if (help || type == "help" || type == "?") {
        show_help(type);
    }
    if (type.empty()) {
        return bad("Parameter 'qom-type' is missing");
    }
    if (std::ranges::find(kOtherTypes, type) != kOtherTypes.end()) {
        return fail(Errc::unsupported, fmt::format("--object of type '{}' is not supported", type));
    }
    if (type != "secret") {
        return bad(fmt::format("Parameter 'qom-type' does not accept value '{}'", type));
    }
    for (const auto& [name, value] : settings) {
        if (std::ranges::find(kSecretOptions, name) == kSecretOptions.end()) {
            return bad(fmt::format("Parameter '{}' is unexpected", name));
        }
    }
    const auto id = take(settings, "id");
    if (!id) {
        return bad("Parameter 'id' is missing");
    }
    if (auto good = check_id(*id); !good) {
        return good;
    }
    auto bytes = secret_bytes(settings, secrets);
    if (!bytes) {
        return std::move(bytes).error();
    }
    if (secrets.find(*id)) {
        return bad(fmt::format("attempt to add duplicate property '{}' to object (type "
                               "'container')",
                               *id));
    }
    secrets.add(*id, std::move(bytes).value());
    return base::ok();
}

} // namespace img::cli
