#include "imgtool/formats/cloop/cloop.hpp"

#include "base/endian.hpp"
#include "imgtool/read_only_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace img::cloop {

namespace {

using base::Errc;
using base::fail;
using base::load_be;

constexpr u64 kSector = 512;        // bytes
constexpr u64 kTablePiece = 65'536; // bytes read at once
constexpr std::string_view kMagic =
    "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t "
    "iso9660 /dev/cloop $1\n";

class CloopImage final : public ReadOnlyImage {
public:
    CloopImage(std::unique_ptr<ByteSource> file, const Header& header)
        : ReadOnlyImage{std::move(file)}, header_{header}
    {}

    u64 size() const override { return u64{header_.block_size} * header_.blocks; }
    ImageInfo info() override
    {
        return {.format = "cloop", .size = size(), .has_dirty_flag = false};
    }

    Result<Extent> map(GuestOffset from, u64 limit, MapDetail) override
    {
        if (from.bytes >= size() || limit == 0) {
            return fail(Errc::invalid_argument, "offset beyond the end of the disk");
        }
        const u64 block = from.bytes / header_.block_size;
        const u64 within = from.bytes % header_.block_size;
        std::array<u8, 2 * sizeof(u64)> entries{};
        if (auto read = file().read({kTableAt + block * sizeof(u64)}, entries); !read) {
            return std::move(read).error();
        }
        const u64 begin = load_be<u64>(entries, 0); // the table was checked by open()
        const u64 end = load_be<u64>(entries, sizeof(u64));
        if (end < begin || end > file().size()) {
            return fail(Errc::corrupt, fmt::format("block {} is cut off", block));
        }
        return Extent{.kind = Extent::Kind::compressed,
                      .length = std::min(limit, header_.block_size - within),
                      .packed = {.at = FileOffset{begin},
                                 .packed_length = end - begin,
                                 .block = GuestOffset{from.bytes - within},
                                 .block_length = header_.block_size,
                                 .codec = Codec::zlib}};
    }

private:
    Header header_;
};

/// Reads through the offsets once, a piece at a time: there may be millions.
Status check_table(ByteSource& file, const Header& header)
{
    const u64 count = u64{header.blocks} + 1;
    if (file.size() < kTableAt + count * sizeof(u64)) {
        return fail(Errc::corrupt, "the table of offsets is cut off");
    }
    std::vector<u8> piece;
    u64 before = 0;
    for (u64 i = 0; i < count;) {
        piece.resize(std::min(kTablePiece, (count - i) * sizeof(u64)));
        if (auto read = file.read({kTableAt + i * sizeof(u64)}, piece); !read) {
            return read;
        }
        for (u64 at = 0; at < piece.size(); at += sizeof(u64), ++i) {
            const u64 offset = load_be<u64>(piece, at);
            if (i != 0 && offset < before) {
                return fail(Errc::corrupt,
                            fmt::format("offsets not monotonically increasing at index {}, image "
                                        "file is corrupt",
                                        i));
            }
            if (i != 0 && offset - before > kMaxPackedBlock) {
                return fail(Errc::corrupt, fmt::format("invalid compressed block size at index {}, "
                                                       "image file is corrupt",
                                                       i));
            }
            before = offset;
        }
    }
    return base::ok();
}

Probe probe(std::span<const u8> start, std::string_view)
{
    const std::string_view text{reinterpret_cast<const char*>(start.data()), start.size()};
    return text.starts_with(kMagic) ? Probe::certain : Probe::no;
}

Result<std::unique_ptr<Image>> open(std::unique_ptr<ByteSource> file, OpenContext&)
{
    if (auto good = ReadOnlyImage::check_access(*file); !good) {
        return std::move(good).error();
    }
    std::array<u8, kTableAt - kScriptSize> numbers{};
    if (auto read = file->read(FileOffset{kScriptSize}, numbers); !read) {
        return std::move(read).error();
    }
    auto header = parse_header(numbers);
    if (!header) {
        return std::move(header).error();
    }
    if (auto good = check_table(*file, header.value()); !good) {
        return std::move(good).error();
    }
    return std::unique_ptr<Image>{std::make_unique<CloopImage>(std::move(file), header.value())};
}

} // namespace

Result<Header> parse_header(std::span<const u8> numbers)
{
    const Header h{.block_size = load_be<u32>(numbers, 0), .blocks = load_be<u32>(numbers, 4)};
    if (h.block_size == 0) {
        return fail(Errc::corrupt, "block_size cannot be zero");
    }
    if (h.block_size % kSector != 0) {
        return fail(Errc::corrupt,
                    fmt::format("block_size {} must be a multiple of {}", h.block_size, kSector));
    }
    if (h.block_size > kMaxBlock) {
        return fail(Errc::corrupt, fmt::format("block_size {} must be {} MB or less", h.block_size,
                                               kMaxBlock >> 20));
    }
    if (h.blocks > kMaxBlocks) {
        return fail(Errc::corrupt,
                    fmt::format("n_blocks {} must be {} or less", h.blocks, kMaxBlocks + 1));
    }
    if ((u64{h.blocks} + 1) * sizeof(u64) > kMaxTable) {
        return fail(Errc::corrupt, "image requires too many offsets, try increasing block size");
    }
    return h;
}

const FormatDriver kDriver{.name = "cloop", .probe = probe, .open = open};

} // namespace img::cloop
