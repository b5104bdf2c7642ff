// VHD images: mapping, allocation and the order of metadata writes.
#pragma once

#include "imgtool/format.hpp"
#include "imgtool/formats/vpc/bitmaps.hpp"
#include "imgtool/formats/vpc/layout.hpp"

#include <memory>
#include <set>
#include <vector>

namespace img::vpc {

Result<std::unique_ptr<Image>> open_image(std::unique_ptr<ByteSource> file, OpenContext& context);

/// A fixed disk: its bytes, and a footer behind them.
class FixedVpc final : public Image {
public:
    FixedVpc(std::unique_ptr<ByteSource> file, const Footer& footer, u64 size, u64 data_end)
        : file_{std::move(file)}, uuid_{footer.uuid}, size_{size}, data_end_{data_end}
    {}

    u64 size() const override { return size_; }
    ByteSource& file() override { return *file_; }
    Result<Extent> map(GuestOffset from, u64 limit, MapDetail detail) override;
    Result<Placement> place(GuestOffset from, u64 length) override;
    Status publish(const Placement&) override { return base::ok(); }
    void abandon(const Placement&) override {}
    Result<u64> place_zeroes(GuestOffset from, u64 length) override;
    Status flush() override { return file_->flush(); }
    ImageInfo info() override { return {.format = "vpc", .size = size_, .has_dirty_flag = true}; }
    bool checks_by_default() const override { return false; }
    Result<CheckReport> check(Repair repair, const ProblemSink& problem) override;

    const Uuid& uuid() const { return uuid_; }

private:
    std::unique_ptr<ByteSource> file_;
    Uuid uuid_;
    u64 size_;     // bytes
    u64 data_end_; // bytes of the file in front of the footer
};

/// A dynamic or differencing disk.
class DynamicVpc final : public Image {
public:
    struct Parts {
        std::array<u8, kFooterSize> footer_bytes;
        Footer footer;
        DynamicHeader header;
        u64 size;                // bytes of the disk
        u64 free;                // file offset behind all that is used
        std::string parent_name; // of a differencing disk

        /// Where header, table and parent locators end.
        u64 metadata_end(u64 file_size) const;
    };
    DynamicVpc(std::unique_ptr<ByteSource> file, Parts parts);
    ~DynamicVpc() override;

    u64 size() const override { return parts_.size; }
    ByteSource& file() override { return *file_; }
    Result<Extent> map(GuestOffset from, u64 limit, MapDetail detail) override;
    Result<Placement> place(GuestOffset from, u64 length) override;
    Status publish(const Placement& placement) override;
    void abandon(const Placement& placement) override;
    Result<u64> place_zeroes(GuestOffset from, u64 length) override;
    Status flush() override;
    ImageInfo info() override;
    bool checks_by_default() const override { return false; }
    Result<CheckReport> check(Repair repair, const ProblemSink& problem) override;
    Status check_backing(Image& backing) override;

    const Uuid& uuid() const { return parts_.footer.uuid; }

private:
    bool differencing() const { return parts_.footer.type == DiskType::differencing; }
    u64 block_size() const { return parts_.header.block_size; }
    u64 blocks() const { return (parts_.size + block_size() - 1) / block_size(); }
    FileOffset bitmap_of(u32 sector) const { return {sector * kSectorSize}; }
    FileOffset data_of(u32 sector) const
    {
        return {sector * kSectorSize + parts_.header.bitmap_size()};
    }
    Status load_table();
    Status check_own(u32 sector, u64 block) const;
    Result<u32> allocate();
    Result<Placement> place_new_block(u64 block, u64 within, u64 length);
    Result<Placement> place_sectors(u64 block, u64 within, u64 length);
    Status complete_bitmap(u64 block);
    void set_entry(u64 block, u32 sector);
    Status write_table();
    Result<u64> count_blocks(const ProblemSink& problem, CheckReport& report);
    Status check_footers(u64 end, Repair repair, const ProblemSink& problem, CheckReport& report);

    std::unique_ptr<ByteSource> file_;
    Parts parts_;
    std::vector<u32> table_;      // sector of each block, or kUnallocated; empty until needed
    std::set<u64> dirty_entries_; // groups of kGroup entries
    std::vector<bool> complete_;  // by block of a dynamic disk: all bits of its bitmap are set
    Bitmaps bitmaps_;             // of a differencing disk
    bool footer_dirty_ = false;   // the file's end has moved
    bool wrote_data_ = false;
};

/// Table entries that are written together: a sector's.
inline constexpr u64 kGroup = kSectorSize / sizeof(u32);

} // namespace img::vpc
