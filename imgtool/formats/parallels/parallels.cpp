#include "imgtool/formats/parallels/parallels.hpp"

#include "imgtool/formats/parallels/parallels_image.hpp"

#include <algorithm>
#include <cstdlib>

namespace img::parallels {

namespace {

using base::Errc;
using base::fail;

Probe probe(std::span<const u8> start, std::string_view)
{
    return has_signature(start) ? Probe::certain : Probe::no;
}

constexpr std::array kCreateOptions{
    CreateOption{"size", CreateOption::Type::size, "Virtual disk size"},
    CreateOption{"cluster_size", CreateOption::Type::size, "Parallels image cluster size",
                 "1048576"},
};

u64 rounded_up(u64 value, u64 unit)
{
    return (value + unit - 1) / unit * unit;
}

/// What is refused, and with which words, is qemu-img's.
Result<Header> parse(const CreateSettings& settings)
{
    u64 size = 0;
    u64 cluster = 0;
    for (const auto& [name, value] : settings) {
        const u64 number = std::strtoull(value.c_str(), nullptr, 10); // checked when completed
        if (name == "size") {
            size = rounded_up(number, kSector);
        } else if (name == "cluster_size") {
            cluster = rounded_up(number, kSector);
        }
    }
    if (cluster >= static_cast<u64>(INT64_MAX) >> 32) {
        return fail(Errc::invalid_argument, "Cluster size is too large");
    }
    if (size >= cluster << 32) {
        return fail(Errc::invalid_argument, "Image size is too large for this cluster size");
    }
    Header header;
    header.tracks = static_cast<u32>(cluster / kSector);
    const u64 entries = rounded_up(size, cluster) / cluster;
    if (header.tracks > kMaxTracks || entries > kMaxEntries) {
        return fail(Errc::invalid_argument, header.tracks > kMaxTracks
                                                ? "Cluster size is too large"
                                                : "Image size is too large for this cluster size");
    }
    constexpr u64 kTracksPerHead = 32;
    header.entries = static_cast<u32>(entries);
    header.sectors = size / kSector;
    header.cylinders =
        static_cast<u32>(std::min<u64>(header.sectors / header.heads / kTracksPerHead, UINT32_MAX));
    header.data_off = static_cast<u32>(rounded_up(header.table_end(), cluster) / kSector);
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
    const u64 end = header.value().data_at();
    if (auto done = file.zero(FileOffset{0}, end); !done) {
        return done;
    }
    return file.write(FileOffset{0}, encode_header(header.value()));
}

} // namespace

const FormatDriver kDriver{
    .name = "parallels",
    .probe = probe,
    .open = ParallelsImage::open,
    .check_settings = check_settings,
    .create = create,
    .create_options = kCreateOptions,
    .has_backing = false,
    .packs = false,
};

} // namespace img::parallels
