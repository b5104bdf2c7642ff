// The driver and new images.
#include "imgtool/formats/qcow/qcow.hpp"

#include "imgtool/crypto/passphrase.hpp"
#include "imgtool/formats/qcow/qcow_image.hpp"

#include <array>
#include <cstdlib>

namespace img::qcow {

namespace {

using base::Errc;
using base::fail;

Probe probe(std::span<const u8> start, std::string_view)
{
    return has_magic(start) ? Probe::certain : Probe::no;
}

using Type = CreateOption::Type;
constexpr std::array kCreateOptions{
    CreateOption{"size", Type::size, "Virtual disk size"},
    CreateOption{"backing_file", Type::text, "File name of a base image"},
    CreateOption{"backing_fmt", Type::text, "Format of the backing image"},
    CreateOption{"encryption", Type::boolean,
                 "Encrypt the image with format 'aes'. (Deprecated in favor of "
                 "encrypt.format=aes)"},
    CreateOption{"encrypt.format", Type::text, "Encrypt the image, format choices: 'aes'"},
    CreateOption{"encrypt.key-secret", Type::text,
                 "ID of the secret that provides the AES encryption key"},
};

constexpr std::array kOpenOptions{
    CreateOption{"encrypt.format", Type::text, "What the image must be encrypted with: aes"},
    CreateOption{"encrypt.key-secret", Type::text, "ID of the secret with the key"},
};

struct Parameters {
    u64 size = 0; // bytes
    std::string backing_name = {};
    std::optional<bool> encryption = {};
    std::string encrypt_format = {};
    std::string key_secret = {};
};

Status apply(Parameters& p, const std::string& name, const std::string& value)
{
    if (name == "size") {
        p.size = std::strtoull(value.c_str(), nullptr, 10); // checked when completed
    } else if (name == "backing_file") {
        p.backing_name = value;
    } else if (name == "encryption") {
        p.encryption = value == "on";
    } else if (name == "encrypt.format") {
        p.encrypt_format = value;
    } else if (name == "encrypt.key-secret") {
        p.key_secret = value;
    } // the format of a backing file is not stored
    return base::ok();
}

Result<Header> plan(const Parameters& p)
{
    Header header;
    header.size = (p.size + 511) / 512 * 512;
    if (header.size == 0) {
        return fail(Errc::invalid_argument, "Image size is too small, cannot be zero length");
    }
    if (p.backing_name.size() > kMaxBackingName) {
        return fail(Errc::invalid_argument, "Backing file name too long");
    }
    header.l1_offset = kHeaderSize;
    if (!p.backing_name.empty()) {
        // Small clusters: most of what is written to an overlay is less than 4 KiB.
        header.cluster_bits = 9;
        header.l2_bits = 12;
        header.backing_offset = kHeaderSize;
        header.backing_length = static_cast<u32>(p.backing_name.size());
        header.l1_offset += (p.backing_name.size() + 7) / 8 * 8;
    }
    if (p.size > static_cast<u64>(INT64_MAX) - header.l2_reach() ||
        header.l1_entries() > kMaxL1Entries) {
        return fail(Errc::invalid_argument, "Image too large");
    }
    if (p.encryption && !p.encrypt_format.empty()) {
        return fail(Errc::invalid_argument,
                    "'encrypt.format' and its alias 'encryption' can't be used at the same time");
    }
    if (!p.encrypt_format.empty() && p.encrypt_format != "aes") {
        return fail(Errc::invalid_argument, "Unsupported encryption format");
    }
    if (p.encryption.value_or(false) || !p.encrypt_format.empty()) {
        header.crypt = crypt_method::aes;
    }
    return header;
}

Result<Parameters> parse(const CreateSettings& settings)
{
    Parameters parameters;
    for (const auto& [name, value] : settings) {
        if (auto done = apply(parameters, name, value); !done) {
            return std::move(done).error();
        }
    }
    return parameters;
}

Status check_settings(const CreateSettings& settings)
{
    auto parameters = parse(settings);
    if (!parameters) {
        return std::move(parameters).error();
    }
    auto header = plan(parameters.value());
    return header ? base::ok() : Status{std::move(header).error()};
}

Status create(ByteSource& file, const CreateSettings& settings, CreateContext& context)
{
    auto parameters = parse(settings);
    if (!parameters) {
        return std::move(parameters).error();
    }
    auto header = plan(parameters.value());
    if (!header) {
        return std::move(header).error();
    }
    if (header.value().crypt != crypt_method::none) {
        auto passphrase = crypto::find_passphrase(context.secrets, parameters.value().key_secret,
                                                  "encrypt.key-secret");
        if (!passphrase) {
            return std::move(passphrase).error();
        }
    }
    const u64 l1_bytes = header.value().l1_entries() * sizeof(u64);
    if (auto grown = file.resize(header.value().l1_offset + (l1_bytes + 511) / 512 * 512); !grown) {
        return grown;
    }
    const std::string& name = parameters.value().backing_name;
    if (!name.empty()) {
        const auto* text = reinterpret_cast<const u8*>(name.data());
        if (auto done = file.write(FileOffset{kHeaderSize}, {text, name.size()}); !done) {
            return done;
        }
    }
    // The header comes last: until then the file is not an image.
    return file.write(FileOffset{0}, encode_header(header.value()));
}

} // namespace

const FormatDriver kDriver{
    .name = "qcow",
    .probe = probe,
    .open = QcowImage::open,
    .check_settings = check_settings,
    .create = create,
    .create_options = kCreateOptions,
    .open_options = kOpenOptions,
    .has_backing = true,
};

} // namespace img::qcow
