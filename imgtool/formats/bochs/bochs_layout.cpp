#include "imgtool/formats/bochs/bochs_layout.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <bit>
#include <string_view>

namespace img::bochs {

namespace {

using base::Errc;
using base::fail;
using base::load_le;

constexpr u32 kVersion1 = 0x0001'0000;
constexpr u32 kVersion2 = 0x0002'0000;

bool has_text(std::span<const u8> start, std::size_t at, std::string_view text)
{
    const auto there = start.subspan(at, text.size() + 1);
    return std::string_view{reinterpret_cast<const char*>(there.data()), text.size()} == text &&
           there.back() == 0;
}

} // namespace

bool is_growing(std::span<const u8> start)
{
    if (start.size() < kHeaderSize || !has_text(start, 0, "Bochs Virtual HD Image") ||
        !has_text(start, 32, "Redolog") || !has_text(start, 48, "Growing")) {
        return false;
    }
    const u32 version = load_le<u32>(start, 64);
    return version == kVersion1 || version == kVersion2;
}

base::Result<Header> parse_header(std::span<const u8> start)
{
    if (!is_growing(start)) {
        return fail(Errc::wrong_format, "Image not in Bochs format");
    }
    // Version 2 has a time stamp before the disk's size.
    const bool v1 = load_le<u32>(start, 64) == kVersion1;
    Header h{.header_size = load_le<u32>(start, 68),
             .catalog = load_le<u32>(start, 72),
             .bitmap = load_le<u32>(start, 76),
             .extent = load_le<u32>(start, 80),
             .disk = load_le<u64>(start, v1 ? 84 : 88)};
    if (h.catalog > kMaxCatalog) {
        return fail(Errc::corrupt, "Catalog size is too large");
    }
    if (h.extent < kSector) {
        return fail(Errc::corrupt, fmt::format("Extent size must be at least {}", kSector));
    }
    if (!std::has_single_bit(h.extent)) {
        return fail(Errc::corrupt, fmt::format("Extent size {} is not a power of two", h.extent));
    }
    if (h.extent > kMaxExtent) {
        return fail(Errc::corrupt, fmt::format("Extent size {} is too large", h.extent));
    }
    h.disk = h.disk / kSector * kSector;
    if (h.catalog < h.disk / h.extent + (h.disk % h.extent != 0)) {
        return fail(Errc::corrupt, "Catalog size is too small for this disk size");
    }
    if (u64{h.bitmap} * 8 < h.extent / kSector) {
        return fail(Errc::corrupt, fmt::format("Bitmap size {} is too small", h.bitmap));
    }
    return h;
}

} // namespace img::bochs
