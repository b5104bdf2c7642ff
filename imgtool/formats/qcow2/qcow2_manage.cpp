// Changes to a qcow2 image as a whole: its header, its backing file, all its data.
#include "base/endian.hpp"
#include "imgtool/formats/qcow2/header_update.hpp"
#include "imgtool/formats/qcow2/qcow2_image.hpp"

#include <algorithm>
#include <utility>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;

} // namespace

/// Writes bytes into new clusters in one run; returns where. Nothing refers to them yet.
Result<u64> Qcow2Image::write_new(std::span<const u8> bytes)
{
    if (bytes.empty()) {
        return u64{0};
    }
    auto first = refcounts_.allocate_exactly(geometry_.clusters(bytes.size()));
    if (!first) {
        return std::move(first).error();
    }
    const u64 at = first.value() << geometry_.cluster_bits;
    // Whole clusters, for programs that want to read them so.
    std::vector<u8> padded(geometry_.clusters(bytes.size()) << geometry_.cluster_bits);
    std::ranges::copy(bytes, padded.begin());
    if (auto done = file_->write(FileOffset{at}, padded); !done) {
        return std::move(done).error();
    }
    return at;
}

ClusterRun Qcow2Image::run_of(u64 at, u64 bytes) const
{
    return {at >> geometry_.cluster_bits, geometry_.clusters(bytes)};
}

/// Counts, and what finds them, on stable storage.
Status Qcow2Image::settle_counts()
{
    if (auto done = refcounts_.make_room_for_table(); !done) {
        return done;
    }
    for (const auto step : {&Refcounts::write_blocks, &Refcounts::write_table}) {
        if (auto done = (refcounts_.*step)(); !done) {
            return done;
        }
        if (auto done = file_->flush(); !done) {
            return done;
        }
    }
    return base::ok();
}

/// Makes `header` the image's. All that it refers to must be on stable storage.
Status Qcow2Image::write_header(Header header)
{
    header.reftable_offset = refcounts_.table_offset();
    header.reftable_clusters = static_cast<u32>(refcounts_.table_bytes() >> geometry_.cluster_bits);
    return put_header(std::move(header));
}

/// The same, with another refcount table.
Status Qcow2Image::put_header(Header header)
{
    if (auto done = replace_header(*file_, header_, header); !done) {
        return done.error().code == Errc::invalid_argument
                   ? Status{fail(Errc::io, "No space left in the file header")}
                   : std::move(done);
    }
    header_ = std::move(header);
    rules_ = L2Rules{header_}; // by the version, there are zero flags or not
    return base::ok();
}

Status Qcow2Image::load_bitmaps()
{
    auto directory = read_bitmap_directory(*file_, header_);
    if (!directory) {
        return std::move(directory).error();
    }
    if (!directory.value().bitmaps.empty()) {
        bitmaps_ = std::make_unique<Bitmaps>(*this, std::move(directory).value());
    }
    return base::ok();
}

BitmapStore* Qcow2Image::bitmaps()
{
    if (!bitmaps_) {
        bitmaps_ = std::make_unique<Bitmaps>(*this, BitmapDirectory{});
    }
    if (!file_->read_only()) {
        (void)bitmaps_->store_marked(); // where that fails they stay marked as in use
    }
    return bitmaps_.get();
}

Status Qcow2Image::note_write(u64 offset, u64 length)
{
    return bitmaps_ ? bitmaps_->note_write(offset, length) : base::ok();
}

Status Qcow2Image::set_backing(const std::string& name, const std::string& format)
{
    // A raw data file is all of the disk.
    if (name.size() > kMaxBackingName || (!name.empty() && header_.data_file_is_raw())) {
        return fail(Errc::invalid_argument, "Invalid argument");
    }
    if (auto done = flush(); !done) {
        return done;
    }
    Header header = header_;
    header.backing_name = name;
    header.backing_format = format;
    return write_header(std::move(header));
}

bool Qcow2Image::is_zero_when_new() const
{
    return header_.encryption == encryption_method::none ||
           std::ranges::all_of(l1_.entries(), [](u64 table) { return table == 0; });
}

Result<bool> Qcow2Image::make_empty()
{
    if (header_.data_file_is_raw()) {
        return false; // it would have to become all zeroes too
    }
    if (auto done = flush(); !done) {
        return std::move(done).error();
    }
    if (auto done = note_write(0, header_.size); !done) {
        return std::move(done).error();
    }
    auto emptied = while_dirty([this] { return drop_all_tables(); });
    return emptied ? Result<bool>{true} : Result<bool>{std::move(emptied).error()};
}

/// First no table leads anywhere, then the counts follow: cut in between, clusters leak, until the
/// image is opened that is marked dirty.
Status Qcow2Image::drop_all_tables()
{
    const std::vector<u64> old = l1_.replace(std::vector<u64>(l1_.size()));
    l2_cache_.clear();
    packed_end_ = 0;
    const std::vector<u8> none(l1_.size() * sizeof(u64));
    file_->announce(DebugEvent::l1_update);
    if (auto done = file_->write(FileOffset{header_.l1_offset}, none); !done) {
        return done;
    }
    if (auto done = file_->flush(); !done) {
        return done;
    }
    file_->announce(DebugEvent::empty_image_prepare);
    if (auto done = release_tables(old); !done) {
        return done;
    }
    return shrink_file();
}

/// Gives the unused end of the file back to the host.
Status Qcow2Image::shrink_file()
{
    // A table that moves may leave one more block empty.
    for (const auto step : {&Refcounts::drop_empty_blocks, &Refcounts::move_table_down,
                            &Refcounts::drop_empty_blocks}) {
        if (auto done = (refcounts_.*step)(); !done) {
            return done;
        }
    }
    if (auto done = punch_free_clusters(); !done) {
        return done;
    }
    u64 end = geometry_.clusters(file_->size());
    while (end > 1) {
        auto count = refcounts_.get(end - 1);
        if (!count) {
            return std::move(count).error();
        }
        if (count.value() != 0) {
            break;
        }
        --end;
    }
    if (end << geometry_.cluster_bits >= file_->size()) {
        return base::ok();
    }
    if (auto done = file_->flush(); !done) {
        return done; // the counts must say so before the clusters go
    }
    return file_->resize(end << geometry_.cluster_bits);
}

/// Gives back to the host what no longer holds anything in the midst of the file.
Status Qcow2Image::punch_free_clusters()
{
    const u64 end = file_->size() >> geometry_.cluster_bits;
    for (u64 first = 0, cluster = 0; cluster <= end; ++cluster) {
        auto count = cluster < end ? refcounts_.get(cluster) : Result<u64>{u64{1}};
        if (!count) {
            return std::move(count).error();
        }
        if (count.value() == 0) {
            continue;
        }
        if (cluster > first) {
            auto done = file_->zero(FileOffset{first << geometry_.cluster_bits},
                                    (cluster - first) << geometry_.cluster_bits);
            if (!done) {
                return done;
            }
        }
        first = cluster + 1;
    }
    return base::ok();
}

} // namespace img::qcow2
