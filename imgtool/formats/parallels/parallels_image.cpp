// Reading and writing Parallels images.
//
// New clusters go behind the last one that the BAT has; what lies there already was left by a
// crash. The in-use mark is set before the first change and taken away when the image is closed, so
// an image that was not closed says so.
#include "imgtool/formats/parallels/parallels_image.hpp"

#include "base/endian.hpp"

#include <algorithm>

namespace img::parallels {

namespace {

using base::Errc;
using base::fail;

} // namespace

ParallelsImage::ParallelsImage(std::unique_ptr<ByteSource> file, const Header& header)
    : FlatImage{std::move(file),
                {.size = header.sectors * kSector,
                 .block_size = header.cluster_size(),
                 .table_at = kHeaderBytes,
                 .entries = header.entries,
                 .no_block = 0,
                 .missing = Extent::Kind::backing}},
      header_{header}
{}

ParallelsImage::~ParallelsImage()
{
    if (writing() && flush()) { // whoever cares for the result has called flush() before
        (void)set_in_use(0);
    }
}

Result<std::unique_ptr<Image>> ParallelsImage::open(std::unique_ptr<ByteSource> file,
                                                    OpenContext& context)
{
    std::array<u8, kHeaderBytes> start{};
    if (auto read = read_padded(*file, FileOffset{0}, start); !read) {
        return std::move(read).error();
    }
    auto header = parse_header(start, file->size());
    if (!header) {
        return std::move(header).error();
    }
    if (header.value().in_use == kInUse && context.purpose == OpenFor::use && !file->read_only()) {
        return fail(Errc::corrupt, "parallels: Image was not closed correctly; cannot be opened "
                                   "read/write");
    }
    return std::unique_ptr<Image>{new ParallelsImage{std::move(file), header.value()}};
}

ImageInfo ParallelsImage::info()
{
    return {.format = "parallels", .size = size(), .has_dirty_flag = false};
}

std::optional<u64> ParallelsImage::block_at(u32 entry) const
{
    if (entry == 0) {
        return std::nullopt;
    }
    return entry * header_.unit();
}

u32 ParallelsImage::entry_for(u64 at) const
{
    return static_cast<u32>(at / header_.unit());
}

Status ParallelsImage::check_block(u64 at)
{
    if (at < table_end() || at > file().size()) {
        return fail(Errc::corrupt, "parallels: Preventing invalid write: a BAT entry names no "
                                   "place for data");
    }
    return base::ok();
}

/// Whether the clusters of a Format Extension must stay as they are.
Result<bool> ParallelsImage::keeps_extension()
{
    constexpr u64 kMostRead = u64{1} << 20;
    const u64 at = header_.extension * kSector; // wraps only for what lies outside the file
    if (header_.extension == 0 || header_.extension >= file().size() / kSector) {
        return false;
    }
    std::vector<u8> cluster(std::min(block_size(), kMostRead));
    if (auto read = read_padded(file(), FileOffset{at}, cluster); !read) {
        return std::move(read).error();
    }
    auto extension = parse_extension(cluster);
    if (!extension) {
        return false; // "if there is an error on loading the extension, [it] should be dropped"
    }
    if (extension.value().necessary) {
        return fail(Errc::unsupported, "parallels: the image has a necessary Format Extension and "
                                       "cannot be written");
    }
    return extension.value().transit;
}

/// Format Extensions that we cannot keep right are dropped, as the specification asks: a dirty
/// bitmap that misses our writes would be worse than none.
Status ParallelsImage::begin_writing()
{
    auto keeps = keeps_extension();
    if (!keeps) {
        return std::move(keeps).error();
    }
    auto page = header_for_write();
    if (!page) {
        return std::move(page).error();
    }
    if (!keeps.value()) {
        header_.extension = 0;
        base::store_le<u64>(page.value(), kFieldExtension, 0);
    }
    if (auto done = set_in_use(kInUse); !done) {
        return done;
    }
    return file().flush();
}

Status ParallelsImage::set_in_use(u32 mark)
{
    auto page = header_for_write();
    if (!page) {
        return std::move(page).error();
    }
    header_.in_use = mark;
    base::store_le<u32>(page.value(), kFieldInUse, mark);
    return store_header();
}

/// Finds the end of the clusters that are in use.
Status ParallelsImage::find_end()
{
    u64 end = std::max(header_.data_at(), table_end());
    for (u64 i = 0; i < entries(); ++i) {
        auto entry = load_entry(i);
        if (!entry) {
            return std::move(entry).error();
        }
        if (const auto at = block_at(entry.value())) {
            if (*at > file().size()) {
                return fail(Errc::corrupt, "parallels: a BAT entry lies outside the image, which "
                                           "must be repaired before it is written");
            }
            end = std::max(end, *at + block_size());
        }
    }
    if (header_.extension != 0) {
        end = std::max(end, file().size()); // its clusters are somewhere
    }
    // "the result of (cluster offset - data offset) must be aligned to cluster size"; in extended
    // images entries count clusters from the file's start.
    const u64 origin = header_.extended ? 0 : std::min(header_.data_at(), end);
    end_ = origin + (end - origin + block_size() - 1) / block_size() * block_size();
    return base::ok();
}

Result<FlatImage::Run> ParallelsImage::take(u64 count)
{
    if (end_ == 0) {
        if (auto found = find_end(); !found) {
            return std::move(found).error();
        }
    }
    const u64 last = end_ + (count - 1) * block_size();
    if (last / header_.unit() > UINT32_MAX) {
        return fail(Errc::unsupported, "the Parallels image cannot grow any further");
    }
    const Run run{end_, count};
    end_ += count * block_size();
    return run;
}

void ParallelsImage::give_back(const Run& run)
{
    if (run.at + run.count * block_size() == end_) {
        end_ = run.at;
    }
}

} // namespace img::parallels
