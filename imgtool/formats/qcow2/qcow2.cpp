#include "imgtool/formats/qcow2/qcow2.hpp"

#include "imgtool/formats/qcow2/open_options.hpp"
#include "imgtool/formats/qcow2/qcow2_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;

Probe probe(std::span<const u8> start, std::string_view)
{
    return has_magic(start) ? Probe::certain : Probe::no;
}

using Type = CreateOption::Type;
constexpr std::array kCreateOptions{
    CreateOption{"encryption", Type::boolean,
                 "Encrypt the image with format 'aes'. (Deprecated in favor of "
                 "encrypt.format=aes)"},
    CreateOption{"encrypt.format", Type::text, "Encrypt the image, format choices: 'aes', 'luks'"},
    CreateOption{"encrypt.key-secret", Type::text,
                 "ID of secret providing qcow AES key or LUKS passphrase"},
    CreateOption{"encrypt.cipher-alg", Type::text, "Name of encryption cipher algorithm"},
    CreateOption{"encrypt.cipher-mode", Type::text, "Name of encryption cipher mode"},
    CreateOption{"encrypt.ivgen-alg", Type::text, "Name of IV generator algorithm"},
    CreateOption{"encrypt.ivgen-hash-alg", Type::text, "Name of IV generator hash algorithm"},
    CreateOption{"encrypt.hash-alg", Type::text, "Name of encryption hash algorithm"},
    CreateOption{"encrypt.iter-time", Type::number, "Time to spend in PBKDF in milliseconds"},
    CreateOption{"cluster_size", Type::size, "qcow2 cluster size", "65536"},
    CreateOption{"extended_l2", Type::boolean, "Extended L2 tables", "off"},
    CreateOption{"preallocation", Type::text,
                 "Preallocation mode (allowed values: off, metadata, falloc, full)"},
    CreateOption{"compression_type", Type::text,
                 "Compression method used for image cluster compression", "zlib"},
    CreateOption{"size", Type::size, "Virtual disk size"},
    CreateOption{"compat", Type::text, "Compatibility level (v2 [0.10] or v3 [1.1])"},
    CreateOption{"backing_file", Type::text, "File name of a base image"},
    CreateOption{"backing_fmt", Type::text, "Image format of the base image"},
    CreateOption{"data_file", Type::text, "File name of an external data file"},
    CreateOption{"data_file_raw", Type::boolean,
                 "The external data file must stay valid as a raw image"},
    CreateOption{"lazy_refcounts", Type::boolean, "Postpone refcount updates", "off"},
    CreateOption{"refcount_bits", Type::number, "Width of a reference count entry in bits", "16"},
};

constexpr std::array kAmendOptions{
    CreateOption{"compat", Type::text, "Compatibility level (v2 [0.10] or v3 [1.1])"},
    CreateOption{"size", Type::size, "Virtual disk size"},
    CreateOption{"backing_file", Type::text, "File name of a base image"},
    CreateOption{"backing_fmt", Type::text, "Image format of the base image"},
    CreateOption{"encrypt.state", Type::text,
                 "Select new state of affected keyslots (active/inactive)"},
    CreateOption{"encrypt.keyslot", Type::number, "Select a single keyslot to modify explicitly"},
    CreateOption{"encrypt.old-secret", Type::text, "Select all keyslots that match this password"},
    CreateOption{"encrypt.new-secret", Type::text,
                 "New secret to set in the matching keyslots. Empty string to erase"},
    CreateOption{"encrypt.iter-time", Type::number, "Time to spend in PBKDF in milliseconds"},
    CreateOption{"lazy_refcounts", Type::boolean, "Postpone refcount updates"},
    CreateOption{"refcount_bits", Type::number, "Width of a reference count entry in bits"},
    CreateOption{"data_file", Type::text, "File name of an external data file"},
    CreateOption{"data_file_raw", Type::boolean,
                 "The external data file must stay valid as a raw image"},
};

base::Error bad_value(std::string_view name, const std::string& value)
{
    return fail(Errc::invalid_argument,
                fmt::format("Parameter '{}' does not accept value '{}'", name, value));
}

/// A word that stands for a value of an enumeration or number.
template <class T>
struct Word {
    std::string_view text;
    T value;
};

constexpr std::array kVersions{Word<u32>{"0.10", 2}, Word<u32>{"v2", 2}, Word<u32>{"1.1", 3},
                               Word<u32>{"v3", 3}};
constexpr std::array kCodecs{Word<Codec>{"zlib", Codec::raw_deflate},
                             Word<Codec>{"zstd", Codec::zstd}};
using Preallocation = CreateParameters::Preallocation;
constexpr std::array kPreallocations{Word<Preallocation>{"off", Preallocation::off},
                                     Word<Preallocation>{"metadata", Preallocation::metadata},
                                     Word<Preallocation>{"falloc", Preallocation::falloc},
                                     Word<Preallocation>{"full", Preallocation::full}};

template <class T, std::size_t n>
Status choose(T& into, const std::array<Word<T>, n>& words, std::string_view parameter,
              const std::string& value)
{
    for (const auto& word : words) {
        if (word.text == value) {
            into = word.value;
            return base::ok();
        }
    }
    return bad_value(parameter, value);
}

Status apply(CreateParameters& p, const std::string& name, const std::string& value)
{
    const u64 number = std::strtoull(value.c_str(), nullptr, 10); // checked when completed
    if (name == "size") {
        p.size = (number + 511) / 512 * 512; // disks are made of whole sectors
    } else if (name == "cluster_size") {
        p.cluster_size = number;
    } else if (name == "refcount_bits") {
        p.refcount_bits = number > 64 ? 0 : static_cast<u32>(number); // 0 is refused by name
    } else if (name == "lazy_refcounts") {
        p.lazy_refcounts = value == "on";
    } else if (name == "extended_l2") {
        p.extended_l2 = value == "on";
    } else if (name == "data_file") {
        p.data_file = value;
        if (value.empty()) {
            return fail(Errc::invalid_argument, "Could not create '': No such file or directory");
        }
    } else if (name == "data_file_raw") {
        p.data_file_is_raw = value == "on";
    } else if (name == "backing_file") {
        p.backing_name = value;
    } else if (name == "backing_fmt") {
        p.backing_format = value;
    } else if (name == "compat") {
        return choose(p.version, kVersions, "version", value);
    } else if (name == "compression_type") {
        return choose(p.codec, kCodecs, "compression-type", value);
    } else if (name == "preallocation") {
        return choose(p.preallocation, kPreallocations, name, value);
    } // encryption is for parse_encryption()
    return base::ok();
}

Result<CreateParameters> parse(const CreateSettings& settings)
{
    CreateParameters parameters;
    for (const auto& [name, value] : settings) {
        if (auto done = apply(parameters, name, value); !done) {
            return std::move(done).error();
        }
    }
    auto encryption = parse_encryption(settings);
    if (!encryption) {
        return std::move(encryption).error();
    }
    parameters.encryption = std::move(encryption).value();
    return parameters;
}

Status check_settings(const CreateSettings& settings)
{
    auto parameters = parse(settings);
    return parameters ? check_parameters(parameters.value())
                      : Status{std::move(parameters).error()};
}

Status create_from_settings(ByteSource& file, const CreateSettings& settings,
                            CreateContext& context)
{
    auto parameters = parse(settings);
    if (!parameters) {
        return std::move(parameters).error();
    }
    return create(file, parameters.value(), context.make_sibling, context.secrets);
}

/// What measure looks at; it takes anything for the rest.
constexpr std::array<std::string_view, 7> kMeasured{"cluster_size",  "extended_l2", "compat",
                                                    "preallocation", "size",        "backing_file",
                                                    "refcount_bits"};

/// The parameters that sizes follow from. What measure says of values that create words differently
/// is said here, in qemu-img's order.
Result<CreateParameters> parse_measured(const CreateSettings& settings)
{
    CreateParameters p;
    for (const std::string_view wanted : kMeasured) {
        for (const auto& [name, value] : settings) {
            const auto is_value = [&value = value](const auto& word) { return word.text == value; };
            if (name != wanted) {
                continue;
            }
            if (name == "compat" && std::ranges::none_of(kVersions, is_value)) {
                return fail(Errc::invalid_argument, "Invalid compatibility level: '" + value + "'");
            }
            if (name == "preallocation" && std::ranges::none_of(kPreallocations, is_value)) {
                return fail(Errc::invalid_argument, "invalid parameter value: " + value);
            }
            if (auto applied = apply(p, name, value); !applied) {
                return std::move(applied).error();
            }
        }
        if (wanted == "extended_l2") {
            if (auto good = check_cluster_size(p); !good) {
                return std::move(good).error();
            }
        }
    }
    return p;
}

Result<Measurement> measure_from_settings(const CreateSettings& settings, const Content& content)
{
    auto parameters = parse_measured(settings);
    if (!parameters) {
        return std::move(parameters).error();
    }
    const CreateParameters& p = parameters.value();
    if (auto good = check_refcount_bits(p); !good) {
        return std::move(good).error();
    }
    if (p.version < 3 && p.refcount_bits != 16) {
        return fail(Errc::invalid_argument,
                    "Different refcount widths than 16 bits require compatibility level 1.1 or "
                    "above (use compat=1.1 or greater)");
    }
    return measure(p, settings, content);
}

} // namespace

const FormatDriver kDriver{
    .name = "qcow2",
    .probe = probe,
    .open = Qcow2Image::open,
    .check_settings = check_settings,
    .create = create_from_settings,
    .create_options = kCreateOptions,
    .amend_options = kAmendOptions,
    .open_options = kOpenOptions,
    .has_backing = true,
    .names_from_cwd = true,
    .measure = measure_from_settings,
    .preallocates = true,
};

} // namespace img::qcow2
