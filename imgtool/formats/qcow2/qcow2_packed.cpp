// Compressed clusters of a qcow2 image: they are appended to each other and share host clusters.
#include "imgtool/formats/qcow2/qcow2_image.hpp"

#include <algorithm>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;

} // namespace

/// Takes room for packed bytes: behind the last ones, so that they share clusters.
Result<u64> Qcow2Image::place_packed(u64 length)
{
    const u64 left =
        packed_end_ == 0 ? 0 : geometry_.cluster_size() - (packed_end_ & geometry_.within());
    const u64 current = packed_end_ >> geometry_.cluster_bits;
    bool shareable = left != 0;
    if (shareable) {
        auto count = refcounts_.get(current);
        if (!count) {
            return std::move(count).error();
        }
        shareable = count.value() < geometry_.refcount_max();
    }
    u64 at = packed_end_;
    if (!shareable || length > left) {
        auto run = refcounts_.allocate(1);
        if (!run) {
            return std::move(run).error();
        }
        shareable = shareable && run.value().first == current + 1;
        if (!shareable) {
            at = run.value().first << geometry_.cluster_bits;
        }
    }
    if (shareable) {
        if (auto shared = refcounts_.increase({current, 1}); !shared) {
            return std::move(shared).error();
        }
    }
    packed_end_ = ((at + length) & geometry_.within()) == 0 ? 0 : at + length;
    return at;
}

Status Qcow2Image::write_packed(GuestOffset block, std::span<const u8> packed)
{
    if (block.bytes >= header_.size || (block.bytes & geometry_.within()) != 0 || packed.empty() ||
        packed.size() >= geometry_.cluster_size()) {
        return fail(Errc::invalid_argument, "compressed writes are of whole clusters");
    }
    if (header_.has_data_file()) {
        return fail(Errc::unsupported, "Operation not supported");
    }
    if (header_.encryption != encryption_method::none) {
        return fail(Errc::unsupported, "Compression and encryption not supported at the same time");
    }
    if (auto relieved = relieve_caches(); !relieved) {
        return relieved;
    }
    if (auto noted =
            note_write(block.bytes, std::min(geometry_.cluster_size(), header_.size - block.bytes));
        !noted) {
        return noted;
    }
    auto place = l2_place_for_write(block.bytes);
    if (!place) {
        return mark_corrupt(std::move(place).error());
    }
    auto at = place_packed(packed.size());
    if (!at) {
        return mark_corrupt(std::move(at).error());
    }
    wrote_data_ = true;
    wrote_packed_ = true;
    file_->announce(DebugEvent::write_compressed);
    const L2Entry entry{packed_entry(geometry_, {at.value(), packed.size()}), 0};
    auto written = file_->write(FileOffset{at.value()}, packed);
    auto old = written ? load_entry(place.value(), 0) : Result<L2Entry>{std::move(written).error()};
    if (!old) {
        packed_end_ = 0;
        (void)refcounts_.decrease(clusters_of(entry));
        return std::move(old).error();
    }
    free_later(old.value());
    return store_entry(place.value(), 0, entry);
}

} // namespace img::qcow2
