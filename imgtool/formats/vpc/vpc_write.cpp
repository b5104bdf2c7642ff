// Writing VHD images.
//
// New blocks lie at the end of the file, where the footer was; flush() puts the footer behind them.
// If it does not come to that, the footer's copy at the beginning of the file still says all
// (VHD 1.0, "Dynamic Hard Disk Image"). The order on the disk:
//   1. data, empty bitmaps of new blocks, the footer
//   2. bits of the sectors that were written (differencing disks)
//   3. table entries of new blocks
#include "imgtool/formats/vpc/vpc_image.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img::vpc {

using base::Errc;
using base::fail;

/// A hostile table may send the guest's writes into the image's own header or table.
Status DynamicVpc::check_own(u32 sector, u64 block) const
{
    const u64 begin = sector * kSectorSize;
    const u64 end = begin + parts_.header.bitmap_size() + block_size();
    const auto overlaps = [&](u64 at, u64 length) { return begin < at + length && at < end; };
    if (overlaps(0, kFooterSize) || overlaps(parts_.footer.header_offset, kDynamicHeaderSize) ||
        overlaps(parts_.header.table_offset, u64{parts_.header.table_entries} * sizeof(u32))) {
        return fail(Errc::corrupt,
                    fmt::format("vpc: block {} at sector {} lies on metadata", block, sector));
    }
    return base::ok();
}

/// Takes room for a block at the end of the file; says its first sector.
Result<u32> DynamicVpc::allocate()
{
    const u64 sector = parts_.free / kSectorSize;
    if (sector >= kUnallocated) {
        return fail(Errc::io, "vpc: the image file cannot become larger than 2 TiB");
    }
    parts_.free += parts_.header.bitmap_size() + block_size();
    footer_dirty_ = true;
    return static_cast<u32>(sector);
}

void DynamicVpc::set_entry(u64 block, u32 sector)
{
    table_[block] = sector;
    dirty_entries_.insert(block / kGroup);
}

Result<Placement> DynamicVpc::place(GuestOffset from, u64 length)
{
    if (from.bytes >= parts_.size || length == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    if (bitmaps_.crowded()) {
        if (auto done = flush(); !done) {
            return std::move(done).error();
        }
    }
    if (auto loaded = load_table(); !loaded) {
        return std::move(loaded).error();
    }
    const u64 block = from.bytes / block_size();
    const u64 within = from.bytes % block_size();
    length = std::min({length, parts_.size - from.bytes, block_size() - within});
    wrote_data_ = true;
    if (differencing()) {
        return place_sectors(block, within, length);
    }
    if (table_[block] == kUnallocated) {
        return place_new_block(block, within, length);
    }
    if (auto good = check_own(table_[block], block); !good) {
        return std::move(good).error();
    }
    if (auto done = complete_bitmap(block); !done) {
        return std::move(done).error();
    }
    return Placement{.from = from, .at = {data_of(table_[block]).bytes + within}, .length = length};
}

/// Writers of other tools may have left bits of a dynamic disk's block clear; the block's bytes are
/// good nevertheless, and now they are said to be.
Status DynamicVpc::complete_bitmap(u64 block)
{
    if (complete_[block]) {
        return base::ok();
    }
    std::vector<u8> bits(parts_.header.bitmap_size());
    const std::vector<u8> all(bits.size(), 0xff);
    const FileOffset at = bitmap_of(table_[block]);
    if (auto done = read_padded(*file_, at, bits); !done) {
        return done;
    }
    complete_[block] = true;
    return bits == all ? base::ok() : file_->write(at, all);
}

Result<Placement> DynamicVpc::place_new_block(u64 block, u64 within, u64 length)
{
    auto sector = allocate();
    if (!sector) {
        return std::move(sector).error();
    }
    const std::vector<u8> bits(parts_.header.bitmap_size(), 0xff);
    if (auto done = file_->write(bitmap_of(sector.value()), bits); !done) {
        parts_.free = sector.value() * kSectorSize;
        return std::move(done).error();
    }
    const u64 start = block * block_size();
    return Placement{.from = {start + within},
                     .at = {data_of(sector.value()).bytes + within},
                     .length = length,
                     .fresh = true,
                     .block = {start},
                     .block_length = block_size()};
}

/// In a differencing disk the sectors that a write touches become the disk's own, and no others.
Result<Placement> DynamicVpc::place_sectors(u64 block, u64 within, u64 length)
{
    if (table_[block] == kUnallocated) {
        auto sector = allocate();
        if (!sector) {
            return std::move(sector).error();
        }
        const FileOffset at = bitmap_of(sector.value());
        if (auto done = file_->zero(at, parts_.header.bitmap_size() + block_size()); !done) {
            parts_.free = at.bytes;
            return std::move(done).error();
        }
        bitmaps_.start(at);
        set_entry(block, sector.value());
    }
    if (auto good = check_own(table_[block], block); !good) {
        return std::move(good).error();
    }
    const u64 first = within / kSectorSize;
    const u64 touched = (within + length - 1) / kSectorSize - first + 1;
    auto run = bitmaps_.run_at(bitmap_of(table_[block]), first, touched);
    if (!run) {
        return std::move(run).error();
    }
    const u64 start = block * block_size();
    const u64 sectors = run.value().sectors;
    return Placement{.from = {start + within},
                     .at = {data_of(table_[block]).bytes + within},
                     .length = std::min(length, (first + sectors) * kSectorSize - within),
                     .fresh = !run.value().own,
                     .block = {start + first * kSectorSize},
                     .block_length = sectors * kSectorSize};
}

Status DynamicVpc::publish(const Placement& placement)
{
    if (!placement.fresh) {
        return base::ok();
    }
    const u64 block = placement.block.bytes / block_size();
    if (differencing()) {
        const u64 first = placement.block.bytes % block_size() / kSectorSize;
        return bitmaps_.mark(bitmap_of(table_[block]), first, placement.block_length / kSectorSize);
    }
    const u64 data = placement.at.bytes - (placement.from.bytes - placement.block.bytes);
    set_entry(block, static_cast<u32>((data - parts_.header.bitmap_size()) / kSectorSize));
    complete_[block] = true;
    return base::ok();
}

void DynamicVpc::abandon(const Placement& placement)
{
    if (!placement.fresh || differencing()) {
        return;
    }
    const u64 data = placement.at.bytes - (placement.from.bytes - placement.block.bytes);
    if (data + block_size() == parts_.free) {
        parts_.free = data - parts_.header.bitmap_size();
    }
}

Result<u64> DynamicVpc::place_zeroes(GuestOffset from, u64 length)
{
    if (from.bytes >= parts_.size) {
        return u64{0};
    }
    auto extent = map(from, length, MapDetail::fast);
    if (!extent) {
        return std::move(extent).error();
    }
    if (extent.value().kind == Extent::Kind::backing) {
        return u64{0};
    }
    if (extent.value().kind == Extent::Kind::data) {
        const u64 block = from.bytes / block_size();
        if (auto good = check_own(table_[block], block); !good) {
            return std::move(good).error();
        }
        wrote_data_ = true;
        if (auto done = file_->zero(extent.value().at, extent.value().length); !done) {
            return std::move(done).error();
        }
    }
    return extent.value().length;
}

Status DynamicVpc::write_table()
{
    std::array<u8, kSectorSize> bytes{};
    for (const u64 group : dirty_entries_) {
        const u64 first = group * kGroup;
        const u64 count = std::min<u64>(kGroup, table_.size() - first);
        for (u64 i = 0; i < count; ++i) {
            base::store_be<u32>(bytes, i * sizeof(u32), table_[first + i]);
        }
        const FileOffset at{parts_.header.table_offset + first * sizeof(u32)};
        if (auto done = file_->write(at, std::span{bytes}.first(count * sizeof(u32))); !done) {
            return done;
        }
    }
    dirty_entries_.clear();
    return base::ok();
}

Status DynamicVpc::flush()
{
    if (file_->read_only() || (!wrote_data_ && !footer_dirty_)) {
        return base::ok();
    }
    if (footer_dirty_) {
        if (auto done = file_->write(FileOffset{parts_.free}, parts_.footer_bytes); !done) {
            return done;
        }
        const u64 end = parts_.free + kFooterSize;
        if (file_->size() > end) { // a block that was not used after all
            if (auto done = file_->resize(end); !done) {
                return done;
            }
        }
        footer_dirty_ = false;
    }
    if (auto done = file_->flush(); !done) {
        return done;
    }
    wrote_data_ = false;
    if (bitmaps_.dirty()) {
        if (auto done = bitmaps_.write_dirty(); !done) {
            return done;
        }
        if (auto done = file_->flush(); !done) {
            return done;
        }
    }
    if (dirty_entries_.empty()) {
        return base::ok();
    }
    if (auto done = write_table(); !done) {
        return done;
    }
    return file_->flush();
}

} // namespace img::vpc
