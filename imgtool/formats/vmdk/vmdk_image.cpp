#include "imgtool/formats/vmdk/vmdk_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::vmdk {

namespace {

using base::Errc;
using base::fail;

constexpr std::size_t kCacheSlices = 512;              // of each kind of table
constexpr std::size_t kAllCacheSlices = 2048;          // of all extents together
constexpr u64 kMaxDescriptorFile = (u64{1} << 20) - 1; // bytes; what QEMU reads too
constexpr u64 kMinDescriptorFile = 4;                  // bytes; less is no image, QEMU says

// VDF, "The Descriptor File": values of createType for disks made of several files.
constexpr std::array<std::string_view, 6> kDescribedTypes{
    "monolithicFlat",     "vmfs",      "vmfsSparse", "twoGbMaxExtentSparse",
    "twoGbMaxExtentFlat", "fullDevice"};

Result<std::string> read_text(ByteSource& file, u64 at, u64 length)
{
    std::string text(length, '\0');
    if (auto read = read_padded(file, FileOffset{at}, {reinterpret_cast<u8*>(text.data()), length});
        !read) {
        return std::move(read).error();
    }
    return text;
}

} // namespace

Result<DescriptorText> read_descriptor(ByteSource& file)
{
    std::array<u8, kSector> sector{};
    if (auto read = read_padded(file, FileOffset{0}, sector); !read) {
        return std::move(read).error();
    }
    DescriptorText found;
    if (has_magic(sector, kHostedMagic)) {
        auto header = parse_hosted(sector);
        if (!header) {
            return std::move(header).error();
        }
        const HostedHeader& h = header.value();
        found.at = (h.descriptor_at != 0 && h.descriptor_at < kMaxSectors ? h.descriptor_at
                                                                          : kDescriptorAt) *
                   kSector;
        const bool has_size =
            h.descriptor_sectors != 0 && h.descriptor_sectors <= kMaxDescriptorSectors;
        found.room = (has_size ? h.descriptor_sectors : kDescriptorSectors) * kSector;
    } else if (has_magic(sector, kEsxMagic)) {
        found.at = kDescriptorAt * kSector;
        found.room = kDescriptorSectors * kSector;
    } else {
        if (file.size() < kMinDescriptorFile) {
            return fail(Errc::wrong_format, "File is too small, not a valid image");
        }
        found.room = kMaxDescriptorFile;
    }
    const u64 there = file.size() > found.at ? file.size() - found.at : 0;
    auto text = read_text(file, found.at, std::min(found.room, there));
    if (!text) {
        return std::move(text).error();
    }
    found.text = std::move(text).value();
    found.text.resize(std::min(found.text.find('\0'), found.text.size()));
    return found;
}

Result<std::unique_ptr<Image>> VmdkImage::open(std::unique_ptr<ByteSource> file,
                                               OpenContext& context)
{
    std::unique_ptr<VmdkImage> image{new VmdkImage{std::move(file), *context.identity}};
    std::array<u8, kSector> sector{};
    if (auto read = read_padded(*image->file_, FileOffset{0}, sector); !read) {
        return std::move(read).error();
    }
    auto text = read_descriptor(*image->file_);
    if (!text) {
        return std::move(text).error();
    }
    image->text_ = std::move(text).value();
    bool is_sparse = has_magic(sector, kHostedMagic) || has_magic(sector, kEsxMagic);
    if (has_magic(sector, kHostedMagic)) {
        auto header = parse_hosted(sector);
        // VDF: an empty extent that only carries a descriptor.
        is_sparse = !header || header.value().capacity != 0 || header.value().descriptor_at == 0;
    }
    auto opened = is_sparse ? image->open_sparse() : image->open_described(context);
    if (!opened) {
        return std::move(opened).error();
    }
    if (!image->file_->read_only() && context.purpose == OpenFor::use) {
        for (const Part& part : image->parts_) {
            const std::string why = part.sparse ? part.sparse->why_read_only() : "";
            if (!why.empty()) {
                return fail(Errc::unsupported, why);
            }
        }
    }
    return std::unique_ptr<Image>{std::move(image)};
}

VmdkImage::~VmdkImage()
{
    if (marked_) {
        (void)flush(); // what could not be written by now is lost, and nobody is left to tell
    }
}

/// A sparse extent that is the whole disk.
Status VmdkImage::open_sparse()
{
    auto sparse = SparseExtent::open(*file_, kCacheSlices);
    if (!sparse) {
        return std::move(sparse).error();
    }
    auto descriptor = parse_descriptor(text_.text);
    if (descriptor) {
        descriptor_ = std::move(descriptor).value();
    } else if (sparse.value()->geometry().table_entries != kEsxTableEntries) {
        return std::move(descriptor).error();
    } // ESX extents have no descriptor of their own
    const Geometry& g = sparse.value()->geometry();
    type_ = g.table_entries == kEsxTableEntries ? "vmfsSparse"
            : g.packed                          ? "streamOptimized"
                                                : "monolithicSparse";
    return add_part({.length = sparse.value()->size(),
                     .file = file_.get(),
                     .sparse = std::move(sparse).value()});
}

Status VmdkImage::open_described(OpenContext& context)
{
    auto descriptor = parse_descriptor(text_.text);
    if (!descriptor) {
        return std::move(descriptor).error();
    }
    descriptor_ = std::move(descriptor).value();
    type_ = descriptor_.type;
    if (type_.empty()) {
        return fail(Errc::corrupt, "invalid VMDK image descriptor");
    }
    if (std::ranges::find(kDescribedTypes, type_) == kDescribedTypes.end()) {
        return fail(Errc::unsupported, fmt::format("Unsupported image type '{}'", type_));
    }
    auto lines = parse_extents(text_.text);
    if (!lines) {
        return std::move(lines).error();
    }
    return open_parts(lines.value(), context);
}

Status VmdkImage::open_parts(const std::vector<ExtentLine>& lines, OpenContext& context)
{
    const std::size_t slices = std::clamp<std::size_t>(
        kAllCacheSlices / std::max<std::size_t>(lines.size(), 1), 16, kCacheSlices);
    for (const ExtentLine& line : lines) {
        Part part{.length = line.sectors * kSector,
                  .type = line.type,
                  .writable = line.access == ExtentLine::Access::read_write,
                  .flat_at = line.offset * kSector};
        if (line.type == "ZERO") {
            if (auto added = add_part(std::move(part)); !added) {
                return added;
            }
            continue;
        }
        if (!is_plain_file_name(line.name) || !context.open_sibling) {
            return fail(Errc::invalid_argument,
                        fmt::format("the extent '{}' may not be opened", line.name));
        }
        auto file = context.open_sibling(line.name);
        if (!file) {
            return std::move(file).error();
        }
        part.own = std::move(file).value();
        part.file = part.own.get();
        if (line.type == "SPARSE" || line.type == "VMFSSPARSE") {
            auto sparse = SparseExtent::open(*part.file, slices);
            if (!sparse) {
                return std::move(sparse).error();
            }
            part.sparse = std::move(sparse).value();
            part.length = part.sparse->size();
        }
        if (auto added = add_part(std::move(part)); !added) {
            return added;
        }
    }
    return base::ok();
}

Status VmdkImage::add_part(Part part)
{
    part.start = size_;
    if (part.length > kMaxCapacity * kSector - size_) {
        return fail(Errc::corrupt, "the disk is too large");
    }
    size_ += part.length;
    if (part.length != 0) {
        parts_.push_back(std::move(part));
    }
    return base::ok();
}

VmdkImage::Part& VmdkImage::part_at(u64 offset)
{
    const auto ends_after = [](u64 at, const Part& part) { return at < part.end(); };
    return *std::upper_bound(parts_.begin(), parts_.end(), offset, ends_after);
}

Result<Extent> VmdkImage::map_flat(const Part& part, u64 within, u64 limit, MapDetail detail)
{
    const FileOffset at{part.flat_at + within};
    Extent extent{.kind = Extent::Kind::data, .length = limit, .at = at, .in = part.file};
    if (at.bytes >= part.file->size()) {
        // The file is shorter than its extent.
        extent.kind = Extent::Kind::zero;
        extent.reserved = extent.stored = true;
    } else if (detail == MapDetail::exact) {
        auto run = part.file->run_at(at);
        if (!run) {
            return std::move(run).error();
        }
        extent.length = std::min(limit, run.value().length);
        if (!run.value().data) {
            extent.kind = Extent::Kind::zero;
            extent.reserved = extent.stored = true;
        }
    }
    return extent;
}

Result<Extent> VmdkImage::map(GuestOffset from, u64 limit, MapDetail detail)
{
    if (from.bytes >= size_ || limit == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    Part& part = part_at(from.bytes);
    const u64 within = from.bytes - part.start;
    limit = std::min(limit, part.length - within);
    if (part.file == nullptr) {
        return Extent{.kind = Extent::Kind::zero, .length = limit};
    }
    if (!part.sparse) {
        return map_flat(part, within, limit, detail);
    }
    auto extent = part.sparse->map(within, limit);
    if (extent) {
        extent.value().in = part.file;
        extent.value().packed.block.bytes += part.start;
    }
    return extent;
}

/// The first write since the disk was opened gives it a new content ID (VDF, "Header": CID), so
/// that disks whose parent it is notice.
Status VmdkImage::prepare_write(const Part& part)
{
    if (!part.writable || part.file == nullptr) {
        return fail(Errc::unsupported, "the extent is read-only");
    }
    if (part.sparse && part.sparse->crowded()) {
        if (auto done = flush(); !done) {
            return done;
        }
    }
    if (marked_) {
        return base::ok();
    }
    u32 cid = 0;
    std::array<u8, sizeof cid> bytes{};
    identity_.random(bytes);
    for (const u8 byte : bytes) {
        cid = cid << 8 | byte;
    }
    auto patch = replace_cid(text_.text, cid);
    if (patch) {
        std::string text = text_.text;
        text.replace(patch->at, patch->replaces, patch->bytes);
        const bool same_length = text.size() == text_.text.size();
        if (text.size() > text_.room) {
            return fail(Errc::unsupported, "the descriptor has no room for a new CID");
        }
        const std::string_view changed =
            same_length ? std::string_view{patch->bytes} : std::string_view{text}.substr(patch->at);
        const std::span<const u8> raw{reinterpret_cast<const u8*>(changed.data()), changed.size()};
        if (auto done = file_->write(FileOffset{text_.at + patch->at}, raw); !done) {
            return done;
        }
        text_.text = std::move(text);
        descriptor_.cid = cid;
    }
    marked_ = true;
    return base::ok();
}

Result<Placement> VmdkImage::place(GuestOffset from, u64 length)
{
    if (from.bytes >= size_ || length == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    Part& part = part_at(from.bytes);
    const u64 within = from.bytes - part.start;
    length = std::min(length, part.length - within);
    if (auto ready = prepare_write(part); !ready) {
        return std::move(ready).error();
    }
    if (!part.sparse) {
        return Placement{
            .from = from, .at = {part.flat_at + within}, .length = length, .in = part.file};
    }
    auto placement = part.sparse->place(within, length);
    if (placement) {
        placement.value().from.bytes += part.start;
        placement.value().block.bytes += part.start;
    }
    return placement;
}

Status VmdkImage::publish(const Placement& placement)
{
    if (!placement.fresh) {
        return base::ok();
    }
    const Part& part = part_at(placement.from.bytes);
    Placement local = placement;
    local.from.bytes -= part.start;
    local.block.bytes -= part.start;
    return part.sparse->publish(local);
}

void VmdkImage::abandon(const Placement& placement)
{
    if (placement.fresh) {
        const Part& part = part_at(placement.from.bytes);
        Placement local = placement;
        local.from.bytes -= part.start;
        local.block.bytes -= part.start;
        part.sparse->abandon(local);
    }
}

Result<u64> VmdkImage::place_zeroes(GuestOffset from, u64 length)
{
    if (from.bytes >= size_ || length == 0) {
        return u64{0};
    }
    Part& part = part_at(from.bytes);
    const u64 within = from.bytes - part.start;
    length = std::min(length, part.length - within);
    if (part.file == nullptr) {
        return length;
    }
    if (auto ready = prepare_write(part); !ready) {
        return std::move(ready).error();
    }
    if (part.sparse) {
        return part.sparse->place_zeroes(within, length, !has_backing());
    }
    if (auto done = part.file->zero({part.flat_at + within}, length); !done) {
        return std::move(done).error();
    }
    return length;
}

const SparseExtent* VmdkImage::only_sparse() const
{
    return parts_.size() == 1 ? parts_.front().sparse.get() : nullptr;
}

std::optional<Image::Packing> VmdkImage::packing() const
{
    const SparseExtent* sparse = only_sparse();
    if (sparse == nullptr || !sparse->geometry().packed) {
        return std::nullopt;
    }
    return Packing{
        .block_size = sparse->geometry().grain_bytes(), .codec = Codec::zlib, .always = true};
}

Status VmdkImage::write_packed(GuestOffset block, std::span<const u8> packed)
{
    if (block.bytes >= size_ || !packing()) {
        return fail(Errc::invalid_argument, "this is not a grain to be compressed");
    }
    if (auto ready = prepare_write(parts_.front()); !ready) {
        return ready;
    }
    return parts_.front().sparse->write_packed(block.bytes, packed);
}

Status VmdkImage::flush()
{
    for (const Part& part : parts_) {
        if (part.file == nullptr || part.file->read_only()) {
            continue;
        }
        if (auto done = part.sparse ? part.sparse->flush() : part.file->flush(); !done) {
            return done;
        }
    }
    return file_->flush();
}

Status VmdkImage::check_backing(Image& backing)
{
    const auto* parent = dynamic_cast<VmdkImage*>(&backing);
    if (parent == nullptr || parent->cid() != descriptor_.parent_cid) {
        return fail(Errc::invalid_argument,
                    fmt::format("the content ID of the parent '{}' is not {:08x}, as it was when "
                                "this disk was made: its data may not fit",
                                descriptor_.parent_name, descriptor_.parent_cid));
    }
    return base::ok();
}

std::vector<std::pair<std::string, const ByteSource*>> VmdkImage::further_files() const
{
    std::vector<std::pair<std::string, const ByteSource*>> files;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        if (parts_[i].own) {
            files.emplace_back(fmt::format("extents.{}", i), parts_[i].own.get());
        }
    }
    return files;
}

u64 VmdkImage::allocated()
{
    u64 bytes = file_->allocated();
    for (const Part& part : parts_) {
        bytes += part.own ? part.own->allocated() : 0;
    }
    return bytes;
}

/// The grain of all extents, 0 when they differ.
u64 VmdkImage::common_grain() const
{
    u64 grain = 0;
    for (const Part& part : parts_) {
        const u64 own = part.sparse ? part.sparse->geometry().grain_bytes() : 0;
        if (own == 0 || (grain != 0 && own != grain)) {
            return 0;
        }
        grain = own;
    }
    return grain;
}

ImageInfo VmdkImage::info()
{
    using enum Property::Kind;
    ImageInfo info{.format = "vmdk",
                   .size = size_,
                   .cluster_size = common_grain(),
                   .has_compressed = packing().has_value(),
                   .backing_name = descriptor_.parent_name,
                   .backing_format = has_backing() ? "vmdk" : ""};
    info.specific.push_back({"cid", std::to_string(descriptor_.cid), number});
    info.specific.push_back({"parent-cid", std::to_string(descriptor_.parent_cid), number});
    info.specific.push_back({"create-type", type_, string});
    Property extents{.key = "extents", .text = "", .kind = list};
    for (const Part& part : parts_) {
        Property extent{.key = "", .text = "", .kind = object};
        if (part.sparse && part.sparse->geometry().packed) {
            extent.members.push_back({"compressed", "true", boolean});
        }
        extent.members.push_back({"virtual-size", std::to_string(part.length), number});
        extent.members.push_back(
            {"filename", part.file != nullptr ? part.file->name() : "", string});
        if (part.sparse) {
            extent.members.push_back(
                {"cluster-size", std::to_string(part.sparse->geometry().grain_bytes()), number});
        }
        extent.members.push_back({"format", part.type, string});
        extents.members.push_back(std::move(extent));
    }
    info.specific.push_back(std::move(extents));
    return info;
}

Result<CheckReport> VmdkImage::check(Repair repair, const ProblemSink& problem)
{
    CheckReport report;
    for (const Part& part : parts_) {
        if (part.sparse) {
            if (auto done = part.sparse->check(repair, problem, report); !done) {
                return std::move(done).error();
            }
        } else if (part.file != nullptr && part.file->size() < part.flat_at + part.length) {
            problem(fmt::format("ERROR: '{}' is shorter than its extent", part.file->name()));
            ++report.corruptions;
        }
    }
    return report;
}

} // namespace img::vmdk
