#include "imgtool/formats/qed/qed.hpp"

#include "imgtool/formats/qed/qed_image.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdlib>

namespace img::qed {

namespace {

using base::Errc;
using base::fail;

Probe probe(std::span<const u8> start, std::string_view)
{
    return has_signature(start) ? Probe::certain : Probe::no;
}

using Type = CreateOption::Type;
constexpr std::array kCreateOptions{
    CreateOption{"size", Type::size, "Virtual disk size"},
    CreateOption{"backing_file", Type::text, "File name of a base image"},
    CreateOption{"backing_fmt", Type::text, "Image format of the base image"},
    CreateOption{"cluster_size", Type::size, "Cluster size (in bytes)", "65536"},
    CreateOption{"table_size", Type::size, "L1/L2 table size (in clusters)"},
};

Result<Header> parse(const CreateSettings& settings)
{
    Header header;
    std::string backing_name;
    std::string backing_format;
    for (const auto& [name, value] : settings) {
        const u64 number = std::strtoull(value.c_str(), nullptr, 10); // checked when completed
        if (name == "size") {
            header.size = (number + 511) / 512 * 512;
        } else if (name == "cluster_size") {
            header.cluster_size = number;
        } else if (name == "table_size") {
            header.table_size = number;
        } else if (name == "backing_file") {
            backing_name = value;
        } else if (name == "backing_fmt") {
            backing_format = value;
        }
    }
    if (!is_cluster_size(header.cluster_size)) {
        return fail(Errc::invalid_argument,
                    fmt::format("QED cluster size must be within range [{}, {}] and power of 2",
                                kMinCluster, kMaxCluster));
    }
    if (!is_table_size(header.table_size)) {
        return fail(
            Errc::invalid_argument,
            fmt::format("QED table size must be within range [1, {}] and power of 2", kMaxTable));
    }
    const u64 most = max_size(header.cluster_size, header.table_size);
    if (header.size > most) {
        return fail(Errc::invalid_argument,
                    fmt::format("QED image size must be a non-zero multiple of cluster size and "
                                "less than {} bytes",
                                most));
    }
    if (auto named = set_backing_name(header, backing_name, backing_format); !named) {
        return std::move(named).error();
    }
    header.l1_offset = header.data_at();
    return header;
}

Status check_settings(const CreateSettings& settings)
{
    auto parsed = parse(settings);
    return parsed ? base::ok() : Status{std::move(parsed).error()};
}

Status create(ByteSource& file, const CreateSettings& settings, CreateContext&)
{
    auto header = parse(settings);
    if (!header) {
        return std::move(header).error();
    }
    if (auto done = file.resize(header.value().l1_offset + header.value().table_bytes()); !done) {
        return done;
    }
    return file.write(FileOffset{0}, encode_header(header.value()));
}

} // namespace

const FormatDriver kDriver{
    .name = "qed",
    .probe = probe,
    .open = QedImage::open,
    .check_settings = check_settings,
    .create = create,
    .create_options = kCreateOptions,
    .has_backing = true,
    .packs = false,
};

} // namespace img::qed
