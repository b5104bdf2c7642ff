// Multiboot kernel files: what of them goes where in memory.
//
// Source: Multiboot Specification 0.6.96, section 3.1 "OS image format"; "Tool Interface Standard
// Portable Formats Specification" (ELF), version 1.1.
// Modelled: 32-bit x86 ELF executables and images with the header's address fields (a.out kludge).
// Not modelled: ELF symbols for the kernel; 64-bit ELF files without address fields (refused).
#pragma once

#include "base/result.hpp"
#include "emulator/machine/device.hpp"

#include <optional>
#include <span>
#include <vector>

namespace emu::devices {

/// Memory [address, address + memory_size): the bytes of the file first, zeroes behind them.
struct MultibootSegment {
    u32 address = 0;
    u32 memory_size = 0;
    std::span<const u8> bytes;
};

/// The video mode that a kernel prefers; zero means any.
struct MultibootVideo {
    bool text = false;
    u32 width = 0;
    u32 height = 0;
    u32 depth = 0; // bits per pixel
};

struct MultibootImage {
    std::vector<MultibootSegment> segments; // of the file that was parsed
    u32 entry = 0;                          // physical
    std::optional<MultibootVideo> video;
};

/// The file has a Multiboot header, whether it can be started or not.
bool is_multiboot_kernel(std::span<const u8> file);

/// Errors: `wrong_format` without a header, `unsupported` for what the kernel demands and we have
/// not, `corrupt` when something lies outside the file or the 32-bit address space.
base::Result<MultibootImage> parse_multiboot(std::span<const u8> file);

} // namespace emu::devices
