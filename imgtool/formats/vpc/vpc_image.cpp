// Opening and reading VHD images.
#include "imgtool/formats/vpc/vpc_image.hpp"

#include "base/endian.hpp"
#include "imgtool/formats/shared/parent_path.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img::vpc {

namespace {

using base::Errc;
using base::fail;

constexpr u32 kMaxLocatorLength = 64u << 10; // bytes; far more than any path has
constexpr std::size_t kScanBytes = 32u << 10;

u64 round_up(u64 bytes)
{
    return (bytes + kSectorSize - 1) / kSectorSize * kSectorSize;
}

/// How the size of the disk is found: the footer has two answers, and they need not agree.
enum class SizeRule : u8 { by_creator, geometry, current };

Result<SizeRule> parse_options(const OpenContext& context)
{
    SizeRule rule = SizeRule::by_creator;
    for (const auto& [name, value] : context.options) {
        if (name != "force_size_calc") {
            return fail(Errc::invalid_argument,
                        fmt::format("Block format 'vpc' does not support the option '{}'", name));
        }
        if (value == "chs") {
            rule = SizeRule::geometry;
        } else if (value == "current_size") {
            rule = SizeRule::current;
        } else {
            return fail(Errc::invalid_argument,
                        fmt::format("Invalid size calculation mode: '{}'", value));
        }
    }
    return rule;
}

/// Virtual PC takes a disk's size from the geometry. These, among them Hyper-V and Disk2vhd, take
/// the field "Current Size", as do all where the geometry is the largest there is.
bool creator_uses_current_size(const std::array<char, 4>& creator)
{
    constexpr std::array<std::string_view, 5> kCreators{"win ", "qem2", "d2v ",
                                                        std::string_view{"tap\0", 4}, "CTXS"};
    return std::ranges::find(kCreators, std::string_view{creator.data(), creator.size()}) !=
           kCreators.end();
}

Result<u64> disk_size(const Footer& footer, SizeRule rule, const std::string& name)
{
    const bool current =
        rule == SizeRule::current || footer.geometry == kLargestGeometry ||
        (rule == SizeRule::by_creator && creator_uses_current_size(footer.creator));
    const u64 size = current ? footer.size / kSectorSize * kSectorSize : footer.geometry.bytes();
    if (size > kMaxSize) {
        return fail(Errc::corrupt, fmt::format("Could not open '{}': File too large", name));
    }
    return size;
}

base::Error truncated()
{
    return fail(Errc::corrupt, "block-vpc: free_data_block_offset points after the end of file. "
                               "The image has been truncated.");
}

/// Where the last of table and blocks ends. All must lie in the file.
Result<u64> find_end(ByteSource& file, const DynamicHeader& header)
{
    if (header.table_entries > kMaxTableEntries) {
        return fail(Errc::unsupported, fmt::format("Max Table Entries too large ({})",
                                                   static_cast<base::i32>(header.table_entries)));
    }
    const u64 table_bytes = u64{header.table_entries} * sizeof(u32);
    const u64 file_end = round_up(file.size());
    if (header.table_offset > file_end || table_bytes > file_end - header.table_offset) {
        return truncated();
    }
    u64 end = round_up(header.table_offset + table_bytes);
    std::vector<u8> piece(std::min<u64>(kScanBytes, table_bytes));
    for (u64 at = 0; at < table_bytes; at += piece.size()) {
        const std::span<u8> now =
            std::span{piece}.first(std::min<u64>(piece.size(), table_bytes - at));
        if (auto done = read_padded(file, FileOffset{header.table_offset + at}, now); !done) {
            return std::move(done).error().in("reading the block allocation table");
        }
        for (std::size_t i = 0; i < now.size(); i += sizeof(u32)) {
            const u32 sector = base::load_be<u32>(now, i);
            if (sector != kUnallocated) {
                end =
                    std::max(end, sector * kSectorSize + header.bitmap_size() + header.block_size);
            }
        }
    }
    return end > file_end ? Result<u64>{truncated()} : end;
}

/// The name of a differencing disk's parent. All that are there should mean the same file; those
/// that are relative to the image are tried first, because they go on when both files are moved.
Result<std::string> find_parent(ByteSource& file, const DynamicHeader& header,
                                const OpenContext& context)
{
    std::vector<std::string> names;
    for (const u32 code : {platform::relative, platform::url, platform::absolute}) {
        for (const ParentLocator& locator : header.locators) {
            if (locator.code != code) {
                continue;
            }
            if (locator.length > kMaxLocatorLength) {
                return fail(Errc::corrupt,
                            fmt::format("parent locator of {} bytes", locator.length));
            }
            std::vector<u8> bytes(locator.length);
            if (auto done = read_padded(file, FileOffset{locator.offset}, bytes); !done) {
                return std::move(done).error().in("reading a parent locator");
            }
            if (std::string path = parent_path(code, bytes); !path.empty()) {
                names.push_back(std::move(path));
            }
        }
    }
    if (std::string path = from_windows(header.parent_name); !path.empty()) {
        names.push_back(std::move(path));
    }
    if (names.empty()) {
        return fail(Errc::corrupt, "a differencing disk without its parent's name");
    }
    return choose_parent(names, context);
}

bool has_footer_at_end(ByteSource& file)
{
    std::array<u8, kFooterSize> bytes{};
    return !file.fixed_size() && file.size() >= kFooterSize && file.size() % kSectorSize == 0 &&
           file.read(FileOffset{file.size() - kFooterSize}, bytes) && has_footer_cookie(bytes);
}

Result<std::unique_ptr<Image>> open_dynamic(std::unique_ptr<ByteSource> file,
                                            DynamicVpc::Parts parts, const OpenContext& context)
{
    std::array<u8, kDynamicHeaderSize> bytes{};
    if (auto done = read_padded(*file, FileOffset{parts.footer.header_offset}, bytes); !done) {
        return std::move(done).error().in("Error reading dynamic VHD header");
    }
    auto header = parse_dynamic_header(bytes);
    if (!header) {
        return std::move(header).error();
    }
    parts.header = std::move(header).value();
    const u64 blocks = (parts.size + parts.header.block_size - 1) / parts.header.block_size;
    if (parts.header.table_entries < blocks) {
        return fail(Errc::corrupt, "Page table too small");
    }
    auto end = find_end(*file, parts.header);
    if (!end) {
        return std::move(end).error();
    }
    end.value() = std::max(end.value(), parts.metadata_end(file->size()));
    // Behind the blocks there may be what we do not know of; only the footer is known to be free,
    // and all of what cannot be cut off.
    const u64 file_end = has_footer_at_end(*file) ? file->size() - kFooterSize
                         : file->fixed_size()     ? 0
                                                  : round_up(file->size());
    parts.free = std::max(end.value(), file_end);
    if (parts.footer.type == DiskType::differencing) {
        auto parent = find_parent(*file, parts.header, context);
        if (!parent) {
            return std::move(parent).error();
        }
        parts.parent_name = std::move(parent).value();
    }
    return std::unique_ptr<Image>{std::make_unique<DynamicVpc>(std::move(file), std::move(parts))};
}

} // namespace

Result<std::unique_ptr<Image>> open_image(std::unique_ptr<ByteSource> file, OpenContext& context)
{
    auto rule = parse_options(context);
    if (!rule) {
        return std::move(rule).error();
    }
    DynamicVpc::Parts parts{};
    if (auto done = read_padded(*file, FileOffset{0}, parts.footer_bytes); !done) {
        return std::move(done).error();
    }
    const u64 file_end = round_up(file->size());
    const bool at_start = has_footer_cookie(parts.footer_bytes);
    if (!at_start) {
        if (file_end < kFooterSize) {
            return fail(Errc::wrong_format, "File too small for a VHD header");
        }
        const FileOffset last{file_end - kFooterSize};
        if (auto done = read_padded(*file, last, parts.footer_bytes); !done) {
            return std::move(done).error();
        }
    }
    auto footer = parse_footer(parts.footer_bytes);
    if (!footer) {
        return std::move(footer).error();
    }
    parts.footer = std::move(footer).value();
    if (!at_start && parts.footer.type != DiskType::fixed) {
        return fail(Errc::wrong_format, "invalid VPC image");
    }
    auto size = disk_size(parts.footer, rule.value(), file->name());
    if (!size) {
        return std::move(size).error();
    }
    parts.size = size.value();
    if (parts.footer.type == DiskType::fixed) {
        const u64 data_end = at_start ? file_end : file_end - kFooterSize;
        return std::unique_ptr<Image>{
            std::make_unique<FixedVpc>(std::move(file), parts.footer, parts.size, data_end)};
    }
    return open_dynamic(std::move(file), std::move(parts), context);
}

Result<Extent> FixedVpc::map(GuestOffset from, u64 limit, MapDetail detail)
{
    if (from.bytes >= size_ || limit == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    limit = std::min(limit, size_ - from.bytes);
    if (from.bytes >= data_end_) {
        return Extent{.kind = Extent::Kind::zero, .length = limit}; // a truncated file
    }
    limit = std::min(limit, data_end_ - from.bytes);
    Extent extent{.kind = Extent::Kind::data, .length = limit, .at = {from.bytes}};
    if (detail == MapDetail::exact && from.bytes < file_->size()) {
        auto run = file_->run_at({from.bytes});
        if (!run) {
            return std::move(run).error();
        }
        extent.kind = run.value().data ? Extent::Kind::data : Extent::Kind::zero;
        extent.reserved = !run.value().data;
        extent.length = std::min(limit, run.value().length);
    }
    return extent;
}

Result<Placement> FixedVpc::place(GuestOffset from, u64 length)
{
    if (from.bytes >= size_ || length == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    if (from.bytes >= data_end_) {
        return fail(Errc::corrupt, "vpc: the file is shorter than the disk");
    }
    length = std::min({length, size_ - from.bytes, data_end_ - from.bytes});
    return Placement{.from = from, .at = {from.bytes}, .length = length};
}

Result<u64> FixedVpc::place_zeroes(GuestOffset from, u64 length)
{
    const u64 end = std::min(size_, data_end_);
    if (from.bytes >= end) {
        return u64{0};
    }
    length = std::min(length, end - from.bytes);
    if (auto done = file_->zero({from.bytes}, length); !done) {
        return std::move(done).error();
    }
    return length;
}

u64 DynamicVpc::Parts::metadata_end(u64 file_size) const
{
    u64 end = round_up(header.table_offset + u64{header.table_entries} * sizeof(u32));
    end = std::max(end, footer.header_offset + kDynamicHeaderSize);
    for (const ParentLocator& locator : header.locators) {
        if (locator.code != 0 && locator.offset < file_size) {
            end = std::max(end, round_up(locator.offset + locator.length));
        }
    }
    return end;
}

DynamicVpc::DynamicVpc(std::unique_ptr<ByteSource> file, Parts parts)
    : file_{std::move(file)}, parts_{std::move(parts)}, bitmaps_{*file_,
                                                                 parts_.header.bitmap_size()}
{}

DynamicVpc::~DynamicVpc()
{
    if (!file_->read_only()) {
        (void)flush(); // whoever cares for the result has called flush() before
    }
}

Status DynamicVpc::load_table()
{
    if (!table_.empty() || blocks() == 0) {
        return base::ok();
    }
    std::vector<u8> bytes(blocks() * sizeof(u32)); // at most kMaxTableEntries
    if (auto done = read_padded(*file_, FileOffset{parts_.header.table_offset}, bytes); !done) {
        return std::move(done).error().in("reading the block allocation table");
    }
    table_.resize(blocks());
    complete_.resize(blocks());
    for (std::size_t i = 0; i < table_.size(); ++i) {
        table_[i] = base::load_be<u32>(bytes, i * sizeof(u32));
    }
    return base::ok();
}

Result<Extent> DynamicVpc::map(GuestOffset from, u64 limit, MapDetail)
{
    if (from.bytes >= parts_.size || limit == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    if (auto loaded = load_table(); !loaded) {
        return std::move(loaded).error();
    }
    limit = std::min(limit, parts_.size - from.bytes);
    const auto missing = differencing() ? Extent::Kind::backing : Extent::Kind::zero;
    u64 block = from.bytes / block_size();
    const u64 within = from.bytes % block_size();
    if (table_[block] == kUnallocated) {
        u64 length = block_size() - within;
        while (length < limit && table_[++block] == kUnallocated) {
            length += block_size();
        }
        return Extent{.kind = missing, .length = std::min(length, limit)};
    }
    limit = std::min(limit, block_size() - within);
    Extent extent{
        .kind = Extent::Kind::data, .length = limit, .at = {data_of(table_[block]).bytes + within}};
    if (differencing()) {
        // In a dynamic disk a clear bit means a sector that was never written. Writers fill new
        // blocks with zeroes, so what is in the block is what it reads as there.
        const u64 first = within / kSectorSize;
        const u64 last = (within + limit - 1) / kSectorSize;
        auto run = bitmaps_.run_at(bitmap_of(table_[block]), first, last - first + 1);
        if (!run) {
            return std::move(run).error();
        }
        extent.kind = run.value().own ? Extent::Kind::data : missing;
        extent.length = std::min(limit, (first + run.value().sectors) * kSectorSize - within);
    }
    return extent;
}

/// VHD 1.0, "Dynamic Disk Header Format", "Parent Unique ID". Images without one are not held to
/// it.
Status DynamicVpc::check_backing(Image& backing)
{
    const auto* fixed = dynamic_cast<FixedVpc*>(&backing);
    const auto* dynamic = dynamic_cast<DynamicVpc*>(&backing);
    const Uuid* uuid = fixed != nullptr     ? &fixed->uuid()
                       : dynamic != nullptr ? &dynamic->uuid()
                                            : nullptr;
    const Uuid& wanted = parts_.header.parent_uuid;
    if (wanted != Uuid{} && (uuid == nullptr || *uuid != wanted)) {
        return fail(Errc::invalid_argument,
                    fmt::format("the parent '{}' is not the disk that this one was made from: its "
                                "data may not fit",
                                parts_.parent_name));
    }
    return base::ok();
}

ImageInfo DynamicVpc::info()
{
    ImageInfo info{
        .format = "vpc", .size = parts_.size, .cluster_size = block_size(), .has_dirty_flag = true};
    if (differencing()) {
        info.backing_name = parts_.parent_name;
        info.backing_format = "vpc"; // VHD 1.0 knows no other parents
    }
    return info;
}

} // namespace img::vpc
