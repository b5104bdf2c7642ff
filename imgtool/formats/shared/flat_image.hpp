// Images whose blocks are found through one table: a little-endian 32-bit entry for each block of
// the disk, somewhere behind a header in the first page of the file. VDI and Parallels are such.
//
// New blocks are written before the table refers to them: flush() puts a barrier between the two.
// Cut anywhere, an image has at worst blocks that nothing refers to.
#pragma once

#include "imgtool/format.hpp"
#include "imgtool/formats/shared/slice_cache.hpp"

#include <memory>
#include <optional>

namespace img {

class FlatImage : public Image {
public:
    u64 size() const override { return shape_.size; }
    ByteSource& file() override { return *file_; }
    Result<Extent> map(GuestOffset from, u64 limit, MapDetail detail) override;
    Result<Placement> place(GuestOffset from, u64 length) override;
    Status publish(const Placement& placement) override;
    void abandon(const Placement& placement) override;
    Result<u64> place_zeroes(GuestOffset from, u64 length) override;
    Status flush() override;

    FlatImage(const FlatImage&) = delete;
    FlatImage& operator=(const FlatImage&) = delete;

protected:
    struct Shape {
        u64 size;       // bytes of the disk
        u64 block_size; // bytes
        u64 table_at;   // of the first entry, a multiple of 4
        u64 entries;    // when they are too few for the disk, the rest is not there
        u32 no_block;   // the entry of a block that is not there
        Extent::Kind missing = Extent::Kind::zero; // what map() says of such
    };
    /// Blocks side by side in the file.
    struct Run {
        u64 at; // file offset of the first
        u64 count;
    };

    FlatImage(std::unique_ptr<ByteSource> file, const Shape& shape);

    /// The file offset of the block that an entry names; nothing when it names none.
    virtual std::optional<u64> block_at(u32 entry) const = 0;
    /// The entry for a block that take() gave.
    virtual u32 entry_for(u64 at) const = 0;
    /// Whether the guest may write to a block that the table names: it is no metadata, and not
    /// where no block can be.
    virtual Status check_block(u64 at) = 0;
    /// Takes up to `count` blocks that nothing refers to.
    virtual Result<Run> take(u64 count) = 0;
    /// A run that will not be used after all.
    virtual void give_back(const Run& run) = 0;
    /// Is called before the first change to the file.
    virtual Status begin_writing() = 0;
    /// Brings the header up to date, before the table refers to blocks that were taken.
    virtual Status update_header() { return base::ok(); }

    /// The first page of the file, for changes to the header; flush() or store_header() write them.
    Result<std::span<u8>> header_for_write() { return cache_.get_for_write(0); }
    Status store_header() { return cache_.write_one(0); }

    Result<u32> load_entry(u64 index);
    Status store_entry(u64 index, u32 value);
    /// Copies a whole block within the file.
    Status copy_block(u64 from, u64 to);
    u64 entries() const { return shape_.entries; }
    u64 block_size() const { return shape_.block_size; }
    u64 table_end() const { return shape_.table_at + shape_.entries * sizeof(u32); }
    bool writing() const { return writing_; }

private:
    Result<Placement> find_place(u64 guest, u64 length);
    Status start_writing();

    std::unique_ptr<ByteSource> file_;
    Shape shape_;
    u64 file_end_; // file offset, when the image was opened: no entries behind it
    SliceCache cache_;
    bool writing_ = false;    // begin_writing() was called
    bool wrote_data_ = false; // since the last flush
};

} // namespace img
