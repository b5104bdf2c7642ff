// The driver of VHD images, and new ones.
#include "imgtool/formats/vpc/vpc.hpp"

#include "imgtool/formats/vpc/vpc_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace img::vpc {

namespace {

using base::Errc;
using base::fail;

Probe probe(std::span<const u8> start, std::string_view)
{
    // Fixed disks have nothing at their beginning that tells them from raw ones.
    return has_footer_cookie(start) ? Probe::certain : Probe::no;
}

using Type = CreateOption::Type;
constexpr std::array kCreateOptions{
    CreateOption{"size", Type::size, "Virtual disk size"},
    CreateOption{"subformat", Type::text,
                 "Type of virtual hard disk format. Supported formats are {dynamic (default) | "
                 "fixed} "},
    CreateOption{"force_size", Type::boolean,
                 "Force disk size calculation to use the actual size specified, rather than using "
                 "the nearest CHS-based calculation"},
};

struct Parameters {
    u64 size = 0; // bytes, as asked for
    bool fixed = false;
    bool force_size = false;
};

Result<Parameters> parse(const CreateSettings& settings)
{
    Parameters p;
    for (const auto& [name, value] : settings) {
        if (name == "size") {
            p.size = std::strtoull(value.c_str(), nullptr, 10); // checked when completed
        } else if (name == "force_size") {
            p.force_size = value == "on";
        } else if (name == "subformat") {
            p.fixed = value == "fixed";
            if (!p.fixed && value != "dynamic") {
                return fail(Errc::invalid_argument,
                            fmt::format("Parameter 'subformat' does not accept value '{}'", value));
            }
        }
    }
    if (p.size > kMaxSize) {
        return fail(Errc::invalid_argument, "The image size is too large for file format 'vpc'");
    }
    return p;
}

Status check_settings(const CreateSettings& settings)
{
    auto parsed = parse(settings);
    return parsed ? base::ok() : Status{std::move(parsed).error()};
}

/// Size and geometry must agree for the many programs that look at one of them only; so the disk
/// becomes a little larger, up to the next geometry. `force_size` takes the size as it is, and a
/// creator by which others know that it is what counts.
Footer make_footer(const Parameters& p, const Identity& identity)
{
    const u64 sectors = (p.size + kSectorSize - 1) / kSectorSize;
    Footer footer{.header_offset = p.fixed ? kNoOffset : kFooterSize,
                  .timestamp = static_cast<u32>(identity.now() - kEpoch),
                  .creator = {'q', 'e', 'm', p.force_size ? '2' : 'u'},
                  .size = sectors * kSectorSize,
                  .geometry = kLargestGeometry,
                  .type = p.fixed ? DiskType::fixed : DiskType::dynamic,
                  .uuid = identity.uuid()};
    if (!p.force_size && footer.size < kLargestGeometry.bytes()) {
        u64 more = sectors;
        do {
            footer.geometry = geometry_for(more++);
        } while (footer.geometry.bytes() < sectors * kSectorSize);
        footer.size = footer.geometry.bytes();
    }
    return footer;
}

Status create_dynamic(ByteSource& file, const Footer& footer)
{
    const u64 blocks = (footer.size + kBlockSize - 1) / kBlockSize;
    const DynamicHeader header{.table_offset = footer.header_offset + kDynamicHeaderSize,
                               .table_entries = static_cast<u32>(blocks),
                               .block_size = kBlockSize};
    u64 at = header.table_offset;
    const std::vector<u8> unused(std::size_t{16} << 10, 0xff);
    const u64 end = at + (blocks * sizeof(u32) + kSectorSize - 1) / kSectorSize * kSectorSize;
    while (at < end) {
        const u64 n = std::min<u64>(unused.size(), end - at);
        if (auto done = file.write(FileOffset{at}, std::span{unused}.first(n)); !done) {
            return done;
        }
        at += n;
    }
    const auto bytes = encode_footer(footer);
    if (auto done = file.write(FileOffset{end}, bytes); !done) {
        return done;
    }
    if (auto done = file.write(FileOffset{footer.header_offset}, encode_dynamic_header(header));
        !done) {
        return done;
    }
    // The copy of the footer comes last: until then the file is not an image.
    return file.write(FileOffset{0}, bytes);
}

Status create(ByteSource& file, const CreateSettings& settings, CreateContext& context)
{
    auto parsed = parse(settings);
    if (!parsed) {
        return std::move(parsed).error();
    }
    const Footer footer = make_footer(parsed.value(), *context.identity);
    if (footer.type == DiskType::dynamic) {
        return create_dynamic(file, footer);
    }
    if (auto grown = file.resize(footer.size); !grown) {
        return grown;
    }
    // VHD 1.0, "Hard Disk Footer Format": it is looked for in the last 512 bytes of the file.
    const u64 last = std::max(context.file_end, kFooterSize) - kFooterSize;
    return file.write(FileOffset{std::max(footer.size, last)}, encode_footer(footer));
}

} // namespace

constexpr std::array kOpenOptions{
    CreateOption{"force_size_calc", CreateOption::Type::text,
                 "Force disk size calculation to use either CHS geometry or use the disk size "
                 "specified in the VHD footer. {chs, current_size}"},
};

const FormatDriver kDriver{
    .name = "vpc",
    .probe = probe,
    .open = open_image,
    .check_settings = check_settings,
    .create = create,
    .create_options = kCreateOptions,
    .open_options = kOpenOptions,
    .packs = false,
};

} // namespace img::vpc
