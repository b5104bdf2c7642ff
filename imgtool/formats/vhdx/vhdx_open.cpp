// Opening VHDX images: headers, regions, the log, metadata and the parent.
#include "imgtool/formats/vhdx/vhdx_image.hpp"

#include "imgtool/formats/shared/parent_path.hpp"
#include "imgtool/formats/vhdx/parent.hpp"
#include "imgtool/source/patched_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::vhdx {

namespace {

using base::Errc;
using base::fail;

constexpr std::size_t kCachedSlices = 128; // 512 KiB: the map of 512 GiB of 8 MiB blocks
constexpr std::string_view kSignature = "vhdxfile";
constexpr u64 kMaxReplayed = u64{256} << 20; // bytes of a log that are kept in memory

u64 round_up(u64 bytes)
{
    return (bytes + kMiB - 1) / kMiB * kMiB;
}

} // namespace

VhdxImage::VhdxImage(std::unique_ptr<ByteSource> file, const Identity& identity)
    : file_{std::move(file)}, identity_{identity}
{}

VhdxImage::~VhdxImage()
{
    if (!file_->read_only() && table_) {
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
    if (auto loaded = image->load(context); !loaded) {
        return std::move(loaded).error();
    }
    return std::unique_ptr<Image>{std::move(image)};
}

Status VhdxImage::load(const OpenContext& context)
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
    table_.emplace(*file_, kLogSector, kCachedSlices);
    if (auto done = load_metadata(context); !done) {
        return done;
    }
    free_ = std::max({file_->fixed_size() ? 0 : round_up(file_->size()), regions_.bat.end(),
                      regions_.metadata.end(), header_.log_offset + header_.log_length});
    if (context.purpose == OpenFor::check) {
        return base::ok(); // which tells of what is wrong with the table
    }
    std::string first;
    auto scanned = scan_table([&](const std::string& problem) {
        first = problem;
        return false;
    });
    return scanned && !first.empty() ? Status{fail(Errc::corrupt, first)} : std::move(scanned);
}

/// MS-VHDX 2.2.2, "Headers": the one that is valid and newer than the other is current, and nothing
/// else of the two counts. An older one that says there is a log has that replayed.
Status VhdxImage::load_header()
{
    std::array<std::array<u8, kHeaderSize>, 2> bytes{};
    std::array<std::optional<Header>, 2> headers;
    for (std::size_t i = 0; i < headers.size(); ++i) {
        if (auto done = read_padded(*file_, FileOffset{kHeaderAt[i]}, bytes[i]); !done) {
            return done;
        }
        if (auto header = parse_header(bytes[i])) {
            headers[i] = header.value();
        }
    }
    // Some writers leave both alike.
    const bool undecided = headers[0] && headers[1] &&
                           headers[0]->sequence == headers[1]->sequence && bytes[0] != bytes[1];
    if (undecided || (!headers[0] && !headers[1])) {
        return fail(Errc::corrupt, "No valid VHDX header found");
    }
    header_slot_ =
        !headers[0] || (headers[1] && headers[1]->sequence > headers[0]->sequence) ? 1 : 0;
    header_ = *headers[header_slot_];
    return check_header(header_);
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

Status VhdxImage::load_metadata(const OpenContext& context)
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
    const MetadataItem* parent = nullptr;
    for (const MetadataItem& item : items.value()) {
        if (item.kind == MetadataItem::Kind::parent_locator) {
            parent = &item;
            continue;
        }
        std::array<u8, 16> bytes{};
        const auto value = std::span{bytes}.first(item.length);
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
    if (!disk_.has_parent) {
        return base::ok();
    }
    return parent != nullptr
               ? load_parent(*parent, context)
               : Status{fail(Errc::corrupt, "VHDX differencing image without a parent locator")};
}

Status VhdxImage::load_parent(const MetadataItem& item, const OpenContext& context)
{
    std::vector<u8> bytes(item.length); // 1 MiB at most
    if (auto done = read_padded(*file_, FileOffset{regions_.metadata.at + item.offset}, bytes);
        !done) {
        return done;
    }
    auto locator = parse_parent_locator(bytes);
    if (!locator) {
        return std::move(locator).error();
    }
    parent_linkage_ = std::move(locator.value().linkage);
    parent_name_ = choose_parent(locator.value().paths, context);
    return base::ok();
}

/// MS-VHDX 2.6.2.6.3: the parent's content has not been changed since.
Status VhdxImage::check_backing(Image& backing)
{
    const auto* parent = dynamic_cast<VhdxImage*>(&backing);
    if (parent == nullptr || std::ranges::find(parent_linkage_, parent->header_.data_write_guid) ==
                                 parent_linkage_.end()) {
        return fail(Errc::invalid_argument,
                    fmt::format("the parent '{}' is not the disk that this one was made from, or "
                                "it has been changed since: its data may not fit",
                                parent_name_));
    }
    return base::ok();
}

/// What another writer had to leave to the log is done now: in the file, or in memory where the
/// file may only be read (MS-VHDX 2.3.3 and its note 5).
Status VhdxImage::recover()
{
    auto entries = find_active(*file_, header_);
    if (!entries) {
        return std::move(entries).error();
    }
    if (entries.value().empty()) {
        return base::ok();
    }
    const bool in_memory = file_->read_only();
    if (in_memory) {
        file_ = std::make_unique<PatchedSource>(std::move(file_), kMaxReplayed);
    }
    if (auto done = replay(*file_, header_, entries.value()); !done) {
        return done;
    }
    header_.log_guid = kNoGuid;
    if (in_memory) {
        return base::ok();
    }
    if (auto done = file_->flush(); !done) {
        return done;
    }
    replayed_ = true;
    return write_headers();
}

} // namespace img::vhdx
