// Reading and writing VDI images.
//
// QEMU and VirtualBox take the block behind the last for a new one, by the header's count. So the
// count must never be lower than a block's number that the map has: flush() writes it first.
#include "imgtool/formats/vdi/vdi_image.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img::vdi {

namespace {

using base::Errc;
using base::fail;

} // namespace

VdiImage::VdiImage(std::unique_ptr<ByteSource> file, const Header& header)
    : FlatImage{std::move(file),
                {.size = header.disk_size,
                 .block_size = kBlockSize,
                 .table_at = header.map_at,
                 .entries = header.blocks,
                 .no_block = kNoBlock,
                 .missing = Extent::Kind::zero}},
      header_{header}
{}

VdiImage::~VdiImage()
{
    (void)flush(); // whoever cares for the result has called flush() before
}

Result<std::unique_ptr<Image>> VdiImage::open(std::unique_ptr<ByteSource> file, OpenContext&)
{
    std::array<u8, kHeaderBytes> start{};
    if (auto read = read_padded(*file, FileOffset{0}, start); !read) {
        return std::move(read).error();
    }
    auto header = parse_header(start);
    if (!header) {
        return std::move(header).error();
    }
    return std::unique_ptr<Image>{new VdiImage{std::move(file), header.value()}};
}

ImageInfo VdiImage::info()
{
    return {.format = "vdi", .size = header_.disk_size, .cluster_size = kBlockSize};
}

std::optional<u64> VdiImage::block_at(u32 entry) const
{
    if (entry >= kGivenUp) {
        return std::nullopt;
    }
    return header_.data_at + u64{entry} * kBlockSize;
}

u32 VdiImage::entry_for(u64 at) const
{
    return static_cast<u32>((at - header_.data_at) / kBlockSize);
}

Status VdiImage::check_block(u64 at)
{
    if (at < header_.map_end() || entry_for(at) >= header_.blocks) {
        return fail(Errc::corrupt,
                    fmt::format("vdi: Preventing invalid write: block {} is no place for data",
                                entry_for(at)));
    }
    return base::ok();
}

/// Looks through the map; `used`, if given, is set for each block that is in use.
Result<VdiImage::Census> VdiImage::count_blocks(std::vector<bool>* used)
{
    Census census;
    for (u64 i = 0; i < header_.blocks; ++i) {
        auto entry = load_entry(i);
        if (!entry) {
            return std::move(entry).error();
        }
        if (entry.value() >= kGivenUp) {
            continue;
        }
        if (entry.value() >= header_.blocks) {
            ++census.too_large;
            continue;
        }
        census.end = std::max<u64>(census.end, u64{entry.value()} + 1);
        if (used != nullptr && (*used)[entry.value()]) {
            ++census.doubled;
            continue;
        }
        if (used != nullptr) {
            (*used)[entry.value()] = true;
        }
        ++census.found;
    }
    return census;
}

/// Finds out which blocks can be taken. The header's count is not relied upon.
Status VdiImage::prepare_to_take()
{
    if (counted_) {
        return base::ok();
    }
    auto census = count_blocks(nullptr);
    if (!census) {
        return std::move(census).error();
    }
    next_ = census.value().end;
    if (next_ != census.value().found) {
        std::vector<bool> used(header_.blocks); // at most 64 MiB
        if (auto again = count_blocks(&used); !again) {
            return std::move(again).error();
        }
        for (u64 i = next_; i > 0; --i) {
            if (!used[i - 1]) {
                gaps_.push_back(static_cast<u32>(i - 1));
            }
        }
    }
    counted_ = true;
    return base::ok();
}

Result<FlatImage::Run> VdiImage::take(u64 count)
{
    if (header_.data_at < header_.map_end()) {
        return fail(Errc::corrupt, "vdi: the data area lies on the block map");
    }
    if (auto ready = prepare_to_take(); !ready) {
        return std::move(ready).error();
    }
    if (!gaps_.empty()) {
        const u64 block = gaps_.back();
        gaps_.pop_back();
        return Run{header_.data_at + block * kBlockSize, 1};
    }
    if (next_ >= header_.blocks) {
        return fail(Errc::corrupt, "vdi: no block is left, as two entries name the same one");
    }
    count = std::min(count, header_.blocks - next_);
    const Run run{header_.data_at + next_ * kBlockSize, count};
    next_ += count;
    return run;
}

void VdiImage::give_back(const Run& run)
{
    const u64 first = entry_for(run.at);
    if (first + run.count == next_) {
        next_ = first;
        return;
    }
    for (u64 i = run.count; i > 0; --i) {
        gaps_.push_back(static_cast<u32>(first + i - 1));
    }
}

Status VdiImage::update_header()
{
    if (!counted_ || next_ == header_.allocated) {
        return base::ok();
    }
    auto page = header_for_write();
    if (!page) {
        return std::move(page).error();
    }
    header_.allocated = static_cast<u32>(next_);
    base::store_le<u32>(page.value(), kFieldAllocated, header_.allocated);
    return base::ok();
}

Result<CheckReport> VdiImage::check(Repair repair, const ProblemSink& problem)
{
    CheckReport report;
    // A file that has the whole map is worth the memory.
    if (auto last = load_entry(header_.blocks - std::min(header_.blocks, 1u)); !last) {
        return std::move(last).error();
    }
    std::vector<bool> used(header_.blocks); // at most 64 MiB
    u64 found = 0;
    u64 end = 0;
    for (u64 i = 0; i < header_.blocks; ++i) {
        auto entry = load_entry(i);
        if (!entry) {
            return std::move(entry).error();
        }
        const u32 block = entry.value();
        if (block >= kGivenUp) {
            continue;
        }
        if (block >= header_.blocks) {
            problem(fmt::format("ERROR: block index {} too large, is {}", i, block));
            ++report.corruptions;
            continue;
        }
        ++found;
        end = std::max<u64>(end, u64{block} + 1);
        if (used[block]) {
            problem(fmt::format("ERROR: block index {} also used by {}", block, block));
            ++report.corruptions;
        }
        used[block] = true;
    }
    if (found != header_.allocated) {
        problem(fmt::format("ERROR: allocated blocks mismatch, is {}, should be {}", found,
                            header_.allocated));
        // A count that is too high only means that the blocks at the end are not used.
        if (header_.allocated > found && header_.allocated >= end && report.corruptions == 0) {
            report.leaks += header_.allocated - found;
        } else {
            ++report.corruptions;
        }
    }
    if (repair == Repair::none || (report.leaks == 0 && report.corruptions == 0)) {
        return report;
    }
    if (repair == Repair::all && report.corruptions != 0) {
        if (auto done = repair_entries(problem, report); !done) {
            return std::move(done).error();
        }
    } else if (report.corruptions != 0) {
        return report; // how many blocks are leaked is not known
    }
    if (auto ready = prepare_to_take(); !ready) {
        return std::move(ready).error();
    }
    const u64 left = gaps_.size(); // goes with the next blocks that are written
    if (auto done = update_header(); !done) {
        return std::move(done).error();
    }
    if (auto done = flush(); !done) {
        return std::move(done).error();
    }
    report.leaks_fixed = report.leaks - std::min(report.leaks, left);
    report.leaks -= report.leaks_fixed;
    return report;
}

/// Entries that lead nowhere are taken out; a block that two entries share is copied.
Status VdiImage::repair_entries(const ProblemSink& problem, CheckReport& report)
{
    auto census = count_blocks(nullptr);
    if (!census) {
        return std::move(census).error();
    }
    std::vector<bool> used(header_.blocks);
    u64 next = census.value().end;
    for (u64 i = 0; i < header_.blocks; ++i) {
        auto entry = load_entry(i);
        if (!entry) {
            return std::move(entry).error();
        }
        const u32 block = entry.value();
        if (block >= kGivenUp) {
            continue;
        }
        if (block < header_.blocks && !used[block]) {
            used[block] = true;
            continue;
        }
        if (auto done = repair_entry(i, block, used, next); !done) {
            problem(fmt::format("ERROR: block index {} cannot be repaired: {}", i,
                                done.error().message));
            return base::ok();
        }
    }
    report.corruptions_fixed = report.corruptions;
    report.corruptions = 0;
    return base::ok();
}

Status VdiImage::repair_entry(u64 index, u32 entry, std::vector<bool>& used, u64& next)
{
    if (entry >= header_.blocks) {
        return store_entry(index, kNoBlock);
    }
    while (next < header_.blocks && used[next]) {
        ++next;
    }
    if (next >= header_.blocks || header_.data_at < header_.map_end()) {
        return fail(Errc::corrupt, "there is no room for a copy");
    }
    const auto copy = static_cast<u32>(next);
    if (auto done = copy_block(*block_at(entry), *block_at(copy)); !done) {
        return done;
    }
    used[copy] = true;
    return store_entry(index, copy);
}

} // namespace img::vdi
