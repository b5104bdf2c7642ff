#include "imgtool/formats/vpc/bitmaps.hpp"

namespace img::vpc {

namespace {

u8 mask_of(u64 sector)
{
    return static_cast<u8>(0x80u >> (sector % 8));
}

} // namespace

Result<Bitmaps::Run> Bitmaps::run_at(FileOffset bitmap, u64 sector, u64 limit)
{
    auto slice = cache_.get(bitmap.bytes);
    if (!slice) {
        return std::move(slice).error().in("reading a sector bitmap");
    }
    const std::span<const u8> bits = slice.value();
    const bool own = (bits[sector / 8] & mask_of(sector)) != 0;
    const u8 alike = own ? 0xff : 0;
    u64 end = sector + 1;
    while (end < sector + limit) {
        if (end % 8 == 0 && bits[end / 8] == alike) {
            end += 8;
        } else if (((bits[end / 8] & mask_of(end)) != 0) == own) {
            ++end;
        } else {
            break;
        }
    }
    return Run{own, std::min(end - sector, limit)};
}

Status Bitmaps::mark(FileOffset bitmap, u64 sector, u64 count)
{
    auto slice = cache_.get_for_write(bitmap.bytes);
    if (!slice) {
        return std::move(slice).error().in("reading a sector bitmap");
    }
    for (u64 i = sector; i < sector + count; ++i) {
        slice.value()[i / 8] |= mask_of(i);
    }
    return base::ok();
}

} // namespace img::vpc
