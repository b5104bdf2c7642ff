// Where a VHDX disk's bytes are.
#include "imgtool/formats/vhdx/vhdx_image.hpp"

#include "base/endian.hpp"
#include "imgtool/formats/vhdx/parent.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::vhdx {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kScanBytes = 32 << 10;

} // namespace

/// Bytes of the disk in a block: the last one may be cut.
u64 VhdxImage::block_bytes(u64 block) const
{
    return std::min<u64>(disk_.block_size, disk_.size - block * disk_.block_size);
}

/// Why an entry cannot be; empty when it can.
std::string VhdxImage::entry_problem(u64 block, u64 value) const
{
    const BatEntry entry = decode_entry(value);
    if (!entry.present() && !(entry.partial() && disk_.has_parent)) {
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

Result<u64> VhdxImage::load_bat(u64 index)
{
    const u64 at = regions_.bat.at + index * sizeof(u64);
    auto slice = table_->get(at / kLogSector * kLogSector);
    if (!slice) {
        return std::move(slice).error().in("reading the VHDX BAT");
    }
    return base::load_le<u64>(slice.value(), at % kLogSector);
}

Result<u64> VhdxImage::load_entry(u64 block)
{
    auto value = load_bat(disk_.bat_index(block));
    if (!value) {
        return value;
    }
    const BatEntry entry = decode_entry(value.value());
    if (!entry.present() && !entry.reads_zero() && !(entry.partial() && disk_.has_parent)) {
        return fail(Errc::corrupt,
                    fmt::format("VHDX block {} is in state {}", block, unsigned{entry.state}));
    }
    if (auto text = entry_problem(block, value.value()); !text.empty()) {
        return fail(Errc::corrupt, std::move(text));
    }
    return value;
}

/// Where a block's bits begin: MS-VHDX 2.4 and 2.5.1.2.
Result<FileOffset> VhdxImage::bitmap_of(u64 block)
{
    auto value = load_bat(disk_.bitmap_index(block));
    if (!value) {
        return std::move(value).error();
    }
    const BatEntry entry = decode_entry(value.value());
    if (!entry.present() || entry.offset < kMiB || entry.offset > file_->size() ||
        file_->size() - entry.offset < kBitmapSize) {
        return fail(Errc::corrupt, fmt::format("VHDX block {} has no sector bitmap", block));
    }
    const u64 bits = disk_.block_size / disk_.logical_sector;
    return FileOffset{entry.offset + block % disk_.chunk_ratio() * bits / 8};
}

Result<Extent> VhdxImage::map_sectors(u64 block, const BatEntry& entry, u64 within, u64 limit)
{
    auto bitmap = bitmap_of(block);
    if (!bitmap) {
        return std::move(bitmap).error();
    }
    const u64 sector = within / disk_.logical_sector;
    const FileOffset at{bitmap.value().bytes + sector / 8};
    auto slice = table_->get(at.bytes / kLogSector * kLogSector);
    if (!slice) {
        return std::move(slice).error().in("reading a VHDX sector bitmap");
    }
    const u64 first = at.bytes % kLogSector * 8 + sector % 8;
    const u64 last = (within + limit - 1) / disk_.logical_sector;
    const BitRun run =
        bit_run(slice.value(), first, std::min(last - sector + 1, kLogSector * 8 - first));
    Extent extent{.kind = run.set ? Extent::Kind::data : Extent::Kind::backing,
                  .length = std::min(limit, (sector + run.length) * disk_.logical_sector - within)};
    if (run.set) {
        extent.at = {entry.offset + within};
    }
    return extent;
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
    if (entry.partial()) {
        return map_sectors(block, entry, within, std::min(length, limit));
    }
    const auto kind_of = [&](const BatEntry& e) {
        const bool parents = disk_.has_parent && e.is(BlockState::not_present);
        return e.present() ? Extent::Kind::data
               : parents   ? Extent::Kind::backing
                           : Extent::Kind::zero;
    };
    while (length < limit) {
        auto next = load_entry(++block);
        if (!next) {
            break; // is told when it is asked for
        }
        const BatEntry more = decode_entry(next.value());
        if (more.partial() || kind_of(more) != kind_of(entry) ||
            (entry.present() && more.offset != entry.offset + within + length)) {
            break;
        }
        length += disk_.block_size;
    }
    Extent extent{.kind = kind_of(entry), .length = std::min(length, limit)};
    if (entry.present()) {
        extent.at = {entry.offset + within};
    }
    return extent;
}

ImageInfo VhdxImage::info()
{
    ImageInfo info{.format = "vhdx",
                   .size = disk_.size,
                   .cluster_size = disk_.block_size,
                   .has_dirty_flag = true};
    if (disk_.has_parent) {
        info.backing_name = parent_name_;
        info.backing_format = "vhdx"; // no other kind of parent locator is known
    }
    return info;
}

} // namespace img::vhdx
