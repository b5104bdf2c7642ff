#include "imgtool/formats/qcow2/encryption.hpp"

#include "imgtool/crypto/passphrase.hpp"

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;

constexpr const char* kKeySecret = "encrypt.key-secret";

} // namespace

Result<Encryption> open_encryption(ByteSource& file, const Header& header,
                                   const OpenContext& context)
{
    constexpr std::array<std::string_view, 3> kNames{"", "aes", "luks"};
    if (auto good = crypto::check_format_option(context.options, kNames[header.encryption]);
        !good) {
        return std::move(good).error();
    }
    Encryption e;
    if (header.encryption == encryption_method::none) {
        return e;
    }
    const auto place = header.luks_place();
    const crypto::LuksPlace luks{file, place.at, place.length};
    if (header.encryption == encryption_method::luks) {
        auto parsed = crypto::read_luks(luks);
        if (!parsed) {
            return std::move(parsed).error();
        }
        e.luks = std::move(parsed).value();
    }
    const std::string secret = crypto::value_of(context.options, kKeySecret);
    if (context.no_io || (context.purpose == OpenFor::check && secret.empty())) {
        return e;
    }
    auto passphrase = crypto::find_passphrase(context.secrets, secret, kKeySecret);
    if (!passphrase) {
        return std::move(passphrase).error();
    }
    if (e.luks) {
        auto key = crypto::unlock_luks(luks, *e.luks, passphrase.value());
        if (!key) {
            return std::move(key).error();
        }
        e.key = std::move(key).value();
    }
    auto cipher =
        e.luks ? crypto::luks_cipher(*e.luks, e.key) : crypto::make_qcow_cipher(passphrase.value());
    if (!cipher) {
        return std::move(cipher).error();
    }
    e.cipher = std::move(cipher).value();
    return e;
}

Property describe_encryption(const Header& header, const Encryption& encryption)
{
    Property out{"encrypt", "", Property::Kind::object, {}};
    if (encryption.luks) {
        out.members = crypto::describe_luks(*encryption.luks, true);
    } else if (header.encryption == encryption_method::aes) {
        out.members = {{"format", "aes"}};
    }
    return out;
}

Result<u64> EncryptionParameters::header_bytes() const
{
    if (method != encryption_method::luks) {
        return u64{0};
    }
    auto header = crypto::plan_luks(luks);
    return header ? Result<u64>{header.value().payload_offset()}
                  : Result<u64>{std::move(header).error()};
}

Result<EncryptionParameters> parse_encryption(const CreateSettings& settings)
{
    EncryptionParameters p;
    const std::string format = crypto::value_of(settings, "encrypt.format");
    const std::string legacy = crypto::value_of(settings, "encryption");
    if (!format.empty() && !legacy.empty()) {
        return fail(Errc::invalid_argument, "Options encryption and encrypt.format are mutually "
                                            "exclusive");
    }
    if (format == "luks") {
        p.method = encryption_method::luks;
    } else if (format == "aes" || legacy == "on") {
        p.method = encryption_method::aes;
    } else if (!format.empty()) {
        return fail(Errc::invalid_argument,
                    "Parameter 'encrypt.format' does not accept value '" + format + "'");
    }
    if (p.method == encryption_method::none) {
        return p;
    }
    p.key_secret = crypto::value_of(settings, kKeySecret);
    p.luks = crypto::luks_parameters(settings, "encrypt.");
    if (p.key_secret.empty()) {
        return fail(Errc::invalid_argument,
                    "Parameter 'encrypt.key-secret' is required for cipher");
    }
    if (auto bytes = p.header_bytes(); !bytes) {
        return std::move(bytes).error();
    }
    return p;
}

Result<std::string> new_passphrase(const EncryptionParameters& parameters, const Secrets* secrets)
{
    if (parameters.method == encryption_method::none) {
        return std::string{};
    }
    return crypto::find_passphrase(secrets, parameters.key_secret, kKeySecret);
}

} // namespace img::qcow2
