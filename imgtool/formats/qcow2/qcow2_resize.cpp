// Making a disk longer or shorter.
//
// What is beyond the disk's end is prepared, or cleared away, while it is out of reach: before the
// header's size grows, and after it has shrunk.
#include "base/endian.hpp"
#include "imgtool/filter/sealed_io.hpp"
#include "imgtool/formats/qcow2/qcow2_image.hpp"

#include <algorithm>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;
using base::store_be;

constexpr u64 kSectorSize = 512; // bytes

constexpr std::string_view kNoRoom = "Failed to resize underlying file";

} // namespace

Status Qcow2Image::resize(u64 size, Preallocate how)
{
    if (size % kSectorSize != 0) {
        return fail(Errc::invalid_argument, "The new size must be a multiple of 512");
    }
    if (header_.version < 3 && !snapshots_.snapshots.empty()) {
        return fail(Errc::unsupported, "Can't resize a v2 image which has snapshots");
    }
    if (how != Preallocate::none && header_.encryption != encryption_method::none) {
        return fail(Errc::unsupported,
                    "preallocation of what is added to an encrypted image is not supported yet");
    }
    if (bitmaps_) {
        if (auto done = bitmaps_->store_marked(); !done) {
            return done;
        }
    }
    if (auto done = flush(); !done) {
        return done;
    }
    if (size < header_.size) {
        return shrink(size);
    }
    const u64 old = header_.size;
    if (auto done = grow(size); !done) {
        return done;
    }
    // Of a raw data file all must be mapped.
    return how == Preallocate::none && !header_.data_file_is_raw()
               ? base::ok()
               : preallocate_range(old, size, how);
}

Status Qcow2Image::shrink(u64 size)
{
    if (auto done = set_size(size); !done) {
        return done;
    }
    packed_end_ = 0;
    if (auto done = clear_beyond_end(); !done) {
        return done;
    }
    if (data_file_) {
        if (auto done = data_file_->resize(size); !done) {
            return done;
        }
    }
    return shrink_file();
}

/// Makes the data file as long as the disk is to be, with zeroes at the end.
Status Qcow2Image::grow_data_file(u64 size)
{
    if (!data_file_) {
        return base::ok();
    }
    const u64 there = std::min(data_file_->size(), size);
    if (there > header_.size) { // left behind by whoever made it
        if (auto done = data_file_->zero(FileOffset{header_.size}, there - header_.size); !done) {
            return done;
        }
    }
    if (data_file_->size() < size) {
        if (auto done = data_file_->resize(size); !done) {
            return done;
        }
    }
    return data_file_->flush();
}

/// Gives up all that the tables map beyond the disk's end.
Status Qcow2Image::clear_beyond_end()
{
    if (auto done = zero_tail(); !done) {
        return done;
    }
    const u64 first_table = geometry_.l1_entries(header_.size);
    if (auto done = drop_entries(geometry_.clusters(header_.size) << geometry_.cluster_bits,
                                 first_table * geometry_.l2_reach());
        !done) {
        return done;
    }
    if (auto done = flush(); !done) {
        return done;
    }
    // Whole tables: no L1 entry leads to them, and then they are counted off.
    std::vector<u64> gone(l1_.size());
    for (u64 i = first_table; i < l1_.size(); ++i) {
        gone[i] = l1_[i];
        if (gone[i] != 0) {
            l1_.set(i, 0);
            dirty_l1_.push_back(i);
        }
    }
    if (dirty_l1_.empty()) {
        return base::ok();
    }
    if (auto done = write_l1(); !done) {
        return done;
    }
    if (auto done = file_->flush(); !done) {
        return done;
    }
    l2_cache_.clear();
    return release_tables(gone);
}

/// Clears the entries for [begin, end), which the disk no longer has.
Status Qcow2Image::drop_entries(u64 begin, u64 end)
{
    for (u64 guest = begin; guest < end;) {
        if ((l1_[guest / geometry_.l2_reach()] & entry::offset_mask) == 0) {
            break;
        }
        auto at = l2_place_for_write(guest);
        if (!at) {
            return std::move(at).error();
        }
        const u64 count = std::min(at.value().left, geometry_.clusters(end - guest));
        for (u64 i = 0; i < count; ++i) {
            auto old = load_entry(at.value(), i);
            if (!old) {
                return std::move(old).error();
            }
            const u64 cluster = guest + (i << geometry_.cluster_bits);
            if (auto good = rules_.check(old.value(), cluster); !good) {
                return mark_corrupt(std::move(good).error());
            }
            if (old.value() == L2Entry{}) {
                continue;
            }
            if (auto stored = store_entry(at.value(), i, L2Entry{}); !stored) {
                return stored;
            }
            free_later(old.value());
        }
        guest += count << geometry_.cluster_bits;
    }
    return base::ok();
}

/// What the last cluster has beyond the disk's end is made zero, lest it come back when the disk
/// grows. (A cluster shared with a snapshot is copied before it grows: ChainDisk::resize.)
Status Qcow2Image::zero_tail()
{
    const u64 within = header_.size & geometry_.within();
    if (within == 0 || header_.has_data_file()) {
        return base::ok(); // a data file ends with the disk
    }
    auto at = l2_place(header_.size - within);
    if (!at) {
        return std::move(at).error();
    }
    auto e = load_entry(at.value(), 0);
    if (!e) {
        return std::move(e).error();
    }
    if (!rules_.owns_cluster(e.value()) || rules_.held(e.value()).end == 0) {
        return base::ok();
    }
    const u64 host = rules_.cluster_at(e.value());
    const ClusterRun run{host >> geometry_.cluster_bits, 1};
    if (auto good = check_own_clusters(run, header_.size - within); !good) {
        return mark_corrupt(std::move(good).error());
    }
    const u64 length = geometry_.cluster_size() - within;
    const Sealing sealing = sealing_at(host + within, header_.size);
    if (sealing.cipher != nullptr) {
        return write_sealed(data_file(), FileOffset{host + within}, sealing,
                            std::vector<u8>(length));
    }
    return data_file().zero(FileOffset{host + within}, length);
}

Status Qcow2Image::grow(u64 size)
{
    const u64 entries = geometry_.l1_entries(size);
    if (size > static_cast<u64>(INT64_MAX) - geometry_.cluster_size() ||
        entries * sizeof(u64) > kMaxL1Bytes) {
        return fail(Errc::invalid_argument, "Failed to grow the L1 table: File too large");
    }
    // What a shrinking that was cut short has left behind must not come back.
    if (auto done = clear_beyond_end(); !done) {
        return done;
    }
    if (entries > l1_.size()) {
        if (auto done = move_l1(entries); !done) {
            return done;
        }
    }
    if (auto done = grow_data_file(size); !done) {
        return done;
    }
    const u64 part = geometry_.subcluster_size();
    const u64 old_end = (header_.size + part - 1) / part * part;
    if (backing_size() > header_.size && size > old_end) {
        if (header_.version < 3) {
            return fail(Errc::unsupported,
                        "Failed to zero out new clusters: Operation not supported");
        }
        if (auto done = hide_backing(old_end, std::min(size, backing_size())); !done) {
            return done;
        }
    }
    if (auto done = flush(); !done) {
        return done;
    }
    return set_size(size);
}

/// The size changes, and with it the bitmaps, which must fit.
Status Qcow2Image::set_size(u64 size)
{
    Header header = header_;
    if (bitmaps_ && !bitmaps_->empty()) {
        if (auto done = bitmaps_->prepare_resize(size, header); !done) {
            return done;
        }
    }
    header.size = size;
    if (auto done = write_header(std::move(header)); !done) {
        return done;
    }
    return bitmaps_ ? bitmaps_->release_old() : base::ok();
}

/// Makes room for more L1 entries; the old table is left once the header names the new one.
Status Qcow2Image::move_l1(u64 entries)
{
    std::vector<u64> l1 = l1_.entries();
    l1.resize(entries);
    std::vector<u8> bytes(entries * sizeof(u64));
    for (std::size_t i = 0; i < l1_.size(); ++i) {
        store_be<u64>(bytes, i * sizeof(u64), l1_[i]);
    }
    file_->announce(DebugEvent::l1_grow_write_table);
    auto at = write_new(bytes);
    if (!at) {
        return std::move(at).error();
    }
    if (auto done = settle_counts(); !done) {
        return done;
    }
    file_->announce(DebugEvent::l1_grow_activate_table);
    const ClusterRun old = run_of(header_.l1_offset, l1_.size() * sizeof(u64));
    Header header = header_;
    header.l1_offset = at.value();
    header.l1_size = static_cast<u32>(entries);
    if (auto done = write_header(std::move(header)); !done) {
        return done;
    }
    l1_.replace(std::move(l1));
    return refcounts_.decrease(old);
}

/// Makes what the disk's last cluster has from `begin` on, a whole number of subclusters, zero.
Status Qcow2Image::hide_backing_in_last(u64 begin)
{
    auto at = l2_place_for_write(begin);
    if (!at) {
        return std::move(at).error();
    }
    auto old = load_entry(at.value(), 0);
    if (!old) {
        return std::move(old).error();
    }
    const u32 first = static_cast<u32>((begin & geometry_.within()) / geometry_.subcluster_size());
    own_zeroes_ = true;
    const auto now = zero_entry(old.value(), first, geometry_.subclusters() - first);
    own_zeroes_ = false;
    return now ? store_entry(at.value(), 0, *now) : base::ok(); // compressed ones are all there
}

/// Entries that read as zero for [begin, end), which the disk does not have yet.
Status Qcow2Image::hide_backing(u64 begin, u64 end)
{
    if ((begin & geometry_.within()) != 0) {
        if (auto done = hide_backing_in_last(begin); !done) {
            return done;
        }
        begin = geometry_.clusters(begin) << geometry_.cluster_bits;
    }
    const L2Entry zero = geometry_.extended_l2 ? L2Entry{0, kAllZero} : L2Entry{entry::zero, 0};
    for (u64 guest = begin; guest < end;) {
        if (auto relieved = relieve_caches(); !relieved) {
            return relieved;
        }
        auto at = l2_place_for_write(guest);
        if (!at) {
            return std::move(at).error();
        }
        const u64 count = std::min(at.value().left, geometry_.clusters(end - guest));
        for (u64 i = 0; i < count; ++i) {
            auto old = load_entry(at.value(), i);
            if (!old) {
                return std::move(old).error();
            }
            if (auto stored = store_entry(at.value(), i, zero); !stored) {
                return stored;
            }
            free_later(old.value());
        }
        guest += count << geometry_.cluster_bits;
    }
    return base::ok();
}

/// Sees to the part [begin, end) of the cluster that the disk ended in. Returns from where on
/// clusters are to be made: before `begin` where this one is not there at all.
Result<u64> Qcow2Image::preallocate_last(u64 begin, u64 end, Preallocate how)
{
    const u64 cluster = begin & ~geometry_.within();
    auto at = l2_place(cluster);
    auto last =
        at ? load_good_entry(at.value(), 0, cluster) : Result<L2Entry>{std::move(at).error()};
    if (!last) {
        return std::move(last).error();
    }
    if (last.value() == L2Entry{}) {
        return header_.backing_name.empty() ? cluster : begin;
    }
    if (!rules_.owns_cluster(last.value())) {
        return begin;
    }
    const u64 host = rules_.cluster_at(last.value());
    if (auto good = check_own_clusters({host >> geometry_.cluster_bits, 1}, cluster); !good) {
        return mark_corrupt(std::move(good).error()).error();
    }
    // Nothing but zeroes is there (zero_tail).
    if (auto done =
            preallocate(data_file(), FileOffset{host + (begin - cluster)}, end - begin, how);
        !done) {
        return std::move(done).error().in(kNoRoom);
    }
    return begin;
}

/// Gives clusters of zeroes to all of [begin, end) that has none.
Status Qcow2Image::preallocate_range(u64 begin, u64 end, Preallocate how)
{
    u64 guest = geometry_.clusters(begin) << geometry_.cluster_bits;
    if (guest != begin) {
        auto from = preallocate_last(begin, std::min(guest, end), how);
        if (!from) {
            return std::move(from).error();
        }
        guest = from.value() < begin ? from.value() : guest;
    }
    while (guest < end) {
        auto placed = place(GuestOffset{guest}, end - guest);
        if (!placed) {
            return std::move(placed).error();
        }
        const Placement& at = placed.value();
        if (at.fresh) {
            ByteSource& in = data_file();
            auto done = in.zero(at.at, at.block_length); // it may have been used before
            if (done) {
                done = preallocate(in, at.at, at.block_length, how);
            }
            if (!done) {
                abandon(at);
                return std::move(done).error().in(kNoRoom);
            }
        }
        if (auto published = publish(at); !published) {
            return published;
        }
        guest += at.length;
    }
    return flush();
}

} // namespace img::qcow2
