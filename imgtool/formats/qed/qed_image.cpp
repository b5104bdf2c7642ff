// Reading and writing QED images.
//
// Clusters are only ever added at the end. flush() brings data and empty tables to the disk before
// the entries that refer to them, so that a crash leaves leaks at worst; other programs that write
// QED do not, which is why the need-check mark is set all the same before the first new cluster
// (section "Consistency checking") and taken away when the image is closed.
#include "imgtool/formats/qed/qed_image.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace img::qed {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kSlice = 4096;                 // bytes; no table is smaller
constexpr std::size_t kCachedSlices = 256;   // 1 MiB: the maps of 8 GiB at the default size
constexpr u64 kMaxFreshBytes = u64{2} << 20; // placed at once

} // namespace

QedImage::QedImage(std::unique_ptr<ByteSource> file, Header header)
    : file_{std::move(file)}, header_{std::move(header)}, cache_{*file_, kSlice, kCachedSlices},
      end_{(file_->size() + header_.cluster_size - 1) / header_.cluster_size * header_.cluster_size}
{}

QedImage::~QedImage()
{
    if (file_->read_only()) {
        return;
    }
    // Whoever cares for the result has called flush() before.
    if (flush() && dirty_by_us_) {
        (void)mark(header_.features & ~feature::need_check);
    }
}

Result<std::unique_ptr<Image>> QedImage::open(std::unique_ptr<ByteSource> file,
                                              OpenContext& context)
{
    auto header = read_header(*file);
    if (!header) {
        return std::move(header).error();
    }
    std::unique_ptr<QedImage> image{new QedImage{std::move(file), std::move(header).value()}};
    if (context.purpose == OpenFor::use && !image->file_->read_only()) {
        if (auto ready = image->prepare_for_writing(); !ready) {
            return std::move(ready).error();
        }
    }
    return std::unique_ptr<Image>{std::move(image)};
}

Status QedImage::prepare_for_writing()
{
    if ((header_.features & feature::need_check) != 0) {
        auto checked = check(Repair::all, [](const std::string&) {});
        if (!checked) {
            return std::move(checked).error().in("repairing a dirty image");
        }
        if ((header_.features & feature::need_check) != 0) {
            return fail(Errc::corrupt, "the QED image is dirty and could not be repaired");
        }
    }
    if (file_->fixed_size()) {
        if (auto found = find_end(); !found) {
            return found;
        }
    }
    // "An image with unknown autoclear_features bits enable can be opened safely after clearing
    // the unknown bits."
    if (header_.autoclear_features != 0) {
        header_.autoclear_features = 0;
        return write_header();
    }
    return base::ok();
}

/// Where what the tables refer to ends, as the file's end does not tell.
Status QedImage::find_end()
{
    u64 end = header_.l1_offset + header_.table_bytes();
    std::set<u64> seen; // tables; no more than the file has room for
    for (u64 i = 0; i < header_.table_entries(); ++i) {
        auto table = load(header_.l1_offset + i * sizeof(u64));
        if (!table) {
            return std::move(table).error();
        }
        if (!is_cluster(table.value(), header_.table_bytes()) ||
            !seen.insert(table.value()).second) {
            continue; // what is wrong is told when it is needed
        }
        end = std::max(end, table.value() + header_.table_bytes());
        for (u64 k = 0; k < header_.table_entries(); ++k) {
            auto entry = load(table.value() + k * sizeof(u64));
            if (!entry) {
                return std::move(entry).error();
            }
            if (is_cluster(entry.value(), header_.cluster_size)) {
                end = std::max(end, entry.value() + header_.cluster_size);
            }
        }
    }
    end_ = end;
    return base::ok();
}

Status QedImage::write_header()
{
    return file_->write(FileOffset{0}, encode_header(header_)); // in one page: it is whole or not
}

Status QedImage::mark(u64 features)
{
    if (features == header_.features) {
        return base::ok();
    }
    header_.features = features;
    if (auto done = write_header(); !done) {
        return done;
    }
    return file_->flush();
}

Result<u64> QedImage::load(u64 at)
{
    auto slice = cache_.get(at & ~(kSlice - 1));
    if (!slice) {
        return std::move(slice).error().in("Could not read a QED table");
    }
    return base::load_le<u64>(slice.value(), at & (kSlice - 1));
}

Status QedImage::store(u64 at, u64 entry)
{
    auto slice = cache_.get_for_write(at & ~(kSlice - 1));
    if (!slice) {
        return std::move(slice).error().in("Could not read a QED table");
    }
    base::store_le<u64>(slice.value(), at & (kSlice - 1), entry);
    return base::ok();
}

/// Whether a table or cluster of that many bytes can be at `at`.
bool QedImage::is_cluster(u64 at, u64 bytes) const
{
    return at % header_.cluster_size == 0 && at >= header_.data_at() && at < end_ &&
           bytes <= end_ - at;
}

Result<QedImage::L2Place> QedImage::l2_place(u64 guest)
{
    const u64 index = guest / header_.cluster_size % header_.table_entries();
    const u64 left = header_.table_entries() - index;
    auto table = load(header_.l1_offset + guest / header_.l2_reach() * sizeof(u64));
    if (!table) {
        return std::move(table).error();
    }
    if (table.value() == 0) {
        return L2Place{0, left};
    }
    if (!is_cluster(table.value(), header_.table_bytes()) || table.value() == header_.l1_offset) {
        return fail(Errc::corrupt, fmt::format("qed: L2 table offset {:#x} is invalid (guest "
                                               "offset {:#x})",
                                               table.value(), guest));
    }
    return L2Place{table.value() + index * sizeof(u64), left};
}

/// Loads the L2 entry at `at`, which must be 0, 1 or lead to a cluster.
Result<u64> QedImage::data_entry(u64 at, u64 guest)
{
    if (at == 0) {
        return u64{0};
    }
    auto entry = load(at);
    if (entry && entry.value() > kZeroCluster && !is_cluster(entry.value(), header_.cluster_size)) {
        return fail(Errc::corrupt, fmt::format("qed: cluster offset {:#x} is invalid (guest offset "
                                               "{:#x})",
                                               entry.value(), guest));
    }
    return entry;
}

Result<Extent> QedImage::map(GuestOffset from, u64 limit, MapDetail)
{
    if (from.bytes >= header_.size || limit == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    limit = std::min(limit, header_.size - from.bytes);
    const u64 cluster = header_.cluster_size;
    const u64 within = from.bytes % cluster;
    auto place = l2_place(from.bytes);
    if (!place) {
        return std::move(place).error();
    }
    if (place.value().entry_at == 0) {
        return Extent{.kind = Extent::Kind::backing,
                      .length = std::min(limit, place.value().left * cluster - within)};
    }
    auto first = data_entry(place.value().entry_at, from.bytes);
    if (!first) {
        return std::move(first).error();
    }
    u64 count = 1;
    for (; count < place.value().left && count * cluster - within < limit; ++count) {
        auto next = load(place.value().entry_at + count * sizeof(u64));
        if (!next) {
            return std::move(next).error();
        }
        const u64 alike =
            first.value() > kZeroCluster ? first.value() + count * cluster : first.value();
        if (next.value() != alike || (alike > kZeroCluster && !is_cluster(alike, cluster))) {
            break;
        }
    }
    Extent extent{.kind = Extent::Kind::backing,
                  .length = std::min(limit, count * cluster - within)};
    if (first.value() == kZeroCluster) {
        extent.kind = Extent::Kind::zero;
    } else if (first.value() != 0) {
        extent.kind = Extent::Kind::data;
        extent.at = FileOffset{first.value() + within};
    }
    return extent;
}

/// Takes clusters at the end of the file, once the image is marked.
Result<u64> QedImage::take(u64 clusters)
{
    if (end_ > static_cast<u64>(INT64_MAX) - clusters * header_.cluster_size) {
        return fail(Errc::unsupported, "the QED image cannot grow any further");
    }
    dirty_by_us_ = true;
    if (auto marked = mark(header_.features | feature::need_check); !marked) {
        return std::move(marked).error();
    }
    const u64 at = end_;
    end_ += clusters * header_.cluster_size;
    return at;
}

Result<QedImage::L2Place> QedImage::l2_place_for_write(u64 guest)
{
    auto place = l2_place(guest);
    if (!place || place.value().entry_at != 0) {
        return place;
    }
    auto at = take(header_.table_size);
    if (!at) {
        return std::move(at).error();
    }
    if (auto zeroed = file_->zero(FileOffset{at.value()}, header_.table_bytes()); !zeroed) {
        end_ = at.value();
        return std::move(zeroed).error();
    }
    cache_.drop(at.value(), header_.table_bytes());
    const u64 l1_entry = header_.l1_offset + guest / header_.l2_reach() * sizeof(u64);
    if (auto stored = store(l1_entry, at.value()); !stored) {
        return std::move(stored).error();
    }
    return l2_place(guest);
}

/// How many clusters, of at most `wanted`, are to be treated like the first.
Result<u64> QedImage::count_alike(const L2Place& place, u64 first, u64 wanted)
{
    u64 count = 1;
    for (; count < wanted; ++count) {
        auto next = load(place.entry_at + count * sizeof(u64));
        if (!next) {
            return std::move(next).error();
        }
        const bool alike = first > kZeroCluster
                               ? next.value() == first + count * header_.cluster_size &&
                                     is_cluster(next.value(), header_.cluster_size)
                               : next.value() <= kZeroCluster;
        if (!alike) {
            break;
        }
    }
    return count;
}

/// A hostile table may send the guest's writes into the L1 table.
Status QedImage::check_data(u64 at, u64 bytes) const
{
    if (at < header_.l1_offset + header_.table_bytes() && header_.l1_offset < at + bytes) {
        return fail(Errc::corrupt, "qed: Preventing invalid write on metadata (L1 table)");
    }
    return base::ok();
}

Result<Placement> QedImage::place(GuestOffset from, u64 length)
{
    if (from.bytes >= header_.size || length == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    length = std::min(length, header_.size - from.bytes);
    if (cache_.crowded()) {
        if (auto done = flush(); !done) {
            return std::move(done).error();
        }
    }
    auto place = l2_place_for_write(from.bytes);
    if (!place) {
        return std::move(place).error();
    }
    auto first = data_entry(place.value().entry_at, from.bytes);
    if (!first) {
        return std::move(first).error();
    }
    const u64 cluster = header_.cluster_size;
    const u64 within = from.bytes % cluster;
    const bool fresh = first.value() <= kZeroCluster;
    u64 wanted = std::min(place.value().left, (within + length + cluster - 1) / cluster);
    if (fresh) {
        wanted = std::min(wanted, std::max<u64>(1, kMaxFreshBytes / cluster));
    }
    auto count = count_alike(place.value(), first.value(), wanted);
    if (!count) {
        return std::move(count).error();
    }
    auto at = fresh ? take(count.value()) : Result<u64>{first.value()};
    if (!at) {
        return std::move(at).error();
    }
    const u64 bytes = count.value() * cluster;
    if (auto good = check_data(at.value(), bytes); !good) {
        return std::move(good).error();
    }
    wrote_data_ = true;
    return Placement{.from = from,
                     .at = FileOffset{at.value() + within},
                     .length = std::min(length, bytes - within),
                     .fresh = fresh,
                     .block = GuestOffset{from.bytes - within},
                     .block_length = bytes};
}

Status QedImage::publish(const Placement& placement)
{
    if (!placement.fresh) {
        return base::ok();
    }
    auto place = l2_place(placement.block.bytes);
    if (!place) {
        return std::move(place).error();
    }
    const u64 at = placement.at.bytes - (placement.from.bytes - placement.block.bytes);
    const u64 cluster = header_.cluster_size;
    for (u64 i = 0; i < placement.block_length / cluster; ++i) {
        const u64 entry_at = place.value().entry_at + i * sizeof(u64);
        if (auto stored = store(entry_at, at + i * cluster); !stored) {
            return stored;
        }
    }
    return base::ok();
}

void QedImage::abandon(const Placement& placement)
{
    const u64 at = placement.at.bytes - (placement.from.bytes - placement.block.bytes);
    if (placement.fresh && at + placement.block_length == end_) {
        end_ = at;
    }
}

Result<u64> QedImage::place_zeroes(GuestOffset from, u64 length)
{
    if (cache_.crowded()) {
        if (auto done = flush(); !done) {
            return std::move(done).error();
        }
    }
    auto extent = map(from, length, MapDetail::fast);
    if (!extent) {
        return std::move(extent).error();
    }
    const u64 n = extent.value().length;
    if (extent.value().kind == Extent::Kind::zero ||
        (extent.value().kind == Extent::Kind::backing && !has_backing())) {
        return n;
    }
    if (extent.value().kind == Extent::Kind::data) {
        if (auto good = check_data(extent.value().at.bytes, n); !good) {
            return std::move(good).error();
        }
        wrote_data_ = true;
        if (auto done = file_->zero(extent.value().at, n); !done) {
            return std::move(done).error();
        }
        return n;
    }
    const bool to_end = from.bytes + n == header_.size;
    if (from.bytes % header_.cluster_size != 0 || (n < header_.cluster_size && !to_end)) {
        return u64{0};
    }
    auto place = l2_place_for_write(from.bytes);
    if (!place) {
        return std::move(place).error();
    }
    return zero_entries(place.value(), from.bytes, n);
}

Result<u64> QedImage::zero_entries(const L2Place& place, u64 guest, u64 length)
{
    const u64 cluster = header_.cluster_size;
    const bool to_end = guest + length == header_.size;
    const u64 count =
        std::min(place.left, to_end ? (length + cluster - 1) / cluster : length / cluster);
    for (u64 i = 0; i < count; ++i) {
        if (auto stored = store(place.entry_at + i * sizeof(u64), kZeroCluster); !stored) {
            return std::move(stored).error();
        }
    }
    wrote_data_ = true;
    return std::min(length, count * cluster);
}

Status QedImage::flush()
{
    if (file_->read_only() || (!wrote_data_ && !cache_.dirty())) {
        return base::ok();
    }
    if (cache_.dirty()) {
        if (auto done = file_->flush(); !done) {
            return done;
        }
        // A new L2 table was there, empty, before that barrier; so the L1 table may refer to it
        // whether or not its newest entries are there.
        if (auto done = cache_.write_dirty(); !done) {
            return done;
        }
    }
    wrote_data_ = false;
    return file_->flush();
}

ImageInfo QedImage::info()
{
    const bool raw = (header_.features & feature::backing_is_raw) != 0;
    return {.format = "qed",
            .size = header_.size,
            .cluster_size = header_.cluster_size,
            .dirty = (header_.features & feature::need_check) != 0,
            .backing_name = header_.backing_name,
            .backing_format = has_backing() && raw ? "raw" : ""};
}

} // namespace img::qed
