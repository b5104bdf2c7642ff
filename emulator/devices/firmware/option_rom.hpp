// Option ROMs of our own: the parts of option_rom.nasm that are filled in here.
#pragma once

#include "emulator/machine/device.hpp"

#include <span>
#include <vector>

namespace emu::devices {

/// The assembled ROM with the checksums of its Plug and Play header and of its whole.
std::vector<u8> finish_option_rom(std::span<const u8> assembled);

} // namespace emu::devices
