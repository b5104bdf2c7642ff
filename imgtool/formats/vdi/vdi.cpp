#include "imgtool/formats/vdi/vdi.hpp"

#include "base/endian.hpp"
#include "imgtool/formats/vdi/vdi_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace img::vdi {

namespace {

using base::Errc;
using base::fail;

Probe probe(std::span<const u8> start, std::string_view)
{
    return has_signature(start) ? Probe::certain : Probe::no;
}

constexpr std::array kCreateOptions{
    CreateOption{"size", CreateOption::Type::size, "Virtual disk size"},
    CreateOption{"static", CreateOption::Type::boolean, "VDI static (pre-allocated) image", "off"},
};

struct Parameters {
    u64 size = 0; // bytes
    bool fixed = false;
};

Result<Parameters> parse(const CreateSettings& settings)
{
    Parameters p;
    for (const auto& [name, value] : settings) {
        if (name == "size") {
            // Checked when completed. Disks are made of whole sectors.
            p.size = (std::strtoull(value.c_str(), nullptr, 10) + 511) / 512 * 512;
        } else if (name == "static") {
            p.fixed = value == "on";
        }
    }
    if (p.size > kMaxSize) {
        return fail(Errc::invalid_argument,
                    fmt::format("Unsupported VDI image size (size is {:#x}, max supported is "
                                "{:#x})",
                                p.size, kMaxSize));
    }
    return p;
}

Status check_settings(const CreateSettings& settings)
{
    auto parsed = parse(settings);
    return parsed ? base::ok() : Status{std::move(parsed).error()};
}

/// VirtualBox stores the first three fields of a UUID in the byte order of its numbers.
std::array<u8, 16> stored_id(std::array<u8, 16> id)
{
    std::reverse(id.begin(), id.begin() + 4);
    std::swap(id[4], id[5]);
    std::swap(id[6], id[7]);
    return id;
}

/// The map of a new image, a piece at a time.
Status write_map(ByteSource& file, const Header& header, bool fixed)
{
    constexpr u64 kPiece = 16384; // entries
    std::vector<u8> bytes;
    for (u64 i = 0; i < header.blocks; i += kPiece) {
        const u64 n = std::min<u64>(kPiece, header.blocks - i);
        bytes.resize(n * sizeof(u32));
        for (u64 j = 0; j < n; ++j) {
            base::store_le<u32>(bytes, j * sizeof(u32), fixed ? static_cast<u32>(i + j) : kNoBlock);
        }
        if (auto done = file.write(FileOffset{header.map_at + i * sizeof(u32)}, bytes); !done) {
            return done;
        }
    }
    return base::ok();
}

Status create(ByteSource& file, const CreateSettings& settings, CreateContext& context)
{
    auto parsed = parse(settings);
    if (!parsed) {
        return std::move(parsed).error();
    }
    const auto [size, fixed] = parsed.value();
    Header header;
    header.type = static_cast<u32>(fixed ? Type::fixed : Type::dynamic);
    header.disk_size = size;
    header.blocks = static_cast<u32>((size + kBlockSize - 1) / kBlockSize);
    header.data_at = static_cast<u32>((header.map_end() + 511) / 512 * 512);
    header.allocated = fixed ? header.blocks : 0;
    header.image_id = stored_id(context.identity->uuid());
    header.snapshot_id = stored_id(context.identity->uuid());
    if (auto done = write_map(file, header, fixed); !done) {
        return done;
    }
    const u64 end = header.data_at + u64{header.allocated} * kBlockSize;
    if (auto done = file.resize(end); !done) {
        return done;
    }
    // The header comes last: until then the file is not an image.
    return file.write(FileOffset{0}, encode_header(header));
}

} // namespace

const FormatDriver kDriver{
    .name = "vdi",
    .probe = probe,
    .open = VdiImage::open,
    .check_settings = check_settings,
    .create = create,
    .create_options = kCreateOptions,
    .has_backing = false,
    .packs = false,
};

} // namespace img::vdi
