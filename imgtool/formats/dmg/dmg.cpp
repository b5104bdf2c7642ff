#include "imgtool/formats/dmg/dmg.hpp"

#include "imgtool/formats/dmg/dmg_layout.hpp"
#include "imgtool/read_only_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::dmg {

namespace {

using base::Errc;
using base::fail;

class DmgImage final : public ReadOnlyImage {
public:
    /// `chunks` in the order of their sectors.
    DmgImage(std::unique_ptr<ByteSource> file, u64 sectors, std::vector<Chunk> chunks)
        : ReadOnlyImage{std::move(file)}, sectors_{sectors}, chunks_{std::move(chunks)}
    {}

    u64 size() const override { return sectors_ * kSector; }
    ImageInfo info() override { return {.format = "dmg", .size = size(), .has_dirty_flag = false}; }

    Result<Extent> map(GuestOffset from, u64 limit, MapDetail) override
    {
        if (from.bytes >= size() || limit == 0) {
            return fail(Errc::invalid_argument, "offset beyond the end of the disk");
        }
        const u64 sector = from.bytes / kSector;
        const auto chunk = std::ranges::upper_bound(chunks_, sector, {}, &Chunk::end);
        if (chunk == chunks_.end() || chunk->sector > sector) {
            return fail(Errc::corrupt, fmt::format("no chunk has sector {}", sector));
        }
        const u64 begin = chunk->sector * kSector;
        const u64 length = chunk->sectors * kSector;
        const u64 within = from.bytes - begin;
        limit = std::min({limit, size() - from.bytes, length - within});
        if (chunk->kind == Chunk::Kind::zero ||
            (chunk->kind == Chunk::Kind::raw && within >= chunk->length)) {
            return Extent{.kind = Extent::Kind::zero, .length = limit};
        }
        if (chunk->at > file().size() || chunk->length > file().size() - chunk->at) {
            return fail(Errc::corrupt, fmt::format("the chunk of sector {} is cut off", sector));
        }
        if (chunk->kind == Chunk::Kind::raw) {
            return Extent{.kind = Extent::Kind::data,
                          .length = std::min(limit, chunk->length - within),
                          .at = FileOffset{chunk->at + within}};
        }
        return Extent{.kind = Extent::Kind::compressed,
                      .length = limit,
                      .packed = {.at = FileOffset{chunk->at},
                                 .packed_length = chunk->length,
                                 .block = GuestOffset{begin},
                                 .block_length = length,
                                 .codec = chunk->codec}};
    }

private:
    u64 sectors_;
    std::vector<Chunk> chunks_;
};

/// The trailer ends the file, but what was downloaded may have a few bytes more.
Result<Trailer> find_trailer(ByteSource& file)
{
    if (file.size() < kTrailerSize) {
        return fail(Errc::wrong_format, "dmg file must be at least 512 bytes long");
    }
    const u64 window = std::min<u64>(file.size(), kTrailerWindow);
    const u64 begin = file.size() - window;
    std::vector<u8> bytes(window);
    if (auto read = file.read(FileOffset{begin}, bytes); !read) {
        return std::move(read).error();
    }
    for (u64 at = 0; at + kTrailerSize <= window; ++at) {
        auto trailer =
            parse_trailer(std::span<const u8>{bytes}.subspan(at, kTrailerSize), begin + at);
        if (trailer || trailer.error().code != Errc::wrong_format) {
            return trailer;
        }
    }
    return fail(Errc::wrong_format, "Could not locate UDIF trailer in dmg file");
}

Result<std::vector<u8>> read_tables(ByteSource& file, const Range& range)
{
    if (range.length > kMaxTables) {
        return fail(Errc::corrupt, "the block tables are too large");
    }
    std::vector<u8> bytes(range.length);
    if (auto read = file.read(FileOffset{range.at}, bytes); !read) {
        return std::move(read).error();
    }
    return bytes;
}

Result<std::vector<Chunk>> read_chunks(ByteSource& file, const Trailer& trailer)
{
    std::vector<Chunk> chunks;
    const bool has_fork = trailer.resource_fork.length != 0;
    if (!has_fork && trailer.property_list.length == 0) {
        return fail(Errc::corrupt, "the image has no block tables");
    }
    auto bytes = read_tables(file, has_fork ? trailer.resource_fork : trailer.property_list);
    if (!bytes) {
        return std::move(bytes).error();
    }
    Status added = base::ok();
    if (has_fork) {
        auto found = resources(bytes.value());
        if (!found) {
            return std::move(found).error();
        }
        for (std::size_t i = 0; added && i < found.value().size(); ++i) {
            added = parse_block_table(found.value()[i], trailer, chunks);
        }
    } else {
        auto found = property_list_data(
            {reinterpret_cast<const char*>(bytes.value().data()), bytes.value().size()});
        if (!found) {
            return std::move(found).error();
        }
        for (std::size_t i = 0; added && i < found.value().size(); ++i) {
            added = parse_block_table(found.value()[i], trailer, chunks);
        }
    }
    if (!added) {
        return std::move(added).error();
    }
    std::ranges::sort(chunks, {}, &Chunk::sector);
    for (std::size_t i = 1; i < chunks.size(); ++i) {
        if (chunks[i].sector < chunks[i - 1].end()) {
            return fail(Errc::corrupt, fmt::format("two chunks have sector {}", chunks[i].sector));
        }
    }
    return chunks;
}

Probe probe(std::span<const u8>, std::string_view name)
{
    // What tells a disk image is at its end, which is not looked at here.
    return name.size() > 4 && name.ends_with(".dmg") ? Probe::possible : Probe::no;
}

Result<std::unique_ptr<Image>> open(std::unique_ptr<ByteSource> file, OpenContext&)
{
    if (auto good = ReadOnlyImage::check_access(*file); !good) {
        return std::move(good).error();
    }
    auto trailer = find_trailer(*file);
    if (!trailer) {
        return std::move(trailer).error();
    }
    auto chunks = read_chunks(*file, trailer.value());
    if (!chunks) {
        return std::move(chunks).error();
    }
    return std::unique_ptr<Image>{std::make_unique<DmgImage>(
        std::move(file), trailer.value().sectors, std::move(chunks).value())};
}

} // namespace

const FormatDriver kDriver{.name = "dmg", .probe = probe, .open = open};

} // namespace img::dmg
