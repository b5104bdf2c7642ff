#include "emulator/devices/block/geometry.hpp"

#include "base/endian.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace emu::devices::block {

namespace {

constexpr u64 kSector = 512;

struct Logical {
    u64 cylinders;
    unsigned heads;
    unsigned sectors;
};

/// The end of the first used partition is on the last head and sector of a cylinder, as
/// partitioning programs have always aligned them.
std::optional<Logical> from_partition_table(img::Disk& disk, u64 total_sectors)
{
    std::array<u8, kSector> mbr{};
    if (total_sectors == 0 || !disk.read(0, mbr)) {
        return std::nullopt;
    }
    if (mbr[510] != 0x55 || mbr[511] != 0xaa) {
        return std::nullopt;
    }
    for (std::size_t entry = 446; entry < 510; entry += 16) {
        const auto length = base::load_le<base::u32>(mbr, entry + 12);
        const unsigned heads = mbr[entry + 5] + 1u;
        const unsigned sectors = mbr[entry + 6] & 63;
        if (length == 0 || heads == 1 || sectors == 0) {
            continue;
        }
        const u64 cylinders = total_sectors / (u64{heads} * sectors);
        if (cylinders >= 1 && cylinders <= 16383) {
            return Logical{cylinders, heads, sectors};
        }
    }
    return std::nullopt;
}

} // namespace

Geometry default_geometry(u64 sectors)
{
    const u64 cylinders = std::clamp<u64>(sectors / (16 * 63), 2, 16383);
    return {static_cast<u16>(cylinders), 16, 63};
}

DiskGeometry choose_geometry(img::Disk& disk)
{
    const u64 sectors = disk.size() / kSector;
    const std::optional<Logical> logical = from_partition_table(disk, sectors);
    const Geometry fallback = default_geometry(sectors);
    if (!logical) {
        const bool fits = fallback.cylinders <= 1024;
        return {fallback, fits ? Translation::none : Translation::lba};
    }
    if (logical->heads > 16) {
        // The table was made with translated heads: LARGE doubles heads up to 128, LBA goes to 255.
        const bool large = u64{fallback.cylinders} * fallback.heads <= 131072;
        return {fallback, large ? Translation::large : Translation::lba};
    }
    return {{static_cast<u16>(logical->cylinders), static_cast<u8>(logical->heads),
             static_cast<u8>(logical->sectors)},
            Translation::none};
}

} // namespace emu::devices::block
