// Zeroes in a qcow2 image: entries that say so, in place of clusters.
#include "imgtool/formats/qcow2/qcow2_image.hpp"

#include <algorithm>

namespace img::qcow2 {

/// The entry that makes `count` subclusters from `first` on read as zero, or nothing where there is
/// none.
std::optional<L2Entry> Qcow2Image::zero_entry(const L2Entry& old, u32 first, u32 count) const
{
    const bool has_backing = own_zeroes_ || !header_.backing_name.empty();
    const bool whole = count == geometry_.subclusters();
    const bool holds_data = geometry_.extended_l2
                                ? (old.word & entry::compressed) != 0 ||
                                      (old.bitmap & subcluster_mask(first, count)) != 0
                                : rules_.held(old).end != 0;
    const bool gone = !has_backing && !holds_data;
    if (geometry_.extended_l2) {
        if (!whole) { // the cluster stays for the rest
            return (old.word & entry::compressed) != 0 ? std::nullopt
                   : gone                              ? std::optional{old}
                          : std::optional{L2Entry{old.word, (old.bitmap | zero_mask(first, count)) &
                                                                ~subcluster_mask(first, count)}};
        }
        return gone ? old : L2Entry{0, kAllZero};
    }
    const ClusterKind kind = rules_.kind(old, 0);
    if (gone || kind == ClusterKind::zero_plain || kind == ClusterKind::zero_reserved) {
        return old;
    }
    if (header_.version >= 3) {
        return L2Entry{entry::zero, 0};
    }
    return has_backing ? std::nullopt : std::optional{L2Entry{}};
}

Result<u64> Qcow2Image::place_own_zeroes(GuestOffset from, u64 length)
{
    own_zeroes_ = true;
    auto placed = place_zeroes(from, length);
    own_zeroes_ = false;
    return placed;
}

Result<u64> Qcow2Image::place_zeroes(GuestOffset from, u64 length)
{
    const u64 part = geometry_.subcluster_size();
    if (from.bytes >= header_.size || from.bytes % part != 0) {
        return u64{0};
    }
    length = std::min(length, header_.size - from.bytes);
    const bool to_end = from.bytes + length == header_.size;
    length -= to_end ? 0 : length % part;
    if (auto relieved = relieve_caches(); !relieved) {
        return std::move(relieved).error();
    }
    if (auto noted = note_write(from.bytes, length); !noted) {
        return std::move(noted).error();
    }
    auto there = l2_place(from.bytes);
    if (!there) {
        return mark_corrupt(std::move(there).error()).error();
    }
    const u64 within = from.bytes & geometry_.within();
    length = std::min(length, (there.value().left << geometry_.cluster_bits) - within);
    if (header_.data_file_is_raw() && length != 0) {
        wrote_data_ = true;
        if (auto zeroed = data_file().zero(FileOffset{from.bytes}, length); !zeroed) {
            return std::move(zeroed).error();
        }
    }
    if (length == 0 || (there.value().slice == 0 && header_.backing_name.empty() && !own_zeroes_)) {
        return length;
    }
    if (header_.version < 3 && (own_zeroes_ || !header_.backing_name.empty())) {
        return u64{0};
    }
    auto at = l2_place_for_write(from.bytes);
    if (!at) {
        return mark_corrupt(std::move(at).error()).error();
    }
    wrote_data_ = true;
    // A new table may be cut into other slices.
    return zero_entries(at.value(), from.bytes,
                        std::min(length, (at.value().left << geometry_.cluster_bits) - within));
}

Result<u64> Qcow2Image::zero_entries(const L2Place& at, u64 guest, u64 length)
{
    const u64 part = geometry_.subcluster_size();
    const u64 end = guest + length;
    u64 cluster = guest & ~geometry_.within();
    for (u64 i = 0; cluster < end; ++i, cluster += geometry_.cluster_size()) {
        auto old = load_good_entry(at, i, cluster);
        if (!old) {
            return mark_corrupt(std::move(old).error()).error();
        }
        const u64 begin = std::max(guest, cluster);
        const u32 first = static_cast<u32>((begin - cluster) / part);
        const u64 last = std::min(end, cluster + geometry_.cluster_size()) - cluster;
        const auto now =
            zero_entry(old.value(), first, static_cast<u32>((last + part - 1) / part) - first);
        if (!now) {
            return begin - guest;
        }
        if (*now == old.value()) {
            continue;
        }
        if (auto stored = store_entry(at, i, *now); !stored) {
            return std::move(stored).error();
        }
        if (!rules_.has_cluster(*now)) {
            free_later(old.value());
        }
    }
    return length;
}

} // namespace img::qcow2
