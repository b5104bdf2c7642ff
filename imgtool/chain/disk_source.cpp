#include "imgtool/chain/disk_source.hpp"

#include <algorithm>

namespace img {

bool DiskSource::fixed_size() const
{
    Image& image = *disk_->layers().front().image;
    return image.file().fixed_size() && !image.is_zero_when_new();
}

Status DiskSource::grow_to(FileOffset at, u64 length)
{
    const u64 end = at.bytes + length;
    return end > size() ? resize(end) : base::ok();
}

Status DiskSource::write(FileOffset at, std::span<const u8> from)
{
    if (auto grown = grow_to(at, from.size()); !grown) {
        return grown;
    }
    return disk_->write(at.bytes, from);
}

Status DiskSource::zero(FileOffset at, u64 length)
{
    if (auto grown = grow_to(at, length); !grown) {
        return grown;
    }
    return disk_->write_zeroes(at.bytes, length);
}

Status DiskSource::resize(u64 size)
{
    const u64 old = disk_->size();
    if (size == old) {
        return base::ok();
    }
    Image& image = *disk_->layers().front().image;
    auto done = image.resize(size, Preallocate::none);
    if (done && size > old && !image.is_zero_when_new()) {
        done = disk_->write_zeroes(old, size - old); // the zeroes of an encrypted file are none
    }
    return done;
}

Status DiskSource::reserve(FileOffset at, u64 length)
{
    return grow_to(at, length); // storage comes with the first write
}

Result<ByteSource::Run> DiskSource::run_at(FileOffset at)
{
    Run run{.data = false, .length = 0};
    const u64 end = size();
    for (u64 from = at.bytes; from < end;) {
        auto found = disk_->find(from, end - from, MapDetail::exact);
        if (!found) {
            return std::move(found).error();
        }
        const Extent& extent = found.value().extent;
        const bool data =
            extent.kind == Extent::Kind::data || extent.kind == Extent::Kind::compressed;
        if (run.length != 0 && data != run.data) {
            break;
        }
        run.data = data;
        run.length += extent.length;
        from += extent.length;
    }
    return run;
}

u64 DiskSource::allocated() const
{
    u64 sum = 0;
    for (const Layer& layer : disk_->layers()) {
        const u64 bytes = layer.image->allocated();
        if (bytes == kUnknown) {
            return kUnknown;
        }
        sum += bytes;
    }
    return sum;
}

} // namespace img
