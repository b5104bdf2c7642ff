#include "imgtool/formats/shared/flat_image.hpp"

#include "base/endian.hpp"

#include <algorithm>
#include <vector>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kPage = 4096;                  // bytes of table that are kept and written together
constexpr u64 kSector = 512;                 // bytes that disks write whole
constexpr std::size_t kCachedPages = 256;    // 1 MiB of table
constexpr u64 kMaxFreshBytes = u64{4} << 20; // placed at once

} // namespace

FlatImage::FlatImage(std::unique_ptr<ByteSource> file, const Shape& shape)
    : file_{std::move(file)}, shape_{shape}, file_end_{file_->size()}, cache_{*file_, kPage,
                                                                              kCachedPages,
                                                                              table_end()}
{}

Result<u32> FlatImage::load_entry(u64 index)
{
    if (index >= shape_.entries) {
        return shape_.no_block;
    }
    const u64 at = shape_.table_at + index * sizeof(u32);
    if (at + sizeof(u32) > file_end_) {
        return fail(Errc::corrupt, "the block table ends past the end of the file");
    }
    auto page = cache_.get(at & ~(kPage - 1));
    if (!page) {
        return std::move(page).error().in("Could not read the block table");
    }
    return base::load_le<u32>(page.value(), at & (kPage - 1));
}

Status FlatImage::store_entry(u64 index, u32 value)
{
    const u64 at = shape_.table_at + index * sizeof(u32);
    auto page = cache_.get_for_write(at & ~(kPage - 1));
    if (!page) {
        return std::move(page).error().in("Could not read the block table");
    }
    base::store_le<u32>(page.value(), at & (kPage - 1), value);
    return base::ok();
}

Result<Extent> FlatImage::map(GuestOffset from, u64 limit, MapDetail)
{
    if (from.bytes >= shape_.size || limit == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    limit = std::min(limit, shape_.size - from.bytes);
    const u64 first = from.bytes / shape_.block_size;
    const u64 within = from.bytes % shape_.block_size;
    auto entry = load_entry(first);
    if (!entry) {
        return std::move(entry).error();
    }
    const auto block = block_at(entry.value());
    u64 count = 1;
    while (count * shape_.block_size - within < limit) {
        auto next = load_entry(first + count);
        if (!next) {
            return std::move(next).error();
        }
        const auto there = block_at(next.value());
        if (first + count >= shape_.entries && !block) {
            count = (within + limit + shape_.block_size - 1) / shape_.block_size;
            break;
        }
        if (block ? there != *block + count * shape_.block_size : there.has_value()) {
            break;
        }
        ++count;
    }
    Extent extent{.kind = shape_.missing,
                  .length = std::min(limit, count * shape_.block_size - within)};
    if (block) {
        extent.kind = Extent::Kind::data;
        extent.at = FileOffset{*block + within};
    }
    return extent;
}

Status FlatImage::start_writing()
{
    if (!writing_) {
        if (auto begun = begin_writing(); !begun) {
            return begun;
        }
        writing_ = true;
    }
    return cache_.crowded() ? flush() : base::ok();
}

Result<Placement> FlatImage::place(GuestOffset from, u64 length)
{
    if (from.bytes >= shape_.size || length == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    if (auto started = start_writing(); !started) {
        return std::move(started).error();
    }
    auto found = find_place(from.bytes, std::min(length, shape_.size - from.bytes));
    wrote_data_ |= static_cast<bool>(found);
    return found;
}

Result<Placement> FlatImage::find_place(u64 guest, u64 length)
{
    const u64 size = shape_.block_size;
    const u64 first = guest / size;
    const u64 within = guest % size;
    auto entry = load_entry(first);
    if (!entry) {
        return std::move(entry).error();
    }
    if (const auto block = block_at(entry.value())) {
        if (auto good = check_block(*block); !good) {
            return std::move(good).error();
        }
        return Placement{.from = GuestOffset{guest},
                         .at = FileOffset{*block + within},
                         .length = std::min(length, size - within)};
    }
    if (first >= shape_.entries) {
        return fail(Errc::corrupt, "the image's block table is too short for its disk");
    }
    const u64 wanted =
        std::min((within + length + size - 1) / size, std::max<u64>(1, kMaxFreshBytes / size));
    u64 count = 1;
    while (count < wanted && first + count < shape_.entries) {
        auto next = load_entry(first + count);
        if (!next) {
            return std::move(next).error();
        }
        if (block_at(next.value())) {
            break;
        }
        ++count;
    }
    auto run = take(count);
    if (!run) {
        return std::move(run).error();
    }
    const u64 bytes = run.value().count * size;
    return Placement{.from = GuestOffset{guest},
                     .at = FileOffset{run.value().at + within},
                     .length = std::min(length, bytes - within),
                     .fresh = true,
                     .block = GuestOffset{guest - within},
                     .block_length = bytes};
}

Status FlatImage::publish(const Placement& placement)
{
    if (!placement.fresh) {
        return base::ok();
    }
    const u64 at = placement.at.bytes - (placement.from.bytes - placement.block.bytes);
    const u64 first = placement.block.bytes / shape_.block_size;
    for (u64 i = 0; i < placement.block_length / shape_.block_size; ++i) {
        if (auto done = store_entry(first + i, entry_for(at + i * shape_.block_size)); !done) {
            return done;
        }
    }
    return base::ok();
}

void FlatImage::abandon(const Placement& placement)
{
    if (placement.fresh) {
        give_back({.at = placement.at.bytes - (placement.from.bytes - placement.block.bytes),
                   .count = placement.block_length / shape_.block_size});
    }
}

Result<u64> FlatImage::place_zeroes(GuestOffset from, u64 length)
{
    auto extent = map(from, length, MapDetail::fast);
    if (!extent) {
        return std::move(extent).error();
    }
    const u64 n = extent.value().length;
    if (extent.value().kind != Extent::Kind::data) {
        return n; // there is no backing file, or place() would have to fill in from it
    }
    if (auto started = start_writing(); !started) {
        return std::move(started).error();
    }
    const u64 block = extent.value().at.bytes - from.bytes % shape_.block_size;
    const u64 last = (from.bytes % shape_.block_size + n - 1) / shape_.block_size;
    for (const u64 at : {block, block + last * shape_.block_size}) {
        if (auto good = check_block(at); !good) {
            return std::move(good).error();
        }
    }
    wrote_data_ = true;
    if (auto done = file_->zero(extent.value().at, n); !done) {
        return std::move(done).error();
    }
    return n;
}

Status FlatImage::copy_block(u64 from, u64 to)
{
    constexpr u64 kPiece = u64{256} << 10;
    std::vector<u8> bytes(std::min(kPiece, shape_.block_size));
    for (u64 done = 0; done < shape_.block_size; done += bytes.size()) {
        const auto piece =
            std::span{bytes}.first(std::min<u64>(bytes.size(), shape_.block_size - done));
        if (auto read = read_padded(*file_, FileOffset{from + done}, piece); !read) {
            return read;
        }
        if (auto written = file_->write(FileOffset{to + done}, piece); !written) {
            return written;
        }
    }
    return base::ok();
}

Status FlatImage::flush()
{
    if (file_->read_only() || (!wrote_data_ && !cache_.dirty())) {
        return base::ok();
    }
    if (cache_.dirty()) {
        if (auto done = update_header(); !done) {
            return done;
        }
        // Ahead of the entries, as sectors of a page may reach the disk one by one.
        if (auto done = cache_.write_start(0, std::min(kSector, shape_.table_at)); !done) {
            return done;
        }
        if (auto done = file_->flush(); !done) {
            return done;
        }
        // The header shares a page with the first entries; what it says holds for all of them.
        if (auto done = cache_.write_one(0); !done) {
            return done;
        }
        if (cache_.dirty()) {
            if (auto done = file_->flush(); !done) {
                return done;
            }
        }
        if (auto done = cache_.write_dirty(); !done) {
            return done;
        }
    }
    wrote_data_ = false;
    return file_->flush();
}

} // namespace img
