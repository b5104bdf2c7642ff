// VHDX images: mapping, allocation and the order of metadata writes.
#pragma once

#include "imgtool/format.hpp"
#include "imgtool/formats/shared/slice_cache.hpp"
#include "imgtool/formats/vhdx/layout.hpp"
#include "imgtool/formats/vhdx/log.hpp"

#include <memory>
#include <optional>
#include <string>

namespace img::vhdx {

class VhdxImage final : public Image {
public:
    static Result<std::unique_ptr<Image>> open(std::unique_ptr<ByteSource> file,
                                               OpenContext& context);
    ~VhdxImage() override;

    u64 size() const override { return disk_.size; }
    ByteSource& file() override { return *file_; }
    Result<Extent> map(GuestOffset from, u64 limit, MapDetail detail) override;
    Result<Placement> place(GuestOffset from, u64 length) override;
    Status publish(const Placement& placement) override;
    void abandon(const Placement& placement) override;
    Result<u64> place_zeroes(GuestOffset from, u64 length) override;
    Status flush() override;
    ImageInfo info() override;
    Result<CheckReport> check(Repair repair, const ProblemSink& problem) override;
    Status check_backing(Image& backing) override;

private:
    VhdxImage(std::unique_ptr<ByteSource> file, const Identity& identity);

    // Opening (vhdx_open.cpp).
    Status load(const OpenContext& context);
    Status load_header();
    Status load_regions();
    Status load_metadata(const OpenContext& context);
    Status load_parent(const MetadataItem& item, const OpenContext& context);
    Status check_regions() const;
    Status recover();

    // Reading (vhdx_image.cpp).
    /// Looks at the whole table; says `problem` of each entry that cannot be. False from it stops.
    Status scan_table(const std::function<bool(const std::string&)>& problem);
    std::string entry_problem(u64 block, u64 entry) const;

    Result<u64> load_bat(u64 index);
    Result<u64> load_entry(u64 block);
    u64 entry_at(u64 block) const { return regions_.bat.at + disk_.bat_index(block) * sizeof(u64); }
    /// Of a block that is there in part.
    Result<Extent> map_sectors(u64 block, const BatEntry& entry, u64 within, u64 limit);
    Result<FileOffset> bitmap_of(u64 block);
    u64 block_bytes(u64 block) const;

    // Writing (vhdx_write.cpp).
    Status begin_session();
    Status write_headers();
    Status commit_table();
    Status end_session();

    std::unique_ptr<ByteSource> file_;
    const Identity& identity_;
    Header header_;
    std::size_t header_slot_ = 0; // which of the two is the newest
    Regions regions_;
    DiskParameters disk_;
    std::vector<Guid> parent_linkage_; // of a differencing disk
    std::string parent_name_;
    std::optional<SliceCache> table_; // of the BAT, and of sector bitmaps
    std::optional<LogWriter> log_;
    u64 free_ = 0; // file offset behind everything
    bool replayed_ = false;
    bool in_session_ = false; // this process has changed the file
    bool wrote_data_ = false;
};

} // namespace img::vhdx
