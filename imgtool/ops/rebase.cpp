#include "imgtool/ops/rebase.hpp"

#include "imgtool/filter/compression.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kPiece = u64{512} << 10; // bytes compared at once; at least two clusters' worth
constexpr u64 kDefaultCluster = u64{64} << 10; // bytes, for formats without clusters

bool reads_zero(const Extent& extent)
{
    return extent.kind == Extent::Kind::zero || extent.kind == Extent::Kind::backing;
}

class Rebaser {
public:
    Rebaser(ChainDisk& disk, ChainDisk* new_backing, const RebaseOptions& options)
        : disk_{disk}, top_{*disk.layers().front().image}, new_{new_backing}, options_{options}
    {
        const u64 cluster = top_.info().cluster_size;
        cluster_ = cluster != 0 ? cluster : kDefaultCluster;
        piece_ = std::max(kPiece, cluster_);
        if (options.compress && (packing_ = top_.packing())) {
            packer_.emplace(packing_->codec);
        }
    }

    Status run()
    {
        const u64 size = disk_.size();
        for (u64 offset = 0; offset < size;) {
            auto end = step(offset, size);
            if (!end) {
                return std::move(end).error();
            }
            offset = end.value();
            if (options_.progress && !options_.progress(offset, size)) {
                (void)disk_.flush();
                return fail(Errc::invalid_argument, "interrupted");
            }
        }
        return disk_.flush();
    }

private:
    /// Deals with what begins at `offset`; returns where that ends.
    Result<u64> step(u64 offset, u64 size)
    {
        auto own = top_.map(GuestOffset{offset}, size - offset, MapDetail::exact);
        if (!own) {
            return std::move(own).error().in("error while reading image metadata");
        }
        u64 end = offset + own.value().length;
        if (own.value().kind != Extent::Kind::backing) {
            return end;
        }
        auto old_found = disk_.find(offset, end - offset, MapDetail::exact);
        if (!old_found) {
            return std::move(old_found).error().in("error while reading image metadata");
        }
        end = offset + old_found.value().extent.length;
        if (options_.kept_depth && old_found.value().depth >= *options_.kept_depth) {
            return end;
        }
        bool new_zero = true;
        if (new_ != nullptr && offset < new_->size()) {
            const u64 limit = std::min(end, new_->size()) - offset;
            auto found = new_->find(offset, limit, MapDetail::exact);
            if (!found) {
                return std::move(found).error().in("error while reading image metadata");
            }
            end = offset + found.value().extent.length;
            new_zero = reads_zero(found.value().extent);
        }
        const bool old_zero = reads_zero(old_found.value().extent);
        if (old_zero && new_zero) {
            return end;
        }
        // Whole clusters, as a part of one that is written makes all of it the image's own: the
        // rest need not be compared. This may reach into what follows.
        const u64 piece_end = (offset / cluster_ * cluster_) + piece_;
        u64 rounded = (std::min(end, piece_end) + cluster_ - 1) / cluster_ * cluster_;
        rounded = std::min({rounded, piece_end, size});
        auto own_end = end_of_backing(offset, rounded);
        if (!own_end) {
            return std::move(own_end).error();
        }
        auto done = settle(offset, own_end.value());
        return done ? Result<u64>{own_end.value()} : Result<u64>{std::move(done).error()};
    }

    /// How far, of [offset, end), the image has nothing of its own.
    Result<u64> end_of_backing(u64 offset, u64 end)
    {
        u64 at = offset;
        while (at < end) {
            auto own = top_.map(GuestOffset{at}, end - at, MapDetail::exact);
            if (!own) {
                return std::move(own).error().in("error while reading image metadata");
            }
            if (own.value().kind != Extent::Kind::backing) {
                break;
            }
            at += own.value().length;
        }
        return at;
    }

    /// Compares [offset, end), which the image does not have, and takes over what differs.
    Status settle(u64 offset, u64 end)
    {
        const u64 length = end - offset;
        old_bytes_.resize(length);
        new_bytes_.resize(length);
        if (auto read = disk_.read(offset, old_bytes_); !read) {
            return std::move(read).error().in("error while reading from old backing file");
        }
        if (auto read = read_new(offset, new_bytes_); !read) {
            return std::move(read).error().in("error while reading from new backing file");
        }
        for (u64 at = offset; at < end;) {
            u64 run = cluster_end(at, end);
            const bool differs = differ(at - offset, run - at);
            while (run < end) {
                const u64 next = cluster_end(run, end);
                if (differ(run - offset, next - run) != differs) {
                    break;
                }
                run = next;
            }
            if (differs) {
                if (auto kept = keep(at, std::span{old_bytes_}.subspan(at - offset, run - at));
                    !kept) {
                    return std::move(kept).error().in("Error while writing to COW image");
                }
            }
            at = run;
        }
        return base::ok();
    }

    u64 cluster_end(u64 at, u64 end) const { return std::min(end, (at / cluster_ + 1) * cluster_); }

    bool differ(u64 at, u64 length) const
    {
        return std::memcmp(old_bytes_.data() + at, new_bytes_.data() + at, length) != 0;
    }

    Status read_new(u64 offset, std::span<u8> into)
    {
        const u64 size = new_ != nullptr ? new_->size() : 0;
        const u64 there = offset < size ? std::min<u64>(into.size(), size - offset) : 0;
        std::ranges::fill(into.subspan(there), u8{0});
        return there == 0 ? base::ok() : new_->read(offset, into.first(there));
    }

    /// Makes bytes the image's own. What the old backing file did not reach to is zero without
    /// taking storage.
    Status keep(u64 at, std::span<const u8> bytes)
    {
        const u64 reach = disk_.layers().size() > 1 ? disk_.layers()[1].image->size() : 0;
        const u64 below = at < reach ? std::min<u64>(bytes.size(), reach - at) : 0;
        if (below != 0) {
            if (auto done = packer_ ? write_packed(at, bytes.first(below))
                                    : disk_.write(at, bytes.first(below));
                !done) {
                return done;
            }
        }
        const u64 beyond = bytes.size() - below;
        return beyond == 0 ? base::ok() : disk_.write_own_zeroes(at + below, beyond);
    }

    /// Block by block: those that are not whole, or do not become smaller, are written as they are.
    Status write_packed(u64 at, std::span<const u8> bytes)
    {
        const u64 block = packing_->block_size;
        while (!bytes.empty()) {
            const auto part = bytes.first(std::min<u64>(bytes.size(), block - at % block));
            const bool whole =
                part.size() == block || (at % block == 0 && at + part.size() == disk_.size());
            const std::size_t length = whole ? pack(part) : 0;
            auto done = length != 0
                            ? top_.write_packed(GuestOffset{at}, std::span{packed_}.first(length))
                            : disk_.write(at, part);
            if (!done) {
                return done;
            }
            at += part.size();
            bytes = bytes.subspan(part.size());
        }
        return base::ok();
    }

    /// Into packed_, padded to a whole block; returns how many bytes that takes, 0 when too many.
    std::size_t pack(std::span<const u8> bytes)
    {
        const u64 block = packing_->block_size;
        padded_.assign(block, 0);
        std::ranges::copy(bytes, padded_.begin());
        packed_.resize(packing_->always ? Packer::bound(block) : block - 1);
        return packer_->pack(padded_, packed_);
    }

    ChainDisk& disk_;
    Image& top_;
    ChainDisk* new_;
    const RebaseOptions& options_;
    u64 cluster_; // bytes
    u64 piece_;   // bytes
    std::vector<u8> old_bytes_;
    std::vector<u8> new_bytes_;
    std::optional<Image::Packing> packing_ = {};
    std::optional<Packer> packer_ = {};
    std::vector<u8> padded_;
    std::vector<u8> packed_;
};

} // namespace

Status copy_for_rebase(ChainDisk& disk, ChainDisk* new_backing, const RebaseOptions& options)
{
    return Rebaser{disk, new_backing, options}.run();
}

} // namespace img
