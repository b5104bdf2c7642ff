#include "emulator/devices/nvram/pc_cmos.hpp"

#include <algorithm>

namespace emu::devices {

namespace {

using namespace base;

void set_word(Mc146818& cmos, u8 index, u64 value)
{
    const u64 clipped = std::min<u64>(value, 0xffff);
    cmos.set_byte(index, static_cast<u8>(clipped));
    cmos.set_byte(static_cast<u8>(index + 1), static_cast<u8>(clipped >> 8));
}

void set_memory(Mc146818& cmos, const PcCmosConfig& config)
{
    const u64 below = config.ram_below_4g;
    set_word(cmos, 0x15, 640); // base memory, KiB
    const u64 extended = below > 1_MiB ? std::min((below - 1_MiB) / 1_KiB, 64_MiB / 1_KiB - 1) : 0;
    set_word(cmos, 0x17, extended); // KiB above 1 MiB, as set up
    set_word(cmos, 0x30, extended); // and as found by the memory test
    set_word(cmos, 0x34, below > 16_MiB ? (below - 16_MiB) / 64_KiB : 0);
    const u64 above = config.ram_above_4g / 64_KiB;
    cmos.set_byte(0x5b, static_cast<u8>(above));
    cmos.set_byte(0x5c, static_cast<u8>(above >> 8));
    cmos.set_byte(0x5d, static_cast<u8>(above >> 16));
}

void set_drives(Mc146818& cmos, const PcCmosConfig& config)
{
    const auto first = static_cast<u8>(config.floppies[0]);
    const auto second = static_cast<u8>(config.floppies[1]);
    cmos.set_byte(0x10, static_cast<u8>(first << 4 | second));
    const unsigned drives = (first != 0 ? 1 : 0) + (second != 0 ? 1 : 0);
    // Equipment: coprocessor, pointing device, EGA/VGA (bits 5:4 zero), drives less one in 7:6.
    const unsigned floppies = drives == 0 ? 0 : 1 | (drives - 1) << 6;
    cmos.set_byte(0x14, static_cast<u8>(0x06 | floppies));

    const auto boot = [&](unsigned i) { return static_cast<unsigned>(config.boot_order[i]); };
    cmos.set_byte(0x3d, static_cast<u8>(boot(1) << 4 | boot(0)));
    cmos.set_byte(0x38, static_cast<u8>(boot(2) << 4 | (config.check_floppy_signature ? 0 : 1)));
}

} // namespace

void fill_pc_cmos(Mc146818& cmos, const PcCmosConfig& config)
{
    set_memory(cmos, config);
    set_drives(cmos, config);
    cmos.set_byte(0x0e, 0); // diagnostic status: all well
    cmos.set_byte(0x0f, 0); // shutdown status: a normal power-on
    cmos.set_byte(0x5f, static_cast<u8>(std::max<u8>(config.cpus, 1) - 1));
    unsigned sum = 0; // of 10h to 2Dh, high byte first
    for (u8 index = 0x10; index <= 0x2d; ++index) {
        sum += cmos.byte(index);
    }
    cmos.set_byte(0x2e, static_cast<u8>(sum >> 8));
    cmos.set_byte(0x2f, static_cast<u8>(sum));
}

} // namespace emu::devices
