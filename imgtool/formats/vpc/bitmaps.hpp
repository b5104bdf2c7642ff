// The sector bitmaps in front of the blocks of a differencing disk: which sectors are its own.
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <map>
#include <vector>

namespace img::vpc {

/// VHD 1.0, "Data Blocks": the most significant bit of the first byte is the first sector's.
class Bitmaps {
public:
    Bitmaps(ByteSource& file, u64 bitmap_size) : file_{file}, size_{bitmap_size} {}

    /// Whether the sector is the disk's own, and for how many sectors (at most `limit`) that holds.
    struct Run {
        bool own;
        u64 sectors;
    };
    Result<Run> run_at(FileOffset bitmap, u64 sector, u64 limit);

    /// Notes sectors as the disk's own; write_dirty() stores that.
    Status mark(FileOffset bitmap, u64 sector, u64 count);
    /// A new bitmap of no sectors, which is in the file already.
    void start(FileOffset bitmap);

    bool dirty() const { return dirty_ != 0; }
    /// Time to flush: what is kept cannot be given up before it is written.
    bool crowded() const { return dirty_ * size_ > kKeptBytes; }
    Status write_dirty();

private:
    static constexpr u64 kKeptBytes = u64{1} << 20;

    struct Bits {
        std::vector<u8> bytes;
        bool dirty = false;
    };
    Result<Bits*> load(FileOffset bitmap);
    void make_room();

    ByteSource& file_;
    u64 size_; // bytes of each
    std::map<FileOffset, Bits> kept_;
    u64 dirty_ = 0; // how many of them are
};

} // namespace img::vpc
