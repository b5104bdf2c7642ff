#include "imgtool/chain/chain.hpp"

#include "imgtool/filter/sealed_io.hpp"
#include "imgtool/formats/all.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kPiece = u64{256} << 10; // bytes handled at once where a buffer is needed

} // namespace

ChainDisk::ChainDisk(std::vector<Layer> layers, bool read_only)
    : layers_{std::move(layers)}, read_only_{read_only}
{
    for (std::size_t depth = 0; depth + 1 < layers_.size(); ++depth) {
        Image& below = *layers_[depth + 1].image;
        layers_[depth].image->set_backing_size(below.size());
        if (auto good = layers_[depth].image->check_backing(below); !good) {
            layers_[depth].broken_link = good.error().message;
        }
    }
}

Status ChainDisk::check_range(u64 offset, u64 length) const
{
    if (offset > size() || length > size() - offset) {
        return fail(
            Errc::invalid_argument,
            fmt::format("{} bytes at {:#x} reach past the end of the disk", length, offset));
    }
    return base::ok();
}

Result<ChainDisk::Found> ChainDisk::find(u64 offset, u64 limit, MapDetail detail)
{
    for (std::size_t depth = 0;; ++depth) {
        auto extent = layers_[depth].image->map(GuestOffset{offset}, limit, detail);
        if (!extent) {
            return std::move(extent).error();
        }
        // A backing file shorter than its overlay reads as zero from its end on.
        const u64 below = depth + 1 < layers_.size() ? layers_[depth + 1].image->size() : 0;
        if (extent.value().kind != Extent::Kind::backing || offset >= below) {
            return Found{extent.value(), depth};
        }
        if (!layers_[depth].broken_link.empty()) {
            return fail(Errc::invalid_argument, layers_[depth].broken_link);
        }
        limit = std::min(extent.value().length, below - offset);
    }
}

Status ChainDisk::read(u64 offset, std::span<u8> into)
{
    if (auto good = check_range(offset, into.size()); !good) {
        return good;
    }
    while (!into.empty()) {
        auto found = find(offset, into.size(), MapDetail::fast);
        if (!found) {
            return std::move(found).error();
        }
        const u64 n = found.value().extent.length;
        if (auto done = read_found(found.value(), offset, into.first(n)); !done) {
            return done;
        }
        offset += n;
        into = into.subspan(n);
    }
    return base::ok();
}

Status ChainDisk::write(u64 offset, std::span<const u8> from)
{
    if (read_only_) {
        return fail(Errc::invalid_argument, "the disk is read-only");
    }
    if (auto good = check_range(offset, from.size()); !good) {
        return good;
    }
    if (auto good = check_disguise(offset, from); !good) {
        return good;
    }
    reader_.forget(); // a cluster may be given to other data
    Image& image = *layers_.front().image;
    while (!from.empty()) {
        auto place = image.place(GuestOffset{offset}, from.size());
        if (!place) {
            return std::move(place).error();
        }
        const Placement& at = place.value();
        const auto piece = from.first(at.length);
        auto done = at.fresh ? write_fresh(at, piece) : write_there(at, piece);
        if (!done) {
            image.abandon(at);
            return done;
        }
        if (auto published = image.publish(at); !published) {
            return published;
        }
        offset += at.length;
        from = from.subspan(at.length);
    }
    return base::ok();
}

ByteSource& ChainDisk::file_of(const Placement& at)
{
    return at.in != nullptr ? *at.in : layers_.front().image->file();
}

/// Writes only the guest's bytes.
Status ChainDisk::write_there(const Placement& at, std::span<const u8> from)
{
    ByteSource& file = file_of(at);
    file.announce(DebugEvent::write_data);
    return at.sealing.cipher != nullptr ? write_sealed(file, at.at, at.sealing, from)
                                        : file.write(at.at, from);
}

/// Writes a new block that is encrypted. All of it must be written: what the file has there would
/// not read as zero.
Status ChainDisk::write_fresh_sealed(const Placement& at, std::span<const u8> from)
{
    const u64 block_end = at.block.bytes + at.block_length;
    const u64 guest_end = at.from.bytes + at.length;
    std::vector<u8> buffer;
    for (u64 begin = at.block.bytes; begin < block_end; begin += buffer.size()) {
        buffer.assign(std::min(kPiece, block_end - begin), 0);
        const u64 end = begin + buffer.size();
        // Before the guest's bytes, theirs, and after them.
        const auto keep = [&](u64 first, u64 last) {
            first = std::max(first, begin);
            last = std::min({last, end, size()});
            return first >= last
                       ? base::ok()
                       : read(first, std::span{buffer}.subspan(first - begin, last - first));
        };
        if (auto done = keep(at.block.bytes, at.from.bytes); !done) {
            return done;
        }
        if (auto done = keep(guest_end, block_end); !done) {
            return done;
        }
        const u64 first = std::max(at.from.bytes, begin);
        const u64 last = std::min(guest_end, end);
        if (first < last) {
            std::ranges::copy(from.subspan(first - at.from.bytes, last - first),
                              buffer.begin() + static_cast<std::ptrdiff_t>(first - begin));
        }
        const FileOffset to{at.at.bytes + begin - at.from.bytes};
        const Sealing sealing{at.sealing.cipher, at.sealing.position + begin - at.from.bytes};
        file_of(at).announce(DebugEvent::write_data);
        if (auto done = write_sealed(file_of(at), to, sealing, buffer); !done) {
            return done;
        }
    }
    return base::ok();
}

/// Writes a new block: the guest's bytes, and around them what was there before.
Status ChainDisk::write_fresh(const Placement& at, std::span<const u8> from)
{
    if (at.sealing.cipher != nullptr) {
        return write_fresh_sealed(at, from);
    }
    const u64 block_end = at.block.bytes + at.block_length;
    if (auto done = fill(at, at.block.bytes, at.from.bytes); !done) {
        return done;
    }
    if (auto done = write_there(at, from); !done) {
        return done;
    }
    return fill(at, at.from.bytes + at.length, block_end);
}

/// Copies the disk's present bytes [begin, end) to where they go in a fresh placement.
/// The last block, when only a part of it is on the disk, may share its rest with a longer backing
/// file or a snapshot. Written again, it is the image's own.
Status ChainDisk::prepare_resize(u64 size)
{
    if (read_only_) {
        return fail(Errc::invalid_argument, "the disk is read-only");
    }
    Image& image = *layers_.front().image;
    const u64 old = image.size();
    const u64 block = image.info().cluster_size;
    if (size > old && block != 0 && old % block != 0) {
        auto last = find(old - 1, 1, MapDetail::fast);
        if (!last) {
            return std::move(last).error();
        }
        const auto kind = last.value().extent.kind;
        if (kind == Extent::Kind::data || kind == Extent::Kind::compressed ||
            (layers_.size() > 1 && layers_[1].image->size() > old)) {
            std::array<u8, 1> byte{};
            auto done = read(old - 1, byte);
            if (done) {
                done = write(old - 1, byte);
            }
            if (!done) {
                return done;
            }
        }
    }
    reader_.forget();
    return base::ok();
}

Status ChainDisk::resize(u64 size, Preallocate how)
{
    auto done = prepare_resize(size);
    return done ? layers_.front().image->resize(size, how) : std::move(done);
}

Status ChainDisk::fill(const Placement& at, u64 begin, u64 end)
{
    ByteSource& file = file_of(at);
    std::vector<u8> buffer;
    while (begin < end) {
        const FileOffset to{at.at.bytes + begin - at.from.bytes};
        const u64 disk_end = size();
        if (begin >= disk_end) {
            return file.zero(to, end - begin); // the last block reaches past the disk
        }
        const u64 limit = std::min({end, disk_end, begin + kPiece}) - begin;
        auto found = find(begin, limit, MapDetail::fast);
        if (!found) {
            return std::move(found).error();
        }
        const Extent& extent = found.value().extent;
        if (extent.kind == Extent::Kind::zero || extent.kind == Extent::Kind::backing) {
            if (auto done = file.zero(to, extent.length); !done) {
                return done;
            }
        } else {
            buffer.resize(extent.length);
            file.announce(DebugEvent::cow_read);
            if (auto done = read_found(found.value(), begin, buffer); !done) {
                return done;
            }
            file.announce(DebugEvent::cow_write);
            if (auto done = file.write(to, buffer); !done) {
                return done;
            }
        }
        begin += extent.length;
    }
    return base::ok();
}

/// A guest that owns a raw disk could write another format's header into it, and with that name
/// host files for us to open the next time the disk is probed.
Status ChainDisk::check_disguise(u64 offset, std::span<const u8> from)
{
    const Layer& top = layers_.front();
    if (!top.probed || top.format != "raw" || offset >= kProbeSize || from.empty()) {
        return base::ok();
    }
    std::array<u8, kProbeSize> start{};
    const std::span<u8> there = std::span{start}.first(std::min<u64>(kProbeSize, size()));
    if (auto done = read(0, there); !done) {
        return done;
    }
    const std::size_t n = std::min<u64>(from.size(), there.size() - offset);
    std::copy_n(from.begin(), n, there.begin() + static_cast<std::ptrdiff_t>(offset));
    const FormatDriver& disguise = probe_format(there, top.path);
    if (disguise.name != "raw") {
        return fail(Errc::invalid_argument,
                    fmt::format("this write would make the raw image '{}' look like {}; say that "
                                "its format is raw to allow it: Operation not permitted",
                                top.path, disguise.name));
    }
    return base::ok();
}

Status ChainDisk::write_zeroes(u64 offset, u64 length)
{
    if (read_only_) {
        return fail(Errc::invalid_argument, "the disk is read-only");
    }
    if (auto good = check_range(offset, length); !good) {
        return good;
    }
    reader_.forget();
    Image& image = *layers_.front().image;
    static constexpr std::array<u8, 4096> kZeroes{};
    while (length != 0) {
        auto handled = image.place_zeroes(GuestOffset{offset}, length);
        if (!handled) {
            return std::move(handled).error();
        }
        u64 n = handled.value();
        if (n == 0) {
            auto found = find(offset, length, MapDetail::fast);
            if (!found) {
                return std::move(found).error();
            }
            n = found.value().extent.length;
            const Extent::Kind kind = found.value().extent.kind;
            if (kind == Extent::Kind::data || kind == Extent::Kind::compressed) {
                n = std::min<u64>(n, kZeroes.size() - offset % kZeroes.size());
                if (auto done = write(offset, std::span{kZeroes}.first(n)); !done) {
                    return done;
                }
            } else if (image.info().cluster_size != 0) {
                // Reads as zero already; go on where whole clusters begin.
                const u64 cluster = image.info().cluster_size;
                n = std::min(n, cluster - offset % cluster);
            }
        }
        offset += n;
        length -= n;
    }
    return base::ok();
}

Status ChainDisk::write_own_zeroes(u64 offset, u64 length)
{
    if (read_only_) {
        return fail(Errc::invalid_argument, "the disk is read-only");
    }
    if (auto good = check_range(offset, length); !good) {
        return good;
    }
    reader_.forget();
    Image& image = *layers_.front().image;
    const u64 cluster = std::max(image.info().cluster_size, u64{64} << 10);
    std::vector<u8> zeroes;
    while (length != 0) {
        auto handled = image.place_own_zeroes(GuestOffset{offset}, length);
        if (!handled) {
            return std::move(handled).error();
        }
        u64 n = handled.value();
        if (n == 0) { // up to where a cluster begins, which may be done without writing
            n = std::min(length, cluster - offset % cluster);
            zeroes.resize(n);
            if (auto done = write(offset, zeroes); !done) {
                return done;
            }
        }
        offset += n;
        length -= n;
    }
    return base::ok();
}

Status ChainDisk::flush()
{
    return read_only_ ? base::ok() : layers_.front().image->flush();
}

Status ChainDisk::visit_written(const std::function<Status(u64 offset, u64 length)>& visit)
{
    Image& image = *layers_.front().image;
    const bool has_backing = layers_.size() > 1;
    u64 begin = 0; // of the range that is being gathered
    u64 end = 0;
    const auto give = [&] { return end > begin ? visit(begin, end - begin) : base::ok(); };
    for (u64 offset = 0; offset < size();) {
        // `fast`: what a host file system stores of zeroes must not show in a state hash.
        auto extent = image.map(GuestOffset{offset}, size() - offset, MapDetail::fast);
        if (!extent) {
            return std::move(extent).error();
        }
        const Extent::Kind kind = extent.value().kind;
        const bool written = kind == Extent::Kind::data || kind == Extent::Kind::compressed ||
                             (kind == Extent::Kind::zero && has_backing);
        if (written && end != offset) {
            if (auto done = give(); !done) {
                return done;
            }
            begin = end = offset;
        }
        end += written ? extent.value().length : 0;
        offset += extent.value().length;
    }
    return give();
}

} // namespace img
