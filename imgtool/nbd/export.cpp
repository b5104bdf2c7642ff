#include "imgtool/nbd/export.hpp"

#include <algorithm>
#include <mutex>
#include <vector>

namespace img::nbd {

namespace {

constexpr u64 kZeroPiece = u64{16} << 20;   // bytes made zero under the lock at once
constexpr u64 kWritePiece = u64{256} << 10; // bytes of zeroes written at once
constexpr u64 kPage = 4096;                 // bytes; the least hole of file systems

} // namespace

Export::Export(ChainDisk& disk, Settings settings)
    : disk_{disk}, settings_{std::move(settings)}, size_{disk.size()},
      cluster_{std::max(disk.layers().front().image->info().cluster_size, kPage)}
{}

Status Export::noted(Status status)
{
    if (!status && settings_.log) {
        settings_.log(status.error().message);
    }
    return status;
}

Result<Export::Run> Export::run_at(u64 at, u64 limit)
{
    const std::lock_guard guard{lock_};
    auto found = disk_.find(at, limit, MapDetail::exact);
    if (!found) {
        (void)noted(found.error());
        return std::move(found).error();
    }
    const Extent& extent = found.value().extent;
    const bool data = extent.kind == Extent::Kind::data || extent.kind == Extent::Kind::compressed;
    return Run{
        .length = std::min(extent.length, limit), .zero = !data, .hole = !data && !extent.stored};
}

Status Export::read(u64 at, std::span<u8> into)
{
    const std::lock_guard guard{lock_};
    return noted(disk_.read(at, into));
}

Status Export::write(u64 at, std::span<const u8> from)
{
    const std::lock_guard guard{lock_};
    return noted(disk_.write(at, from));
}

Status Export::write_zeroes(u64 at, u64 length, bool provisioned)
{
    std::vector<u8> zeroes(provisioned ? std::min(length, kWritePiece) : 0);
    while (length != 0) {
        const u64 n = std::min(length, provisioned ? kWritePiece : kZeroPiece);
        const std::lock_guard guard{lock_};
        auto done =
            provisioned ? disk_.write(at, std::span{zeroes}.first(n)) : disk_.write_zeroes(at, n);
        if (!done) {
            return noted(std::move(done));
        }
        at += n;
        length -= n;
    }
    return base::ok();
}

Status Export::trim(u64 at, u64 length)
{
    const u64 before = (cluster_ - at % cluster_) % cluster_;
    if (length <= before) {
        return base::ok();
    }
    at += before;
    length -= before;
    // The last cluster of the disk may be a part of one.
    if (at + length != size_) {
        length -= length % cluster_;
    }
    return write_zeroes(at, length, false);
}

Status Export::flush()
{
    const std::lock_guard guard{lock_};
    return noted(disk_.flush());
}

} // namespace img::nbd
