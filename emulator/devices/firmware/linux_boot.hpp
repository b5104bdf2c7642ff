// Booting a Linux kernel directly (`-kernel`): the parts go into fw_cfg, and an option ROM that the
// firmware runs copies them into place. So the kernel finds BIOS services, ACPI and the memory map
// as on any boot.
//
// Source: Linux documentation, "The Linux/x86 Boot Protocol" (Documentation/arch/x86/boot.rst).
// Supported: bzImage and zImage files of boot protocol 2.00 and later.
#pragma once

#include "emulator/devices/firmware/fw_cfg.hpp"

namespace emu::devices {

struct LinuxBootConfig {
    std::vector<u8> kernel; // the image file
    std::vector<u8> initrd; // may be empty
    std::string command_line;
    u64 ram_below_4g = 0; // bytes
};

/// Put this first into PcFirmwareConfig::boot_order.
inline constexpr std::string_view kLinuxBootPath = "/rom@genroms/linuxboot.bin";

/// The file has the header of a Linux kernel, whether it can be started or not.
bool is_linux_kernel(std::span<const u8> file);

/// Checks the kernel, adapts its header and adds all items. Errors: `wrong_format` for a file that
/// is no Linux kernel, `unsupported` for older protocols, `corrupt`, `invalid_argument` when
/// something does not fit.
base::Status add_linux_boot(FwCfg& fw_cfg, LinuxBootConfig config);

/// The option ROM with its checksums.
std::vector<u8> linux_boot_rom();

} // namespace emu::devices
