#include "imgtool/formats/vmdk/vmdk.hpp"

#include "imgtool/formats/vmdk/descriptor.hpp"
#include "imgtool/formats/vmdk/layout.hpp"
#include "imgtool/formats/vmdk/vmdk_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace img::vmdk {

namespace {

using base::Errc;
using base::fail;

Probe probe(std::span<const u8> start, std::string_view)
{
    const std::string_view text{reinterpret_cast<const char*>(start.data()), start.size()};
    return has_magic(start, kHostedMagic) || has_magic(start, kEsxMagic) ||
                   looks_like_descriptor(text)
               ? Probe::certain
               : Probe::no;
}

using Type = CreateOption::Type;
constexpr std::array kCreateOptions{
    CreateOption{"size", Type::size, "Virtual disk size"},
    CreateOption{"adapter_type", Type::text,
                 "Virtual adapter type, can be one of ide (default), lsilogic, buslogic or "
                 "legacyESX"},
    CreateOption{"backing_file", Type::text, "File name of a base image"},
    CreateOption{"backing_fmt", Type::text, "Must be 'vmdk' if present"},
    CreateOption{"compat6", Type::boolean, "VMDK version 6 image", "off"},
    CreateOption{"hwversion", Type::text, "VMDK hardware version", "undefined"},
    CreateOption{"toolsversion", Type::text, "VMware guest tools version"},
    CreateOption{"subformat", Type::text,
                 "VMDK flat extent format, can be one of {monolithicSparse (default) | "
                 "monolithicFlat | twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} "},
    CreateOption{"zeroed_grain", Type::boolean,
                 "Enable efficient zero writes using the zeroed-grain GTE feature"},
};

constexpr std::array<std::string_view, 4> kAdapters{"ide", "lsilogic", "buslogic", "legacyESX"};

struct Subformat {
    std::string_view name;
    CreateParameters::Subformat value;
};
constexpr std::array kSubformats{
    Subformat{"monolithicSparse", CreateParameters::Subformat::monolithic_sparse},
    Subformat{"monolithicFlat", CreateParameters::Subformat::monolithic_flat},
    Subformat{"twoGbMaxExtentSparse", CreateParameters::Subformat::two_gb_sparse},
    Subformat{"twoGbMaxExtentFlat", CreateParameters::Subformat::two_gb_flat},
    Subformat{"streamOptimized", CreateParameters::Subformat::stream_optimized},
};

base::Error bad_value(const std::string& value)
{
    return fail(Errc::invalid_argument, "invalid parameter value: " + value);
}

/// Takes one setting; `compat6` is worked into the hardware version by parse().
Status apply(CreateParameters& p, const std::string& name, const std::string& value)
{
    const auto is_value = [&value](std::string_view known) { return known == value; };
    if (name == "size") {
        p.size = std::strtoull(value.c_str(), nullptr, 10); // checked when completed
    } else if (name == "adapter_type") {
        if (std::ranges::none_of(kAdapters, is_value)) {
            return bad_value(value);
        }
        p.adapter = value;
    } else if (name == "backing_file") {
        p.backing_name = value;
    } else if (name == "toolsversion") {
        p.tools = value;
    } else if (name == "subformat") {
        const auto* known =
            std::ranges::find_if(kSubformats, [&](const Subformat& s) { return s.name == value; });
        if (known == kSubformats.end()) {
            return bad_value(value);
        }
        p.subformat = known->value;
    } else if (name == "zeroed_grain") {
        p.zeroed_grain = value == "on";
    } // backing_fmt is looked at by create()
    return base::ok();
}

Result<CreateParameters> parse(const CreateSettings& settings)
{
    CreateParameters p;
    bool compat6 = false;
    std::string hardware = "undefined";
    std::string backing_format = "vmdk";
    for (const auto& [name, value] : settings) {
        if (auto applied = apply(p, name, value); !applied) {
            return std::move(applied).error();
        }
        compat6 |= name == "compat6" && value == "on";
        hardware = name == "hwversion" ? value : hardware;
        backing_format = name == "backing_fmt" ? value : backing_format;
    }
    if (compat6 && hardware != "undefined") {
        return fail(Errc::invalid_argument, "compat6 cannot be enabled with hwversion set");
    }
    p.hardware = hardware != "undefined" ? hardware : compat6 ? "6" : "4";
    if (auto good = check_parameters(p); !good) {
        return std::move(good).error();
    }
    if (!p.backing_name.empty() && backing_format != "vmdk") {
        return fail(Errc::invalid_argument, "backing_file must be a vmdk image");
    }
    return p;
}

Status check_settings(const CreateSettings& settings)
{
    auto parsed = parse(settings);
    return parsed ? base::ok() : Status{std::move(parsed).error()};
}

Status create_from_settings(ByteSource& file, const CreateSettings& settings,
                            CreateContext& context)
{
    auto parsed = parse(settings);
    return parsed ? create(file, parsed.value(), context) : Status{std::move(parsed).error()};
}

} // namespace

const FormatDriver kDriver{
    .name = "vmdk",
    .probe = probe,
    .open = VmdkImage::open,
    .check_settings = check_settings,
    .create = create_from_settings,
    .create_options = kCreateOptions,
    .has_backing = true,
};

} // namespace img::vmdk
