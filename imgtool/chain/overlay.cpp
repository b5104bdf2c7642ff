// A throw-away overlay: copy-on-write over any disk, in memory or an unnamed file.
#include "imgtool/open.hpp"
#include "imgtool/source/file_source.hpp"

#include <algorithm>
#include <vector>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kBlockSize = 4096; // bytes: what is copied for a smaller write

class Overlay final : public Disk {
public:
    Overlay(std::unique_ptr<Disk> below, std::unique_ptr<ByteSource> store)
        : below_{std::move(below)}, store_{std::move(store)},
          written_((below_->size() + kBlockSize - 1) / kBlockSize)
    {}

    u64 size() const override { return below_->size(); }
    bool read_only() const override { return false; }
    Status flush() override { return base::ok(); } // nothing here is meant to last

    Status read(u64 offset, std::span<u8> into) override
    {
        if (auto good = check_range(offset, into.size()); !good) {
            return good;
        }
        while (!into.empty()) {
            const u64 n = run_length(offset, into.size());
            auto done = written_[offset / kBlockSize]
                            ? read_padded(*store_, FileOffset{offset}, into.first(n))
                            : below_->read(offset, into.first(n));
            if (!done) {
                return done;
            }
            offset += n;
            into = into.subspan(n);
        }
        return base::ok();
    }

    Status write(u64 offset, std::span<const u8> from) override
    {
        if (auto ready = take_blocks(offset, from.size()); !ready) {
            return ready;
        }
        return store_->write(FileOffset{offset}, from);
    }

    Status write_zeroes(u64 offset, u64 length) override
    {
        if (auto ready = take_blocks(offset, length); !ready) {
            return ready;
        }
        return store_->zero(FileOffset{offset}, length);
    }

    Status visit_written(const std::function<Status(u64 offset, u64 length)>& visit) override
    {
        for (u64 offset = 0; offset < size();) {
            const u64 n = run_length(offset, size() - offset);
            if (written_[offset / kBlockSize]) {
                if (auto done = visit(offset, n); !done) {
                    return done;
                }
            }
            offset += n;
        }
        return base::ok();
    }

private:
    Status check_range(u64 offset, u64 length) const
    {
        if (offset > size() || length > size() - offset) {
            return fail(Errc::invalid_argument, "access past the end of the disk");
        }
        return base::ok();
    }

    /// How far from `offset` on, up to `limit`, blocks are alike in being written or not.
    u64 run_length(u64 offset, u64 limit) const
    {
        const bool first = written_[offset / kBlockSize];
        u64 end = offset / kBlockSize * kBlockSize + kBlockSize;
        while (end < offset + limit && written_[end / kBlockSize] == first) {
            end += kBlockSize;
        }
        return std::min(end - offset, limit);
    }

    /// Makes the blocks under a write ours; those it covers only in part are copied first.
    Status take_blocks(u64 offset, u64 length)
    {
        if (auto good = check_range(offset, length); !good) {
            return good;
        }
        if (length == 0) {
            return base::ok();
        }
        const u64 end = offset + length;
        const u64 last = (end - 1) / kBlockSize;
        if (offset % kBlockSize != 0) {
            if (auto done = copy_up(offset / kBlockSize); !done) {
                return done;
            }
        }
        if (end % kBlockSize != 0 && end != size()) {
            if (auto done = copy_up(last); !done) {
                return done;
            }
        }
        std::fill(written_.begin() + static_cast<std::ptrdiff_t>(offset / kBlockSize),
                  written_.begin() + static_cast<std::ptrdiff_t>(last + 1), true);
        return base::ok();
    }

    Status copy_up(u64 block)
    {
        if (written_[block]) {
            return base::ok();
        }
        const u64 at = block * kBlockSize;
        std::vector<u8> bytes(std::min(kBlockSize, size() - at));
        if (auto done = below_->read(at, bytes); !done) {
            return done;
        }
        if (auto done = store_->write(FileOffset{at}, bytes); !done) {
            return done;
        }
        written_[block] = true;
        return base::ok();
    }

    std::unique_ptr<Disk> below_;
    std::unique_ptr<ByteSource> store_; // a block has the offset it has on the disk
    std::vector<bool> written_;         // by block
};

} // namespace

Result<std::unique_ptr<Disk>> make_overlay(std::unique_ptr<Disk> below, const std::string& folder)
{
    auto store = FileSource::temporary(folder);
    if (!store) {
        return std::move(store).error();
    }
    return std::unique_ptr<Disk>{
        std::make_unique<Overlay>(std::move(below), std::move(store).value())};
}

} // namespace img
