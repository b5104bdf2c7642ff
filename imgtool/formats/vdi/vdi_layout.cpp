#include "imgtool/formats/vdi/vdi_layout.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img::vdi {

namespace {

using base::Errc;
using base::fail;

// For people and file(1), which knows this one; nothing else looks at it.
constexpr std::string_view kText = "<<< QEMU VM Virtual Disk Image >>>\n";

/// Where the fields are in the file.
namespace field {
constexpr std::size_t signature = 0x40, version = 0x44, header_size = 0x48, type = 0x4c,
                      map_at = 0x154, data_at = 0x158, sector_size = 0x168, disk_size = 0x170,
                      block_size = 0x178, blocks = 0x180, allocated = kFieldAllocated,
                      image_id = 0x188, snapshot_id = 0x198, link_id = 0x1a8, parent_id = 0x1b8;
}

std::array<u8, 16> load_id(std::span<const u8> start, std::size_t at)
{
    std::array<u8, 16> id{};
    std::copy_n(start.begin() + static_cast<std::ptrdiff_t>(at), id.size(), id.begin());
    return id;
}

bool is_null(const std::array<u8, 16>& id)
{
    return std::ranges::all_of(id, [](u8 byte) { return byte == 0; });
}

base::Error unsupported(const std::string& what)
{
    return fail(Errc::unsupported, "unsupported VDI image (" + what + ")");
}

/// The checks are in the order in which qemu-img makes them, so that the same is refused first.
Status check_header(const Header& h)
{
    if (h.disk_size > kMaxSize) {
        return fail(Errc::unsupported, fmt::format("Unsupported VDI image size (size is {:#x}, max "
                                                   "supported is {:#x})",
                                                   h.disk_size, kMaxSize));
    }
    if (h.version != 0x0001'0001) {
        return unsupported(fmt::format("version {}.{}", h.version >> 16, h.version & 0xffff));
    }
    if (h.map_at % 512 != 0) {
        return unsupported(fmt::format("unaligned block map offset {:#x}", h.map_at));
    }
    if (h.data_at % 512 != 0) {
        return unsupported(fmt::format("unaligned data offset {:#x}", h.data_at));
    }
    if (h.sector_size != 512) {
        return unsupported(fmt::format("sector size {} is not 512", h.sector_size));
    }
    if (h.block_size != kBlockSize) {
        return unsupported(fmt::format("block size {} is not {}", h.block_size, kBlockSize));
    }
    const u64 room = u64{h.blocks} * kBlockSize;
    if ((h.disk_size + 511) / 512 * 512 > room) {
        return unsupported(
            fmt::format("disk size {}, image bitmap has room for {}", h.disk_size, room));
    }
    if (!is_null(h.link_id)) {
        return unsupported("non-NULL link UUID");
    }
    if (!is_null(h.parent_id)) {
        return unsupported("non-NULL parent UUID");
    }
    if (h.blocks > kMaxBlocks) {
        return unsupported(fmt::format("too many blocks {}, max is {}", h.blocks, kMaxBlocks));
    }
    return base::ok();
}

} // namespace

bool has_signature(std::span<const u8> start)
{
    return start.size() >= kHeaderBytes &&
           base::load_le<u32>(start, field::signature) == Header{}.signature;
}

Result<Header> parse_header(std::span<const u8> start)
{
    using base::load_le;
    if (start.size() < kHeaderBytes) {
        return fail(Errc::wrong_format, "Image not in VDI format: the file is too short");
    }
    Header h;
    h.signature = load_le<u32>(start, field::signature);
    h.version = load_le<u32>(start, field::version);
    h.header_size = load_le<u32>(start, field::header_size);
    h.type = load_le<u32>(start, field::type);
    h.map_at = load_le<u32>(start, field::map_at);
    h.data_at = load_le<u32>(start, field::data_at);
    h.sector_size = load_le<u32>(start, field::sector_size);
    h.disk_size = load_le<u64>(start, field::disk_size);
    h.block_size = load_le<u32>(start, field::block_size);
    h.blocks = load_le<u32>(start, field::blocks);
    h.allocated = load_le<u32>(start, field::allocated);
    h.image_id = load_id(start, field::image_id);
    h.snapshot_id = load_id(start, field::snapshot_id);
    h.link_id = load_id(start, field::link_id);
    h.parent_id = load_id(start, field::parent_id);
    if (h.disk_size <= kMaxSize && h.signature != Header{}.signature) {
        return fail(Errc::wrong_format,
                    fmt::format("Image not in VDI format (bad signature {:08x})", h.signature));
    }
    if (auto good = check_header(h); !good) {
        return std::move(good).error();
    }
    if (h.map_at < kHeaderBytes) {
        return fail(Errc::corrupt, "the VDI image's block map lies on its header");
    }
    h.disk_size = (h.disk_size + 511) / 512 * 512; // VirtualBox makes disks of any size
    return h;
}

std::array<u8, kHeaderBytes> encode_header(const Header& h)
{
    using base::store_le;
    std::array<u8, kHeaderBytes> start{};
    std::ranges::copy(kText, start.begin());
    store_le<u32>(start, field::signature, h.signature);
    store_le<u32>(start, field::version, h.version);
    store_le<u32>(start, field::header_size, h.header_size);
    store_le<u32>(start, field::type, h.type);
    store_le<u32>(start, field::map_at, h.map_at);
    store_le<u32>(start, field::data_at, h.data_at);
    store_le<u32>(start, field::sector_size, h.sector_size);
    store_le<u64>(start, field::disk_size, h.disk_size);
    store_le<u32>(start, field::block_size, h.block_size);
    store_le<u32>(start, field::blocks, h.blocks);
    store_le<u32>(start, field::allocated, h.allocated);
    std::ranges::copy(h.image_id, start.begin() + field::image_id);
    std::ranges::copy(h.snapshot_id, start.begin() + field::snapshot_id);
    return start;
}

} // namespace img::vdi
