// Checking VHD images.
#include "imgtool/formats/vpc/vpc_image.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img::vpc {

namespace {

bool has_bytes(ByteSource& file, u64 at, const std::array<u8, kFooterSize>& wanted)
{
    std::array<u8, kFooterSize> there{};
    return read_padded(file, FileOffset{at}, there) && there == wanted;
}

} // namespace

Result<CheckReport> FixedVpc::check(Repair, const ProblemSink& problem)
{
    CheckReport report;
    report.image_end_offset = file_->size();
    if (data_end_ < size_) {
        problem(
            fmt::format("ERROR the file ends {} bytes before the disk does", size_ - data_end_));
        ++report.corruptions;
    }
    return report;
}

/// Looks at all blocks; says where the last one ends.
Result<u64> DynamicVpc::count_blocks(const ProblemSink& problem, CheckReport& report)
{
    const u64 reach = parts_.header.bitmap_size() + block_size();
    u64 end = parts_.metadata_end(file_->size());
    std::vector<u32> used;
    u32 expected = 0;
    for (u64 block = 0; block < table_.size(); ++block) {
        const u32 sector = table_[block];
        if (sector == kUnallocated) {
            continue;
        }
        used.push_back(sector);
        report.fragmented_clusters += expected != 0 && sector != expected ? 1 : 0;
        expected = static_cast<u32>(sector + reach / kSectorSize);
        end = std::max(end, sector * kSectorSize + reach); // in the file: it was opened
        if (auto good = check_own(sector, block); !good) {
            problem("ERROR " + good.error().message);
            ++report.corruptions;
        }
    }
    std::ranges::sort(used);
    for (std::size_t i = 1; i < used.size(); ++i) {
        if (used[i] < used[i - 1] + reach / kSectorSize) {
            problem(fmt::format("ERROR blocks at sectors {} and {} overlap", used[i - 1], used[i]));
            ++report.corruptions;
        }
    }
    report.total_clusters = table_.size();
    report.allocated_clusters = used.size();
    return end;
}

/// The footer and its copy must be alike. What lies between the last block and the footer is what
/// an interrupted writer left, as is a missing footer: no harm to data.
Status DynamicVpc::check_footers(u64 end, Repair repair, const ProblemSink& problem,
                                 CheckReport& report)
{
    // A file of a fixed size goes on behind the footer.
    const u64 file_end = file_->fixed_size() ? end + kFooterSize : file_->size();
    const bool there =
        file_end >= kFooterSize && has_bytes(*file_, file_end - kFooterSize, parts_.footer_bytes);
    if (there && file_end - kFooterSize <= end) {
        return base::ok();
    }
    problem(there ? fmt::format("Leaked {} bytes between the last block and the footer",
                                file_end - kFooterSize - end)
                  : std::string{"The footer at the end of the file is missing or differs from its "
                                "copy"});
    if (repair == Repair::none) {
        ++report.leaks;
        return base::ok();
    }
    if (auto done = file_->write(FileOffset{end}, parts_.footer_bytes); !done) {
        return done;
    }
    if (auto done = file_->resize(end + kFooterSize); !done) {
        return done;
    }
    ++report.leaks_fixed;
    parts_.free = end;
    return file_->flush();
}

Result<CheckReport> DynamicVpc::check(Repair repair, const ProblemSink& problem)
{
    if (auto loaded = load_table(); !loaded) {
        return std::move(loaded).error();
    }
    CheckReport report;
    auto end = count_blocks(problem, report);
    if (!end) {
        return std::move(end).error();
    }
    // Nothing is cut off as long as it is not clear what the table means.
    const Repair may = report.corruptions == 0 ? repair : Repair::none;
    if (auto done = check_footers(end.value(), may, problem, report); !done) {
        return std::move(done).error();
    }
    report.image_end_offset = end.value();
    return report;
}

} // namespace img::vpc
