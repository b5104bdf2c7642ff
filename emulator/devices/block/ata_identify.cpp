// IDENTIFY DEVICE data, ATA-6 section 8.15, word by word.
#include "emulator/devices/block/ata_disk.hpp"

#include <algorithm>

namespace emu::devices::block {

namespace {

constexpr u16 kMaxMultipleWord = 0x8010; // 16 sectors
constexpr u16 kLbaSupported = 0x0200;
constexpr u16 kDmaSupported = 0x0100;
constexpr u16 kIordySupported = 0x0800;

} // namespace

std::vector<u8> AtaDisk::identify_data() const
{
    std::vector<u8> data(kSector, 0);
    const std::span<u8> bytes{data};
    const auto set = [&](unsigned index, u64 value) {
        put_word(bytes, index, static_cast<u16>(value));
    };
    const auto set_double = [&](unsigned index, u64 value) {
        set(index, value);
        set(index + 1, value >> 16);
    };
    const u64 short_sectors = std::min<u64>(sectors_, (u64{1} << 28) - 1);
    const Geometry& fixed = config_.geometry;
    const Geometry& current = translation_;

    set(0, 0x0040); // fixed ATA device
    set(1, fixed.cylinders);
    set(3, fixed.heads);
    set(4, kSector * fixed.sectors); // retired: bytes per track and per sector
    set(5, kSector);
    set(6, fixed.sectors);
    put_ata_string(bytes.subspan(20, 20), config_.serial);
    set(20, 3);   // retired: dual ported buffer
    set(21, 512); // and its size in sectors
    put_ata_string(bytes.subspan(46, 8), "1.0");
    put_ata_string(bytes.subspan(54, 40), config_.model);
    set(47, kMaxMultipleWord);
    set(48, 1); // retired: doubleword I/O works
    set(49, kLbaSupported | kIordySupported | (has_dma() ? kDmaSupported : 0));
    set(50, 0x4000);
    set(51, 0x0200); // PIO cycle timing mode 2
    set(52, 0x0200);
    set(53, 0x0007); // words 54-58, 64-70 and 88 are valid
    set(54, current.cylinders);
    set(55, current.heads);
    set(56, current.sectors);
    set_double(57, u64{current.cylinders} * current.heads * current.sectors);
    set(59, multiple_ != 0 ? 0x0100u | multiple_ : 0u);
    set_double(60, short_sectors);

    const u8 kind = transfer_mode_ >> 3;
    const u16 selected = static_cast<u16>(0x100u << (transfer_mode_ & 7));
    if (has_dma()) {
        set(62, 0x07u | (kind == 2 ? selected : 0u)); // single word DMA 0-2
        set(63, 0x07u | (kind == 4 ? selected : 0u)); // multiword DMA 0-2
        // The PIIX3 has no Ultra DMA timing, so the drive does not offer any.
    }
    set(64, 0x0003); // PIO modes 3 and 4
    set(65, 120);    // nanoseconds a cycle
    set(66, 120);
    set(67, 120);
    set(68, 120);
    set(80, 0x007e); // ATA-1 to ATA-6
    set(82, 0x0060); // write cache, look-ahead
    set(83, 0x7400); // FLUSH CACHE, FLUSH CACHE EXT, 48-bit addresses
    set(84, 0x4000);
    set(85, (write_cache_ ? 0x20u : 0u) | (look_ahead_ ? 0x40u : 0u));
    set(86, 0x3400);
    set(87, 0x4000);
    set(93, 0x6001); // hardware reset result: device 0
    set_double(100, sectors_);
    set_double(102, sectors_ >> 32);
    return data;
}

} // namespace emu::devices::block
