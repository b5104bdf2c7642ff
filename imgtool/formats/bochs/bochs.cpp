#include "imgtool/formats/bochs/bochs.hpp"

#include "base/endian.hpp"
#include "imgtool/formats/bochs/bochs_layout.hpp"
#include "imgtool/read_only_image.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace img::bochs {

namespace {

using base::Errc;
using base::fail;

class BochsImage final : public ReadOnlyImage {
public:
    BochsImage(std::unique_ptr<ByteSource> file, const Header& header)
        : ReadOnlyImage{std::move(file)}, header_{header}, bitmap_(header.extent / kSector / 8 + 1)
    {}

    u64 size() const override { return header_.disk; }
    ImageInfo info() override
    {
        return {.format = "bochs", .size = header_.disk, .has_dirty_flag = false};
    }

    Result<Extent> map(GuestOffset from, u64 limit, MapDetail) override
    {
        if (from.bytes >= header_.disk || limit == 0) {
            return fail(Errc::invalid_argument, "offset beyond the end of the disk");
        }
        const u64 within = from.bytes % header_.extent;
        limit = std::min({limit, header_.disk - from.bytes, header_.extent - within});
        if (auto loaded = load(from.bytes / header_.extent); !loaded) {
            return std::move(loaded).error();
        }
        if (entry_ == kNoExtent) {
            return Extent{.kind = Extent::Kind::zero, .length = limit};
        }
        const u64 first = within / kSector;
        const bool stored = has_sector(first);
        u64 end = first + 1;
        while (end * kSector < within + limit && has_sector(end) == stored) {
            ++end;
        }
        Extent extent{.kind = stored ? Extent::Kind::data : Extent::Kind::zero,
                      .length = std::min(limit, end * kSector - within)};
        if (stored) {
            extent.at =
                FileOffset{header_.extent_at(entry_) + header_.bitmap_sectors() * kSector + within};
        }
        return extent;
    }

private:
    bool has_sector(u64 sector) const { return (bitmap_[sector / 8] >> sector % 8 & 1) != 0; }

    /// Reads the catalog entry and bitmap of an extent of the disk.
    Status load(u64 index)
    {
        if (loaded_ == index) {
            return base::ok();
        }
        loaded_ = ~u64{0};
        std::array<u8, sizeof(u32)> entry{};
        const FileOffset at{header_.header_size + index * sizeof(u32)};
        if (auto read = file().read(at, entry); !read) {
            return std::move(read).error().in("Could not read the catalog");
        }
        entry_ = base::load_le<u32>(entry, 0);
        if (entry_ != kNoExtent) {
            if (auto read = read_padded(file(), {header_.extent_at(entry_)}, bitmap_); !read) {
                return std::move(read).error().in("Could not read a bitmap");
            }
        }
        loaded_ = index;
        return base::ok();
    }

    Header header_;
    u64 loaded_ = ~u64{0}; // the extent that the next two are of
    u32 entry_ = kNoExtent;
    std::vector<u8> bitmap_;
};

Probe probe(std::span<const u8> start, std::string_view)
{
    return is_growing(start) ? Probe::certain : Probe::no;
}

Result<std::unique_ptr<Image>> open(std::unique_ptr<ByteSource> file, OpenContext&)
{
    if (auto good = ReadOnlyImage::check_access(*file); !good) {
        return std::move(good).error();
    }
    std::array<u8, kHeaderSize> start{};
    if (auto read = read_padded(*file, FileOffset{0}, start); !read) {
        return std::move(read).error();
    }
    auto header = parse_header(start);
    if (!header) {
        return std::move(header).error();
    }
    if (header.value().data_at() > file->size()) {
        return fail(Errc::corrupt, "the catalog is cut off");
    }
    return std::unique_ptr<Image>{std::make_unique<BochsImage>(std::move(file), header.value())};
}

} // namespace

const FormatDriver kDriver{.name = "bochs", .probe = probe, .open = open};

} // namespace img::bochs
