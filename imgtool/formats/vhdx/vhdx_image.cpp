// Opening and reading VHDX images.
#include "imgtool/formats/vhdx/vhdx_image.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::vhdx {

namespace {

using base::Errc;
using base::fail;

constexpr std::size_t kCachedSlices = 128; // 512 KiB: the map of 512 GiB of 8 MiB blocks
constexpr std::string_view kSignature = "vhdxfile";
constexpr u64 kScanBytes = 32 << 10;

u64 round_up(u64 bytes)
{
    return (bytes + kMiB - 1) / kMiB * kMiB;
}

} // namespace

VhdxImage::VhdxImage(std::unique_ptr<ByteSource> file, const Identity& identity)
    : file_{std::move(file)}, identity_{identity}, table_{*file_, kLogSector, kCachedSlices}
{}

VhdxImage::~VhdxImage()
{
    if (!file_->read_only()) {
        // Whoever cares for the result has called flush() before.
        if (flush()) {
            (void)end_session();
        }
    }
}

Result<std::unique_ptr<Image>> VhdxImage::open(std::unique_ptr<ByteSource> file,
                                               OpenContext& context)
{
    if (!context.options.empty()) {
        return fail(Errc::invalid_argument,
                    fmt::format("Block format 'vhdx' does not support the option '{}'",
                                context.options.front().first));
    }
    std::unique_ptr<VhdxImage> image{new VhdxImage{std::move(file), *context.identity}};
    if (auto loaded = image->load(context.purpose); !loaded) {
        return std::move(loaded).error();
    }
    return std::unique_ptr<Image>{std::move(image)};
}

Status VhdxImage::load(OpenFor purpose)
{
    std::array<u8, kSignature.size()> start{};
    if (auto done = read_padded(*file_, FileOffset{0}, start); !done) {
        return done;
    }
    if (!std::ranges::equal(start, kSignature)) {
        return fail(Errc::wrong_format, "not a VHDX image");
    }
    if (file_->size() > kMaxFileSize) {
        return fail(Errc::unsupported, "VHDX image file is too large");
    }
    if (auto done = load_header(); !done) {
        return done;
    }
    if (auto done = load_regions(); !done) {
        return done;
    }
    if (auto done = check_regions(); !done) {
        return done;
    }
    if (auto done = recover(); !done) {
        return done;
    }
    if (auto done = load_metadata(); !done) {
        return done;
    }
    free_ = std::max({file_->fixed_size() ? 0 : round_up(file_->size()), regions_.bat.end(),
                      regions_.metadata.end(), header_.log_offset + header_.log_length});
    if (purpose == OpenFor::check) {
        return base::ok(); // which tells of what is wrong with the table
    }
    std::string first;
    auto scanned = scan_table([&](const std::string& problem) {
        first = problem;
        return false;
    });
    return scanned && !first.empty() ? Status{fail(Errc::corrupt, first)} : std::move(scanned);
}

/// MS-VHDX 2.2.2.1, "Updating the Headers": of two good ones the newer counts.
Status VhdxImage::load_header()
{
    std::array<std::array<u8, kHeaderSize>, 2> bytes{};
    std::array<std::optional<Header>, 2> headers;
    base::Error why = fail(Errc::corrupt, "No valid VHDX header found");
    for (std::size_t i = 0; i < headers.size(); ++i) {
        if (auto done = read_padded(*file_, FileOffset{kHeaderAt[i]}, bytes[i]); !done) {
            return done;
        }
        if (auto header = parse_header(bytes[i])) {
            headers[i] = header.value();
        } else if (header.error().message != why.message) {
            why = std::move(header).error();
        }
    }
    if (!headers[0] && !headers[1]) {
        return why;
    }
    // Some writers leave both alike.
    if (headers[0] && headers[1] && headers[0]->sequence == headers[1]->sequence &&
        bytes[0] != bytes[1]) {
        return why;
    }
    header_slot_ =
        !headers[0] || (headers[1] && headers[1]->sequence > headers[0]->sequence) ? 1 : 0;
    header_ = *headers[header_slot_];
    return base::ok();
}

Status VhdxImage::load_regions()
{
    std::vector<u8> bytes(kRegionsSize);
    Result<Regions> regions = fail(Errc::corrupt, "");
    for (const u64 at : kRegionsAt) {
        if (auto done = read_padded(*file_, FileOffset{at}, bytes); !done) {
            return done;
        }
        regions = parse_regions(std::span{bytes}.first<kRegionsSize>());
        if (regions) {
            regions_ = regions.value();
            return base::ok();
        }
    }
    return std::move(regions).error();
}

Status VhdxImage::check_regions() const
{
    const std::array<Region, 3> all{
        {{header_.log_offset, header_.log_length}, regions_.bat, regions_.metadata}};
    for (std::size_t i = 0; i < all.size(); ++i) {
        for (std::size_t k = 0; k < i; ++k) {
            if (all[i].overlaps(all[k].at, all[k].length)) {
                return fail(Errc::corrupt,
                            fmt::format("VHDX region {}-{} overlaps with region {}-{}", all[i].at,
                                        all[i].end(), all[k].at, all[k].end()));
            }
        }
    }
    return base::ok();
}

Status VhdxImage::load_metadata()
{
    const Region& region = regions_.metadata;
    std::vector<u8> table(kMetadataSize);
    if (auto done = read_padded(*file_, FileOffset{region.at}, table); !done) {
        return done;
    }
    auto items = parse_metadata_table(std::span{table}.first<kMetadataSize>(), region.length);
    if (!items) {
        return std::move(items).error();
    }
    for (const MetadataItem& item : items.value()) {
        std::array<u8, 16> bytes{};
        const auto value = std::span{bytes}.first(item_size(item.kind));
        if (auto done = read_padded(*file_, FileOffset{region.at + item.offset}, value); !done) {
            return done;
        }
        if (auto done = parse_item(item.kind, value, disk_); !done) {
            return done;
        }
    }
    if (auto good = check_disk(disk_); !good) {
        return good;
    }
    if (disk_.bat_entries() * sizeof(u64) > regions_.bat.length) {
        return fail(Errc::corrupt, fmt::format("VHDX BAT of {} bytes for {} blocks",
                                               regions_.bat.length, disk_.blocks()));
    }
    return base::ok();
}

/// What another writer had to leave to the log is done now.
Status VhdxImage::recover()
{
    auto entries = find_active(*file_, header_);
    if (!entries) {
        return std::move(entries).error();
    }
    if (entries.value().empty()) {
        return base::ok();
    }
    if (file_->read_only()) {
        return fail(Errc::corrupt,
                    fmt::format("VHDX image file '{0}' opened read-only, but contains a log that "
                                "needs to be replayed\nTo replay the log, run:\n"
                                "qemu-img check -r all '{0}'",
                                file_->name()));
    }
    if (auto done = replay(*file_, header_, entries.value()); !done) {
        return done;
    }
    if (auto done = file_->flush(); !done) {
        return done;
    }
    replayed_ = true;
    header_.log_guid = kNoGuid;
    return write_header();
}

/// Bytes of the disk in a block: the last one may be cut.
u64 VhdxImage::block_bytes(u64 block) const
{
    return std::min<u64>(disk_.block_size, disk_.size - block * disk_.block_size);
}

/// Why an entry cannot be; empty when it can.
std::string VhdxImage::entry_problem(u64 block, u64 value) const
{
    const BatEntry entry = decode_entry(value);
    if (!entry.present()) {
        return {};
    }
    const u64 file_end = file_->size();
    if (entry.offset > file_end) {
        return fmt::format("VHDX BAT entry {} start offset {} points after end of file ({}). Image "
                           "has probably been truncated.",
                           disk_.bat_index(block), entry.offset, file_end);
    }
    if (entry.offset + block_bytes(block) > file_end) {
        return fmt::format("VHDX BAT entry {} end offset {} points after end of file ({}). Image "
                           "has probably been truncated.",
                           disk_.bat_index(block), entry.offset + block_bytes(block) - 1, file_end);
    }
    for (const Region& region : {Region{0, kMiB}, Region{header_.log_offset, header_.log_length},
                                 regions_.bat, regions_.metadata}) {
        if (region.overlaps(entry.offset, disk_.block_size)) {
            return fmt::format("VHDX region {}-{} overlaps with region {}-{}", entry.offset,
                               entry.offset + disk_.block_size, region.at, region.end());
        }
    }
    return {};
}

Status VhdxImage::scan_table(const std::function<bool(const std::string&)>& problem)
{
    std::vector<u8> bytes(std::min(kScanBytes, disk_.bat_entries() * sizeof(u64)));
    const u64 per_chunk = disk_.chunk_ratio() + 1;
    for (u64 index = 0; index < disk_.bat_entries();) {
        const FileOffset at{regions_.bat.at + index * sizeof(u64)};
        auto run = at.bytes < file_->size() ? file_->run_at(at)
                                            : Result<ByteSource::Run>{{false, regions_.bat.length}};
        if (run && !run.value().data) {
            index += std::max<u64>(1, run.value().length / sizeof(u64)); // blocks not present
            continue;
        }
        const u64 count = std::min(bytes.size() / sizeof(u64), disk_.bat_entries() - index);
        const auto piece = std::span{bytes}.first(count * sizeof(u64));
        if (auto done = read_padded(*file_, at, piece); !done) {
            return std::move(done).error().in("reading the VHDX BAT");
        }
        for (u64 i = 0; i < count; ++i, ++index) {
            if (index % per_chunk == disk_.chunk_ratio()) {
                continue; // of a bitmap block
            }
            const u64 block = index - index / per_chunk;
            const u64 value = base::load_le<u64>(piece, i * sizeof(u64));
            const std::string text = entry_problem(block, value);
            if (const BatEntry entry = decode_entry(value); text.empty() && entry.present()) {
                free_ = std::max(free_, entry.offset + disk_.block_size);
            }
            if (!text.empty() && !problem(text)) {
                return base::ok();
            }
        }
    }
    return base::ok();
}

Result<u64> VhdxImage::load_entry(u64 block)
{
    const u64 at = entry_at(block);
    auto slice = table_.get(at / kLogSector * kLogSector);
    if (!slice) {
        return std::move(slice).error().in("reading the VHDX BAT");
    }
    const u64 value = base::load_le<u64>(slice.value(), at % kLogSector);
    const BatEntry entry = decode_entry(value);
    if (!entry.present() && !entry.reads_zero()) {
        return fail(Errc::corrupt,
                    fmt::format("VHDX block {} is in state {}", block, unsigned{entry.state}));
    }
    if (auto text = entry_problem(block, value); !text.empty()) {
        return fail(Errc::corrupt, std::move(text));
    }
    return value;
}

Result<Extent> VhdxImage::map(GuestOffset from, u64 limit, MapDetail)
{
    if (from.bytes >= disk_.size || limit == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    limit = std::min(limit, disk_.size - from.bytes);
    u64 block = from.bytes / disk_.block_size;
    const u64 within = from.bytes % disk_.block_size;
    auto first = load_entry(block);
    if (!first) {
        return std::move(first).error();
    }
    const BatEntry entry = decode_entry(first.value());
    u64 length = disk_.block_size - within;
    while (length < limit) {
        auto next = load_entry(++block);
        if (!next) {
            break; // is told when it is asked for
        }
        const BatEntry more = decode_entry(next.value());
        if (more.present() != entry.present() ||
            (entry.present() && more.offset != entry.offset + within + length)) {
            break;
        }
        length += disk_.block_size;
    }
    Extent extent{.kind = Extent::Kind::zero, .length = std::min(length, limit)};
    if (entry.present()) {
        extent.kind = Extent::Kind::data;
        extent.at = {entry.offset + within};
    }
    return extent;
}

ImageInfo VhdxImage::info()
{
    return {.format = "vhdx",
            .size = disk_.size,
            .cluster_size = disk_.block_size,
            .has_dirty_flag = true};
}

} // namespace img::vhdx
