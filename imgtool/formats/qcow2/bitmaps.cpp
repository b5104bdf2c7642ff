#include "imgtool/formats/qcow2/bitmaps.hpp"

#include "base/endian.hpp"
#include "imgtool/formats/qcow2/qcow2_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <unordered_set>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;
using base::load_be;
using base::store_be;

constexpr u64 kAllOnes = 1; // in a table's entry without a cluster

void set_bits(std::span<u8> bits, u64 first, u64 last)
{
    for (u64 i = first; i <= last;) {
        if (i % 8 == 0 && last - i >= 7) {
            bits[i / 8] = 0xff;
            i += 8;
        } else {
            bits[i / 8] = static_cast<u8>(bits[i / 8] | 1u << i % 8);
            ++i;
        }
    }
}

bool has_bit(std::span<const u8> bits, u64 i)
{
    return (bits[i / 8] >> i % 8 & 1) != 0;
}

} // namespace

std::vector<BitmapInfo> Bitmaps::list()
{
    std::vector<BitmapInfo> all;
    for (const StoredBitmap& b : directory_.bitmaps) {
        all.push_back({.name = b.name,
                       .granularity = b.granularity(),
                       .in_use = !b.usable() && !marking_,
                       .automatic = (b.flags & bitmap_flag::automatic) != 0});
    }
    return all;
}

bool Bitmaps::can_add() const
{
    return image_.header_.version >= 3;
}

Result<std::size_t> Bitmaps::find(const std::string& name, bool must_be_usable)
{
    const auto found = std::ranges::find(directory_.bitmaps, name, &StoredBitmap::name);
    if (found == directory_.bitmaps.end()) {
        return fail(Errc::invalid_argument, fmt::format("Dirty bitmap '{}' not found", name));
    }
    if (must_be_usable && !found->usable()) {
        return fail(Errc::corrupt,
                    fmt::format("Bitmap '{}' is inconsistent and cannot be used\n"
                                "Try block-dirty-bitmap-remove to delete this bitmap from disk",
                                name));
    }
    return static_cast<std::size_t>(found - directory_.bitmaps.begin());
}

Bitmaps::Bits Bitmaps::no_bits(const StoredBitmap& bitmap) const
{
    return Bits(bitmap_bytes(image_.size(), bitmap.granularity_bits));
}

Result<Bitmaps::Bits> Bitmaps::read_bits(const StoredBitmap& bitmap)
{
    Bits bits = no_bits(bitmap);
    const u64 cluster = image_.geometry_.cluster_size();
    if (bits.size() > kMaxBitmapBytes ||
        bitmap.table_size != image_.geometry_.clusters(bits.size())) {
        return fail(Errc::corrupt,
                    fmt::format("Bitmap '{}' has a table of a wrong length", bitmap.name));
    }
    std::vector<u8> table(u64{bitmap.table_size} * sizeof(u64));
    if (auto read = read_padded(image_.file(), FileOffset{bitmap.table_offset}, table); !read) {
        return std::move(read).error().in("Could not read a bitmap's table");
    }
    for (u64 i = 0; i < bitmap.table_size; ++i) {
        const u64 e = load_be<u64>(table, i * sizeof(u64));
        const auto into =
            std::span{bits}.subspan(i * cluster, std::min(cluster, bits.size() - i * cluster));
        const u64 at = e & entry::offset_mask;
        if (at == 0) {
            std::ranges::fill(into, static_cast<u8>((e & kAllOnes) != 0 ? 0xff : 0));
        } else if (auto read = read_padded(image_.file(), FileOffset{at}, into); !read) {
            return std::move(read).error().in("Could not read a bitmap");
        }
    }
    return bits;
}

/// Writes new clusters and a new table for `bitmap`.
Status Bitmaps::write_bits(StoredBitmap& bitmap, const Bits& bits)
{
    const u64 cluster = image_.geometry_.cluster_size();
    const u64 entries = image_.geometry_.clusters(bits.size());
    std::vector<u8> table(entries * sizeof(u64));
    for (u64 i = 0; i < entries; ++i) {
        const auto piece =
            std::span{bits}.subspan(i * cluster, std::min(cluster, bits.size() - i * cluster));
        if (std::ranges::all_of(piece, [](u8 byte) { return byte == 0; })) {
            continue;
        }
        auto at = image_.write_new(piece);
        if (!at) {
            return std::move(at).error();
        }
        store_be<u64>(table, i * sizeof(u64), at.value());
    }
    auto at = image_.write_new(table);
    if (!at) {
        return std::move(at).error();
    }
    bitmap.table_offset = at.value();
    bitmap.table_size = static_cast<u32>(entries);
    return base::ok();
}

Status Bitmaps::prepare(std::vector<StoredBitmap> next, Header& header)
{
    BitmapDirectory directory{.bitmaps = std::move(next)};
    if (!directory.bitmaps.empty()) {
        directory.bytes = encode_bitmap_directory(directory.bitmaps, 0).size();
        if (directory.bytes > kMaxBitmapDirectory || directory.bitmaps.size() > kMaxBitmaps) {
            return fail(Errc::unsupported, "Too many persistent bitmaps");
        }
        auto first = image_.refcounts_.allocate_exactly(image_.geometry_.clusters(directory.bytes));
        if (!first) {
            return std::move(first).error();
        }
        directory.at = first.value() << image_.geometry_.cluster_bits;
        auto bytes = encode_bitmap_directory(directory.bitmaps, directory.at);
        bytes.resize(image_.geometry_.clusters(bytes.size()) << image_.geometry_.cluster_bits);
        if (auto done = image_.file().write(FileOffset{directory.at}, bytes); !done) {
            return done;
        }
    }
    if (auto done = image_.settle_counts(); !done) {
        return done;
    }
    set_bitmap_extension(header, directory);
    old_ = std::exchange(directory_, std::move(directory));
    return base::ok();
}

Status Bitmaps::release_table(const StoredBitmap& bitmap)
{
    std::vector<u8> table(u64{bitmap.table_size} * sizeof(u64));
    if (auto read = read_padded(image_.file(), FileOffset{bitmap.table_offset}, table); !read) {
        return read;
    }
    for (u64 i = 0; i < bitmap.table_size; ++i) {
        const u64 at = load_be<u64>(table, i * sizeof(u64)) & entry::offset_mask;
        if (at == 0) {
            continue;
        }
        if (auto done = image_.refcounts_.decrease(image_.run_of(at, 1)); !done) {
            return done;
        }
    }
    return image_.refcounts_.decrease(image_.run_of(bitmap.table_offset, table.size()));
}

Status Bitmaps::release_old()
{
    const BitmapDirectory old = std::exchange(old_, {});
    std::unordered_set<u64> kept; // tables; a directory may have tens of thousands
    for (const StoredBitmap& now : directory_.bitmaps) {
        kept.insert(now.table_offset);
    }
    for (const StoredBitmap& b : old.bitmaps) {
        if (b.table_size == 0 || kept.contains(b.table_offset)) {
            continue;
        }
        if (auto done = release_table(b); !done) {
            return image_.mark_corrupt(std::move(done).error());
        }
    }
    if (auto done = image_.refcounts_.decrease(image_.run_of(old.at, old.bytes)); !done) {
        return image_.mark_corrupt(std::move(done).error());
    }
    return image_.refcounts_.write_blocks();
}

Status Bitmaps::store(std::vector<StoredBitmap> next)
{
    if (auto done = image_.flush(); !done) {
        return done;
    }
    Header header = image_.header_;
    if (auto done = prepare(std::move(next), header); !done) {
        return done;
    }
    if (auto done = image_.write_header(std::move(header)); !done) {
        return done;
    }
    return release_old();
}

Status Bitmaps::add(const std::string& name, u64 granularity, bool enabled)
{
    if (name.empty()) {
        return fail(Errc::invalid_argument, "Bitmap name cannot be empty");
    }
    if (name.size() > kMaxBitmapName) {
        return fail(Errc::invalid_argument,
                    fmt::format("Can't make bitmap '{}' persistent in '{}': Name length exceeds "
                                "maximum ({} characters)",
                                name, image_.file().name(), kMaxBitmapName));
    }
    if (!std::has_single_bit(granularity) || granularity < u64{1} << kMinGranularityBits ||
        granularity > u64{1} << kMaxGranularityBits) {
        return fail(Errc::invalid_argument, "Granularity must be power of 2 and at least 512");
    }
    if (find(name, false)) {
        return fail(Errc::invalid_argument, "Bitmap already exists: " + name);
    }
    if (!can_add()) {
        return fail(Errc::unsupported,
                    fmt::format("Can't make bitmap '{}' persistent in '{}': Cannot store dirty "
                                "bitmaps in qcow2 v2 files",
                                name, image_.file().name()));
    }
    StoredBitmap bitmap{.flags = enabled ? bitmap_flag::automatic : 0,
                        .granularity_bits = static_cast<u8>(std::countr_zero(granularity)),
                        .name = name};
    if (bitmap_bytes(image_.size(), bitmap.granularity_bits) > kMaxBitmapBytes) {
        return fail(Errc::invalid_argument,
                    fmt::format("Can't make bitmap '{}' persistent in '{}': Too much space will "
                                "be occupied by the bitmap. Use larger granularity",
                                name, image_.file().name()));
    }
    if (auto done = write_bits(bitmap, no_bits(bitmap)); !done) {
        return done;
    }
    auto next = directory_.bitmaps;
    next.push_back(std::move(bitmap));
    return store(std::move(next));
}

Status Bitmaps::remove(const std::string& name)
{
    auto index = find(name, false);
    if (!index) {
        return std::move(index).error();
    }
    auto next = directory_.bitmaps;
    next.erase(next.begin() + static_cast<std::ptrdiff_t>(index.value()));
    return store(std::move(next));
}

Status Bitmaps::clear(const std::string& name)
{
    auto index = find(name, true);
    if (!index) {
        return std::move(index).error();
    }
    auto next = directory_.bitmaps;
    StoredBitmap& bitmap = next[index.value()];
    if (auto done = write_bits(bitmap, no_bits(bitmap)); !done) {
        return done;
    }
    return store(std::move(next));
}

Status Bitmaps::set_enabled(const std::string& name, bool enabled)
{
    auto index = find(name, true);
    if (!index) {
        return std::move(index).error();
    }
    auto next = directory_.bitmaps;
    next[index.value()].flags = enabled ? bitmap_flag::automatic : 0;
    return store(std::move(next));
}

Result<std::vector<bool>> Bitmaps::load(const std::string& name)
{
    auto index = find(name, true);
    if (!index) {
        return std::move(index).error();
    }
    const StoredBitmap& bitmap = directory_.bitmaps[index.value()];
    auto bits = read_bits(bitmap);
    if (!bits) {
        return std::move(bits).error();
    }
    const u64 granularity = bitmap.granularity();
    std::vector<bool> all(image_.size() / granularity + (image_.size() % granularity != 0));
    for (std::size_t i = 0; i < all.size(); ++i) {
        all[i] = has_bit(bits.value(), i);
    }
    return all;
}

Status Bitmaps::merge(const std::string& name, const std::vector<bool>& bits, u64 granularity)
{
    auto index = find(name, true);
    if (!index) {
        return std::move(index).error();
    }
    auto next = directory_.bitmaps;
    StoredBitmap& bitmap = next[index.value()];
    auto own = read_bits(bitmap);
    if (!own) {
        return std::move(own).error();
    }
    for (std::size_t i = 0; i < bits.size(); ++i) {
        const u64 first = i * granularity;
        if (!bits[i] || first >= image_.size()) {
            continue;
        }
        const u64 last = std::min(first + granularity, image_.size()) - 1;
        set_bits(own.value(), first >> bitmap.granularity_bits, last >> bitmap.granularity_bits);
    }
    if (auto done = write_bits(bitmap, own.value()); !done) {
        return done;
    }
    return store(std::move(next));
}

Status Bitmaps::begin_marking()
{
    marking_ = true;
    bool changed = false;
    for (std::size_t i = 0; i < directory_.bitmaps.size(); ++i) {
        StoredBitmap& bitmap = directory_.bitmaps[i];
        if (!bitmap.usable() || (bitmap.flags & bitmap_flag::automatic) == 0) {
            continue;
        }
        auto bits = read_bits(bitmap);
        if (bits) { // one that cannot be read is left in use for good
            marked_.emplace(i, std::move(bits).value());
        }
        bitmap.flags |= bitmap_flag::in_use;
        changed = true;
        std::array<u8, 4> field{};
        store_be<u32>(field, 0, bitmap.flags);
        if (auto done = image_.file().write(FileOffset{bitmap.entry_offset + 12}, field); !done) {
            return done;
        }
    }
    return changed ? image_.file().flush() : base::ok();
}

Status Bitmaps::note_write(u64 offset, u64 length)
{
    if (!marking_) {
        if (auto done = begin_marking(); !done) {
            return done;
        }
    }
    if (length == 0) {
        return base::ok();
    }
    for (auto& [index, bits] : marked_) {
        const u8 shift = directory_.bitmaps[index].granularity_bits;
        set_bits(bits, offset >> shift, (offset + length - 1) >> shift);
    }
    return base::ok();
}

Status Bitmaps::store_marked()
{
    if (marked_.empty()) {
        return base::ok();
    }
    auto next = directory_.bitmaps;
    for (const auto& [index, bits] : std::exchange(marked_, {})) {
        next[index].flags &= ~bitmap_flag::in_use;
        if (auto done = write_bits(next[index], bits); !done) {
            return done;
        }
    }
    marking_ = false;
    return store(std::move(next));
}

Status Bitmaps::prepare_resize(u64 new_size, Header& header)
{
    auto next = directory_.bitmaps;
    for (StoredBitmap& bitmap : next) {
        if (auto usable = find(bitmap.name, true); !usable) {
            return std::move(usable).error();
        }
        auto bits = read_bits(bitmap);
        if (!bits) {
            return std::move(bits).error();
        }
        Bits resized = std::move(bits).value();
        resized.resize(bitmap_bytes(new_size, bitmap.granularity_bits));
        if (resized.size() > kMaxBitmapBytes) {
            return fail(Errc::unsupported,
                        fmt::format("Bitmap '{}' would become too large", bitmap.name));
        }
        // Bits beyond the end mean nothing; they must not once the disk is longer.
        const u64 count = (std::min(new_size, image_.size()) + bitmap.granularity() - 1) >>
                          bitmap.granularity_bits;
        for (u64 i = count; i < resized.size() * 8; ++i) {
            resized[i / 8] = static_cast<u8>(resized[i / 8] & ~(1u << i % 8));
            if (i % 8 == 7 && i >= count + 8) {
                break; // all behind was added as zero
            }
        }
        if (auto done = write_bits(bitmap, resized); !done) {
            return done;
        }
    }
    return prepare(std::move(next), header);
}

} // namespace img::qcow2
