// The writing half of QcowImage.
//
// flush() lets data and empty tables reach the disk first, and then the entries that refer to
// them. Cut anywhere, every reference leads to what was written; the worst that is left behind is
// room at the end of the file that nothing refers to.
#include "base/endian.hpp"
#include "imgtool/formats/qcow/qcow_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::qcow {

namespace {

using base::Errc;
using base::fail;
using base::store_be;

constexpr u64 kMaxFreshBytes = u64{2} << 20; // placed at once
constexpr std::size_t kMaxDirtyL1 = 512;     // entries

} // namespace

Result<u64> QcowImage::allocate(u64 bytes, u64 alignment)
{
    const u64 at = (next_ + alignment - 1) / alignment * alignment;
    if (at > static_cast<u64>(INT64_MAX) - bytes) {
        return fail(Errc::io, "the image file is as large as files can be");
    }
    next_ = at + bytes;
    return at;
}

Status QcowImage::store_entry(const L2Place& at, u64 ahead, u64 entry)
{
    auto slice = l2_cache_.get_for_write(at.slice);
    if (!slice) {
        return std::move(slice).error();
    }
    store_be<u64>(slice.value(), (at.index + ahead) * sizeof(u64), entry);
    return base::ok();
}

/// As l2_place(), with a new table where there is none.
Result<QcowImage::L2Place> QcowImage::l2_place_for_write(u64 guest)
{
    auto there = l2_place(guest);
    if (!there || there.value().slice != 0) {
        return there;
    }
    auto table = allocate(header_.l2_bytes(), header_.cluster_size());
    if (!table) {
        return std::move(table).error();
    }
    if (auto zeroed = file_->zero(FileOffset{table.value()}, header_.l2_bytes()); !zeroed) {
        return std::move(zeroed).error();
    }
    l2_cache_.drop(table.value(), header_.l2_bytes());
    dirty_l1_[guest / header_.l2_reach()] = table.value();
    return l2_place(guest);
}

/// How many clusters, of at most `wanted`, can be treated together with the first: they lie side by
/// side in the file, or they all need new clusters.
Result<u64> QcowImage::count_alike(const L2Place& at, u64 first, u64 wanted)
{
    const auto is_own = [](u64 entry) { return entry != 0 && (entry & kCompressed) == 0; };
    u64 count = 1;
    while (count < wanted) {
        auto next = load_entry(at, count);
        if (!next) {
            return std::move(next).error();
        }
        const bool alike = is_own(first) ? next.value() == first + (count << header_.cluster_bits)
                                         : !is_own(next.value());
        if (!alike) {
            break;
        }
        ++count;
    }
    return count;
}

/// A hostile table may send the guest's writes into the image's own header, or far past the end of
/// the file.
Status QcowImage::check_own_clusters(u64 host, u64 guest) const
{
    if (host < header_.l1_end() || host >= file_->size()) {
        return fail(Errc::corrupt,
                    fmt::format("qcow: guest offset {:#x} is mapped to {:#x}, which is in the "
                                "header or past the end of the file",
                                guest, host));
    }
    return base::ok();
}

Status QcowImage::relieve_caches()
{
    return l2_cache_.crowded() || dirty_l1_.size() > kMaxDirtyL1 ? flush() : base::ok();
}

Result<Placement> QcowImage::place(GuestOffset from, u64 length)
{
    if (from.bytes >= size() || length == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    length = std::min(length, size() - from.bytes);
    if (auto relieved = relieve_caches(); !relieved) {
        return std::move(relieved).error();
    }
    auto at = l2_place_for_write(from.bytes);
    if (!at) {
        return std::move(at).error();
    }
    auto first = checked_entry(at.value(), from.bytes);
    if (!first) {
        return std::move(first).error();
    }
    const u64 within = from.bytes & header_.within();
    const bool fresh = first.value() == 0 || (first.value() & kCompressed) != 0;
    u64 wanted = std::min(at.value().left, clusters(within + length));
    if (fresh) {
        wanted = std::min(wanted, std::max<u64>(1, kMaxFreshBytes >> header_.cluster_bits));
    }
    auto count = count_alike(at.value(), first.value(), wanted);
    if (!count) {
        return std::move(count).error();
    }
    const u64 bytes = count.value() << header_.cluster_bits;
    u64 host = first.value();
    if (fresh) {
        auto taken = allocate(bytes, header_.cluster_size());
        if (!taken) {
            return std::move(taken).error();
        }
        host = taken.value();
    } else if (auto good = check_own_clusters(host, from.bytes); !good) {
        return std::move(good).error();
    }
    wrote_data_ = true;
    return Placement{.from = from,
                     .at = FileOffset{host + within},
                     .length = std::min(length, bytes - within),
                     .fresh = fresh,
                     .block = GuestOffset{from.bytes - within},
                     .block_length = bytes,
                     .sealing = sealing_at(from.bytes)};
}

Status QcowImage::publish(const Placement& placement)
{
    if (!placement.fresh) {
        return base::ok();
    }
    auto at = l2_place(placement.block.bytes);
    if (!at) {
        return std::move(at).error();
    }
    const u64 host = placement.at.bytes - (placement.from.bytes - placement.block.bytes);
    for (u64 i = 0; i < placement.block_length >> header_.cluster_bits; ++i) {
        if (auto stored = store_entry(at.value(), i, host + (i << header_.cluster_bits)); !stored) {
            return stored;
        }
    }
    return base::ok();
}

void QcowImage::abandon(const Placement& placement)
{
    const u64 host = placement.at.bytes - (placement.from.bytes - placement.block.bytes);
    if (placement.fresh && host + placement.block_length == next_) {
        next_ = host;
    }
}

Result<u64> QcowImage::place_zeroes(GuestOffset from, u64 length)
{
    if (from.bytes >= size() || length == 0 || !backing_name_.empty()) {
        return u64{0};
    }
    // There are no clusters that are said to be zero, but none at all is as good.
    auto extent = map(from, length, MapDetail::fast);
    if (!extent) {
        return std::move(extent).error();
    }
    return extent.value().kind == Extent::Kind::backing ? extent.value().length : u64{0};
}

Status QcowImage::write_packed(GuestOffset block, std::span<const u8> packed)
{
    if (header_.crypt != crypt_method::none) {
        return fail(Errc::unsupported, "Compression and encryption not supported at the same time");
    }
    if (block.bytes >= size() || (block.bytes & header_.within()) != 0 || packed.empty() ||
        packed.size() >= header_.cluster_size()) {
        return fail(Errc::invalid_argument, "compressed writes are of whole clusters");
    }
    if (auto relieved = relieve_caches(); !relieved) {
        return relieved;
    }
    auto place = l2_place_for_write(block.bytes);
    if (!place) {
        return std::move(place).error();
    }
    auto at = allocate(packed.size(), 1);
    if (!at) {
        return std::move(at).error();
    }
    const u64 entry = packed_entry(header_, {at.value(), packed.size()});
    if (entry == 0) {
        return fail(Errc::unsupported, "the image file is too large for compressed clusters");
    }
    wrote_data_ = true;
    if (auto written = file_->write(FileOffset{at.value()}, packed); !written) {
        return written;
    }
    return store_entry(place.value(), 0, entry);
}

Status QcowImage::write_l1()
{
    for (const auto& [index, entry] : dirty_l1_) {
        std::array<u8, 8> field{};
        store_be<u64>(field, 0, entry);
        const FileOffset at{header_.l1_offset + index * sizeof(u64)};
        if (auto done = file_->write(at, field); !done) {
            return done;
        }
    }
    dirty_l1_.clear();
    l1_cache_.clear(); // it has what was there before
    return base::ok();
}

Status QcowImage::flush()
{
    if (file_->read_only() || (!wrote_data_ && !l2_cache_.dirty() && dirty_l1_.empty())) {
        return base::ok();
    }
    if (auto done = file_->flush(); !done) {
        return done;
    }
    wrote_data_ = false;
    if (!l2_cache_.dirty() && dirty_l1_.empty()) {
        return base::ok();
    }
    // A new table was written, empty, before the barrier; so the L1 table may refer to it whether
    // or not its newest entries are there.
    if (auto done = l2_cache_.write_dirty(); !done) {
        return done;
    }
    if (auto done = write_l1(); !done) {
        return done;
    }
    return file_->flush();
}

Result<bool> QcowImage::make_empty()
{
    if (auto done = flush(); !done) {
        return std::move(done).error();
    }
    l2_cache_.clear();
    l1_cache_.clear();
    const u64 l1_bytes = header_.l1_end() - header_.l1_offset;
    if (auto done = file_->zero(FileOffset{header_.l1_offset}, l1_bytes); !done) {
        return std::move(done).error();
    }
    if (auto done = file_->flush(); !done) {
        return std::move(done).error();
    }
    if (auto done = file_->resize(header_.l1_end()); !done) {
        return std::move(done).error();
    }
    next_ = header_.l1_end();
    return true;
}

} // namespace img::qcow
