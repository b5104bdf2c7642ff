// A VDI image.
#pragma once

#include "imgtool/formats/shared/flat_image.hpp"
#include "imgtool/formats/vdi/vdi_layout.hpp"

#include <vector>

namespace img::vdi {

class VdiImage final : public FlatImage {
public:
    static Result<std::unique_ptr<Image>> open(std::unique_ptr<ByteSource> file,
                                               OpenContext& context);
    ~VdiImage() override;

    ImageInfo info() override;
    Result<CheckReport> check(Repair repair, const ProblemSink& problem) override;

protected:
    std::optional<u64> block_at(u32 entry) const override;
    u32 entry_for(u64 at) const override;
    Status check_block(u64 at) override;
    Result<Run> take(u64 count) override;
    void give_back(const Run& run) override;
    Status begin_writing() override { return base::ok(); }
    Status update_header() override;

private:
    VdiImage(std::unique_ptr<ByteSource> file, const Header& header);

    /// What the map says of the blocks in the file.
    struct Census {
        u64 found = 0; // entries that name a block of their own
        u64 end = 0;   // all those blocks have lower numbers
        u64 too_large = 0, doubled = 0;
    };
    Result<Census> count_blocks(std::vector<bool>* used);
    Status prepare_to_take();
    Status repair_entries(const ProblemSink& problem, CheckReport& report);
    Status repair_entry(u64 index, u32 entry, std::vector<bool>& used, u64& next);

    Header header_;
    bool counted_ = false;       // the next two are known
    u64 next_ = 0;               // number of the first block behind all that are there
    std::vector<u32> gaps_ = {}; // blocks before that which nothing refers to, the last first
};

} // namespace img::vdi
