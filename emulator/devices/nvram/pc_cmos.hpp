// What PC firmware finds in the battery-backed RAM: the AT's layout and the entries by which a
// virtual machine's BIOS (SeaBIOS) learns memory sizes and the boot order.
//
// Sources: IBM "Personal Computer AT Technical Reference" (6280070), "CMOS RAM Address Map";
// SeaBIOS documentation, "Runtime configuration", and its list of CMOS registers.
#pragma once

#include "emulator/devices/nvram/mc146818.hpp"

namespace emu::devices {

/// Values of the floppy nibbles of register 10h.
enum class FloppyDrive : u8 { none = 0, k360 = 1, k1200 = 2, k720 = 3, k1440 = 4, k2880 = 5 };

enum class BootDevice : u8 { none = 0, floppy = 1, hard_disk = 2, cdrom = 3, network = 4 };

struct PcCmosConfig {
    u64 ram_below_4g = 0; // bytes, from address 0
    u64 ram_above_4g = 0; // bytes
    std::array<FloppyDrive, 2> floppies{FloppyDrive::none, FloppyDrive::none};
    std::array<BootDevice, 3> boot_order{BootDevice::floppy, BootDevice::hard_disk,
                                         BootDevice::cdrom};
    bool check_floppy_signature = true; // the boot sector must end in 55 AA
    u8 cpus = 1;
};

void fill_pc_cmos(Mc146818& cmos, const PcCmosConfig& config);

} // namespace emu::devices
