// Changing a QED image as a whole: its size, its backing file, all its data.
#include "imgtool/formats/qed/qed_image.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img::qed {

namespace {

using base::Errc;
using base::fail;

/// L2 tables made to hide a backing file behind zeroes: 256 MiB of them at the default size.
constexpr u64 kMaxHidingTables = 1024;

} // namespace

Status QedImage::resize(u64 size, Preallocate how)
{
    if (how != Preallocate::none) {
        return fail(Errc::unsupported, fmt::format("Unsupported preallocation mode '{}'",
                                                   how == Preallocate::reserve    ? "falloc"
                                                   : how == Preallocate::metadata ? "metadata"
                                                                                  : "full"));
    }
    if (size % 512 != 0 || size > max_size(header_.cluster_size, header_.table_size)) {
        return fail(Errc::invalid_argument, "Invalid image size specified");
    }
    if (size < header_.size) {
        return fail(Errc::unsupported, "Shrinking images is currently not supported");
    }
    if (auto done = zero_new_range(header_.size, size); !done) {
        return done;
    }
    if (auto done = flush(); !done) {
        return done;
    }
    header_.size = size;
    if (auto done = write_header(); !done) {
        return done;
    }
    return file_->flush();
}

/// Sees to it that what the disk gains reads as zero.
Status QedImage::zero_new_range(u64 from, u64 to)
{
    const u64 cluster = header_.cluster_size;
    if (from == to || from % cluster != 0) {
        if (from == to) {
            return base::ok();
        }
        auto last = map(GuestOffset{from - 1}, 1, MapDetail::fast);
        if (!last) {
            return std::move(last).error();
        }
        const u64 rest = std::min(to, (from / cluster + 1) * cluster) - from;
        if (last.value().kind == Extent::Kind::data) {
            const FileOffset at{last.value().at.bytes + 1};
            if (auto done = file_->zero(at, rest); !done) {
                return done;
            }
            wrote_data_ = true;
        } else if (last.value().kind == Extent::Kind::backing && has_backing()) {
            return fail(Errc::unsupported, "the disk ends within a cluster that is the backing "
                                           "file's, so it cannot grow");
        }
        from += rest;
    }
    if (!has_backing() || from == to) {
        return base::ok();
    }
    if ((to - from) / header_.l2_reach() > kMaxHidingTables) {
        return fail(Errc::unsupported, "the disk has a backing file and cannot grow that much");
    }
    while (from < to) {
        if (cache_.crowded()) {
            if (auto done = flush(); !done) {
                return done;
            }
        }
        auto place = l2_place_for_write(from);
        if (!place) {
            return std::move(place).error();
        }
        const u64 length =
            std::min((to - from + cluster - 1) / cluster, place.value().left) * cluster;
        auto zeroed = zero_entries(place.value(), from, length);
        if (!zeroed) {
            return std::move(zeroed).error();
        }
        from += length;
    }
    return base::ok();
}

Status QedImage::set_backing(const std::string& name, const std::string& format)
{
    Header changed = header_;
    if (auto good = set_backing_name(changed, name, format); !good) {
        return good;
    }
    header_ = std::move(changed);
    if (auto done = write_header(); !done) {
        return done;
    }
    return file_->flush();
}

Result<bool> QedImage::make_empty()
{
    if (header_.l1_offset != header_.data_at()) {
        return false; // the file cannot simply be cut behind the L1 table
    }
    if (auto done = flush(); !done) {
        return std::move(done).error();
    }
    const u64 end = header_.l1_offset + header_.table_bytes();
    cache_.clear();
    if (auto done = file_->zero(FileOffset{header_.l1_offset}, header_.table_bytes()); !done) {
        return std::move(done).error();
    }
    if (auto done = file_->flush(); !done) {
        return std::move(done).error();
    }
    if (auto done = file_->resize(end); !done) {
        return std::move(done).error();
    }
    end_ = end;
    return true;
}

} // namespace img::qed
