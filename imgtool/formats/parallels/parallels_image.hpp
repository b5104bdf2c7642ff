// A Parallels image.
#pragma once

#include "imgtool/formats/parallels/parallels_layout.hpp"
#include "imgtool/formats/shared/flat_image.hpp"

#include <vector>

namespace img::parallels {

class ParallelsImage final : public FlatImage {
public:
    static Result<std::unique_ptr<Image>> open(std::unique_ptr<ByteSource> file,
                                               OpenContext& context);
    ~ParallelsImage() override;

    ImageInfo info() override;
    Result<CheckReport> check(Repair repair, const ProblemSink& problem) override;

protected:
    std::optional<u64> block_at(u32 entry) const override;
    u32 entry_for(u64 at) const override;
    Status check_block(u64 at) override;
    Result<Run> take(u64 count) override;
    void give_back(const Run& run) override;
    Status begin_writing() override;

private:
    ParallelsImage(std::unique_ptr<ByteSource> file, const Header& header);

    Status set_in_use(u32 mark);
    Result<bool> keeps_extension();
    Result<bool> drop_extension();
    Status find_end();

    // Check (parallels_check.cpp).
    struct Finding; // what a pass over the table knows
    Status check_entry(u64 index, Finding& finding);
    Status check_doubles(Finding& finding);
    Status check_tail(Finding& finding);

    Header header_;
    u64 end_ = 0; // file offset of the next new cluster; 0: not known yet
};

} // namespace img::parallels
