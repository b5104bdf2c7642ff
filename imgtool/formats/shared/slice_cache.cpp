#include "imgtool/formats/shared/slice_cache.hpp"

#include <algorithm>
#include <vector>

namespace img {

Result<SliceCache::Slice*> SliceCache::find(u64 at)
{
    if (at == last_at_) {
        return last_;
    }
    auto it = slices_.find(at);
    if (it == slices_.end()) {
        if (slices_.size() >= capacity_) {
            make_room();
        }
        Slice slice{.bytes = std::make_unique<u8[]>(slice_size_)};
        const std::span<u8> into{slice.bytes.get(), slice_size_};
        if (load_) {
            file_.announce(*load_);
        }
        // A table at the very end of the file may have been cut: the rest reads as zero.
        if (auto done = read_padded(file_, FileOffset{at}, into); !done) {
            return std::move(done).error();
        }
        it = slices_.emplace(at, std::move(slice)).first;
    }
    it->second.stamp = ++clock_;
    last_at_ = at;
    last_ = &it->second;
    return last_;
}

Result<std::span<u8>> SliceCache::get(u64 at)
{
    auto slice = find(at);
    if (!slice) {
        return std::move(slice).error();
    }
    return std::span<u8>{slice.value()->bytes.get(), slice_size_};
}

Result<std::span<u8>> SliceCache::get_for_write(u64 at)
{
    auto slice = find(at);
    if (!slice) {
        return std::move(slice).error();
    }
    if (!slice.value()->dirty) {
        slice.value()->dirty = true;
        ++dirty_count_;
    }
    return std::span<u8>{slice.value()->bytes.get(), slice_size_};
}

void SliceCache::make_room()
{
    auto oldest = slices_.end();
    for (auto it = slices_.begin(); it != slices_.end(); ++it) {
        if (!it->second.dirty &&
            (oldest == slices_.end() || it->second.stamp < oldest->second.stamp)) {
            oldest = it;
        }
    }
    if (oldest != slices_.end()) {
        slices_.erase(oldest);
    }
    last_at_ = ~u64{0};
}

std::vector<std::pair<u64, std::span<const u8>>> SliceCache::dirty_slices() const
{
    std::vector<std::pair<u64, std::span<const u8>>> dirty;
    if (dirty_count_ == 0) {
        return dirty;
    }
    for (const auto& [at, slice] : slices_) {
        if (slice.dirty) {
            dirty.emplace_back(at, std::span<const u8>{slice.bytes.get(), slice_size_});
        }
    }
    std::ranges::sort(dirty, {}, [](const auto& slice) { return slice.first; });
    return dirty;
}

Status SliceCache::write_dirty()
{
    for (const auto& [at, bytes] : dirty_slices()) {
        if (auto done = store(at, slices_.at(at)); !done) {
            return done;
        }
    }
    return base::ok();
}

Status SliceCache::write_one(u64 at)
{
    const auto it = slices_.find(at);
    return it == slices_.end() || !it->second.dirty ? base::ok() : store(at, it->second);
}

Status SliceCache::write_start(u64 at, u64 length)
{
    const auto it = slices_.find(at);
    return it == slices_.end() || !it->second.dirty
               ? base::ok()
               : file_.write(FileOffset{at}, {it->second.bytes.get(), length});
}

Status SliceCache::store(u64 at, Slice& slice)
{
    const u64 length = std::min(slice_size_, end_ - at);
    if (store_) {
        file_.announce(*store_);
    }
    if (auto done = file_.write(FileOffset{at}, {slice.bytes.get(), length}); !done) {
        return done;
    }
    slice.dirty = false;
    --dirty_count_;
    return base::ok();
}

void SliceCache::drop(u64 at, u64 length)
{
    for (u64 slice = at; slice < at + length; slice += slice_size_) {
        if (const auto it = slices_.find(slice); it != slices_.end()) {
            dirty_count_ -= it->second.dirty ? 1 : 0;
            slices_.erase(it);
        }
    }
    last_at_ = ~u64{0};
}

void SliceCache::clear()
{
    slices_.clear();
    dirty_count_ = 0;
    last_at_ = ~u64{0};
}

} // namespace img
