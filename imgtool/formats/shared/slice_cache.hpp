// A write-back cache of table slices (L2 tables, refcount blocks).
//
// It never writes by itself: the order in which kinds of metadata reach the file is the image's
// business (flush()). Only clean slices are dropped to make room.
#pragma once

#include "base/result.hpp"
#include "imgtool/source/byte_source.hpp"

#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace img {

class SliceCache {
public:
    /// `slice_size` is a power of two; tables start at multiples of it. What lies in the file from
    /// `end` on is not the cache's, and is not written with the last slice.
    SliceCache(ByteSource& file, u64 slice_size, std::size_t capacity, u64 end = ~u64{0})
        : file_{file}, slice_size_{slice_size}, capacity_{capacity}, end_{end}
    {}

    /// What the file is told before slices are read and written.
    void announce(DebugEvent load, DebugEvent store)
    {
        load_ = load;
        store_ = store;
    }

    u64 slice_size() const { return slice_size_; }

    /// The slice that begins at `at`. Valid until the next call of get().
    Result<std::span<u8>> get(u64 at);
    /// The same, and it will be written by write_dirty().
    Result<std::span<u8>> get_for_write(u64 at);

    bool dirty() const { return dirty_count_ != 0; }
    /// Too many dirty slices: the image should flush soon.
    bool crowded() const { return dirty_count_ * 2 > capacity_; }

    /// The dirty slices with their places, in ascending order. Valid until the next call of get().
    std::vector<std::pair<u64, std::span<const u8>>> dirty_slices() const;
    /// Writes all dirty slices, in ascending order.
    Status write_dirty();
    /// Writes the slice that begins at `at`, if it is dirty.
    Status write_one(u64 at);
    /// Writes its first bytes, if it is dirty, and leaves the whole to be written.
    Status write_start(u64 at, u64 length);
    /// Forgets what lies in [at, at + length), for clusters that are given back.
    void drop(u64 at, u64 length);
    /// Forgets everything, for when the file is changed behind its back. Nothing may be dirty.
    void clear();

private:
    struct Slice {
        std::unique_ptr<u8[]> bytes;
        u64 stamp = 0;
        bool dirty = false;
    };

    Result<Slice*> find(u64 at);
    Status store(u64 at, Slice& slice);
    void make_room();

    ByteSource& file_;
    u64 slice_size_; // bytes
    std::size_t capacity_;
    u64 end_; // file offset
    std::size_t dirty_count_ = 0;
    u64 clock_ = 0;
    u64 last_at_ = ~u64{0};
    Slice* last_ = nullptr;
    std::unordered_map<u64, Slice> slices_;
    std::optional<DebugEvent> load_, store_;
};

} // namespace img
