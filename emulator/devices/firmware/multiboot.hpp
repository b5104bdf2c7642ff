// Starting a Multiboot kernel directly (`-kernel`): kernel, modules and boot information go into
// fw_cfg, and an option ROM that the firmware runs (multiboot_rom.asm) puts them into memory, adds
// the firmware's memory map and video mode, and enters the kernel.
//
// Source: Multiboot Specification 0.6.96, section 3.
// Given: memory sizes and map, command line, modules, boot loader name; VBE and framebuffer when
// the kernel asks for a video mode. Not given: boot device, drives, ROM configuration table, APM.
#pragma once

#include "emulator/devices/firmware/fw_cfg.hpp"

namespace emu::devices {

struct BootModule {
    std::string text; // what the kernel is told about it
    std::vector<u8> bytes;
};

struct MultibootConfig {
    std::vector<u8> kernel; // the image file
    std::string command_line;
    std::vector<BootModule> modules;
    u64 ram_below_4g = 0; // bytes
};

/// The file is a Multiboot kernel and none of Linux's, which comes first.
bool starts_by_multiboot(std::span<const u8> kernel);

/// Put this first into PcFirmwareConfig::boot_order.
inline constexpr std::string_view kMultibootPath = "/rom@genroms/multiboot.bin";

/// Checks the kernel, finds places for everything and adds all items. Errors: those of
/// parse_multiboot(), and `invalid_argument` when something does not fit.
base::Status add_multiboot(FwCfg& fw_cfg, MultibootConfig config);

/// The option ROM with its checksums.
std::vector<u8> multiboot_rom();

} // namespace emu::devices
