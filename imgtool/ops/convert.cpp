#include "imgtool/ops/convert.hpp"

#include <algorithm>
#include <cstring>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kBufferSize = u64{2} << 20; // bytes; a multiple of every cluster size

class Converter {
public:
    Converter(ChainDisk& target, const ConvertOptions& options, u64 total)
        : target_{target}, options_{options}, total_{total}, buffer_(kBufferSize)
    {
        Image& image = *target.layers().front().image;
        const ImageInfo info = image.info();
        const u64 cluster = info.subcluster_size != 0 ? info.subcluster_size : info.cluster_size;
        // Parts of a cluster cannot be left out.
        granule_ = std::max({options.sparse_size, cluster, u64{512}});
        if (options.compress && image.packing()) {
            packing_ = image.packing();
            packer_ = std::make_unique<Packer>(packing_->codec);
            packed_.resize(packing_->block_size - 1);
            granule_ = packing_->block_size;
        }
        // What is in the backing file need not be copied to fill up a cluster.
        edge_ = options.target_has_backing && !packing_ ? 512 : granule_;
    }

    Status copy(ChainDisk& source);

private:
    Status copy_range(ChainDisk& source, u64 offset, u64 length);
    Status write_buffer(std::span<const u8> bytes, u64 at);
    Status write_zeroes(u64 at, u64 length);
    Status write_packed(std::span<u8> bytes, u64 at);
    Status report(u64 at);
    bool is_skipped(const ChainDisk::Found& found) const;
    bool reads_zero(const Extent& extent) const
    {
        return extent.kind == Extent::Kind::zero || extent.kind == Extent::Kind::backing ||
               extent.reads_zero;
    }

    ChainDisk& target_;
    const ConvertOptions& options_;
    u64 total_;     // bytes
    u64 start_ = 0; // of the present source in the target
    std::vector<u8> buffer_;
    u64 granule_; // bytes that are looked at together for zeroes
    u64 edge_;    // bytes to which ranges to copy are rounded
    std::optional<Image::Packing> packing_;
    std::unique_ptr<Packer> packer_;
    std::vector<u8> packed_;
};

Status Converter::report(u64 at)
{
    if (options_.progress && !options_.progress(at, total_)) {
        return fail(Errc::invalid_argument, "interrupted");
    }
    return base::ok();
}

/// What the target has already, or will find in its backing file.
bool Converter::is_skipped(const ChainDisk::Found& found) const
{
    if (options_.target_has_backing) {
        return found.depth > 0;
    }
    return reads_zero(found.extent) && options_.target_is_zero && options_.sparse_size != 0;
}

Status Converter::copy(ChainDisk& source)
{
    const u64 size = source.size();
    for (u64 offset = 0; offset < size;) {
        auto found = source.find(offset, size - offset, MapDetail::exact);
        if (!found) {
            return std::move(found).error();
        }
        u64 length = found.value().extent.length;
        const bool skip = is_skipped(found.value());
        const bool zero = reads_zero(found.value().extent) && options_.sparse_size != 0;
        if (const u64 end = offset + length; (skip || zero) && end < size) {
            // What remains of the last granule is copied together with what follows.
            const u64 over = (start_ + end) % edge_;
            length -= std::min(length, over);
        }
        Status done = base::ok();
        if (skip && length != 0) {
            // nothing to do
        } else if (zero && length != 0) {
            done = write_zeroes(start_ + offset, length);
        } else {
            // Whole granules, so that what follows need not come back to a part of one.
            const u64 wanted = start_ + offset + std::max(length, u64{1});
            const u64 end = (wanted + edge_ - 1) / edge_ * edge_ - start_;
            const u64 piece = kBufferSize - (start_ + offset) % granule_;
            length = std::min({end - offset, size - offset, piece});
            done = copy_range(source, offset, length);
        }
        if (!done) {
            return done;
        }
        offset += length;
        if (auto go_on = report(start_ + offset); !go_on) {
            return go_on;
        }
    }
    start_ += size;
    return base::ok();
}

Status Converter::copy_range(ChainDisk& source, u64 offset, u64 length)
{
    const std::span<u8> bytes = std::span{buffer_}.first(length);
    if (auto read = source.read(offset, bytes); !read) {
        return std::move(read).error().in("error while reading at byte " + std::to_string(offset));
    }
    u64 at = start_ + offset;
    if (options_.sparse_size == 0 && !packing_) {
        return write_buffer(bytes, at);
    }
    // Runs of granules that are all data or all zero.
    for (u64 done = 0; done < length;) {
        const auto granule_end = [&](u64 from) {
            return std::min(length, from + granule_ - (at + from) % granule_);
        };
        u64 end = granule_end(done);
        const bool zero = options_.sparse_size != 0 && is_zero(bytes.subspan(done, end - done));
        while (end < length && !packing_) {
            const u64 next = granule_end(end);
            if (is_zero(bytes.subspan(end, next - end)) != zero) {
                break;
            }
            end = next;
        }
        const auto run = bytes.subspan(done, end - done);
        Status written = zero       ? write_zeroes(at + done, run.size())
                         : packing_ ? write_packed(run, at + done)
                                    : write_buffer(run, at + done);
        if (!written) {
            return written;
        }
        done = end;
    }
    return base::ok();
}

Status Converter::write_buffer(std::span<const u8> bytes, u64 at)
{
    if (auto done = target_.write(at, bytes); !done) {
        return std::move(done).error().in("error while writing at byte " + std::to_string(at));
    }
    return base::ok();
}

Status Converter::write_zeroes(u64 at, u64 length)
{
    if (options_.target_is_zero && !options_.target_has_backing) {
        return base::ok();
    }
    // Behind the end of its backing file a new image reads as zero.
    if (options_.target_has_backing && target_.layers().size() > 1) {
        const u64 end = target_.layers()[1].image->size();
        length = at >= end ? 0 : std::min(length, end - at);
    }
    return length == 0 ? base::ok() : target_.write_zeroes(at, length);
}

Status Converter::write_packed(std::span<u8> bytes, u64 at)
{
    const u64 block = packing_->block_size;
    if (at % block != 0 || (bytes.size() < block && at + bytes.size() < target_.size())) {
        return write_buffer(bytes, at); // sources that do not end with a cluster, one after another
    }
    std::span<const u8> whole = bytes;
    std::vector<u8> padded;
    if (bytes.size() < block) { // the last one on the disk
        padded.assign(block, 0);
        std::ranges::copy(bytes, padded.begin());
        whole = padded;
    }
    const std::size_t packed = packer_->pack(whole, packed_);
    if (packed == 0) {
        return write_buffer(bytes, at);
    }
    auto done = target_.layers().front().image->write_packed(GuestOffset{at},
                                                             std::span{packed_}.first(packed));
    if (!done) {
        return std::move(done).error().in("error while writing at byte " + std::to_string(at));
    }
    return base::ok();
}

} // namespace

bool is_zero(std::span<const u8> bytes)
{
    // Most data differs early; what does not is compared with itself one byte on, by the library's
    // fastest code.
    if (bytes.empty()) {
        return true;
    }
    return bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

Status convert(const std::vector<std::unique_ptr<ChainDisk>>& sources, ChainDisk& target,
               const ConvertOptions& options)
{
    u64 total = 0;
    for (const auto& source : sources) {
        total += source->size();
    }
    Converter converter{target, options, total};
    for (const auto& source : sources) {
        if (auto done = converter.copy(*source); !done) {
            return done;
        }
    }
    return base::ok();
}

} // namespace img
