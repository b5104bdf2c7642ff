// The sector bitmaps in front of the blocks of a differencing disk: which sectors are its own.
#pragma once

#include "imgtool/formats/shared/slice_cache.hpp"
#include "imgtool/source/byte_source.hpp"

#include <algorithm>

namespace img::vpc {

/// VHD 1.0, "Data Blocks": the most significant bit of the first byte is the first sector's.
class Bitmaps {
public:
    Bitmaps(ByteSource& file, u64 bitmap_size)
        : size_{bitmap_size}, cache_{file, bitmap_size, std::max<u64>(4, kKeptBytes / bitmap_size)}
    {}

    /// Whether the sector is the disk's own, and for how many sectors (at most `limit`) that holds.
    struct Run {
        bool own;
        u64 sectors;
    };
    Result<Run> run_at(FileOffset bitmap, u64 sector, u64 limit);

    /// Notes sectors as the disk's own; write_dirty() stores that.
    Status mark(FileOffset bitmap, u64 sector, u64 count);
    /// A new bitmap, which is in the file already.
    void start(FileOffset bitmap) { cache_.drop(bitmap.bytes, size_); }

    bool dirty() const { return cache_.dirty(); }
    bool crowded() const { return cache_.crowded(); }
    Status write_dirty() { return cache_.write_dirty(); }

private:
    static constexpr u64 kKeptBytes = u64{1} << 20;

    u64 size_; // bytes of each
    SliceCache cache_;
};

} // namespace img::vpc
