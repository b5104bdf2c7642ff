#include "emulator/boards/device_models.hpp"

#include <algorithm>
#include <array>

namespace emu::boards {

namespace {

// Those that a board always has (chipset, timers, controllers) are not for the command line to add.
constexpr std::array kModels{
    DeviceModel{"VGA", "PCI display adapter with Bochs VBE (romfile=)"},
    DeviceModel{"floppy", "floppy drive on the board's controller"},
    DeviceModel{"ide-cd", "ATAPI CD-ROM drive"},
    DeviceModel{"ide-hd", "ATA hard disk"},
    DeviceModel{"isa-debugcon", "debug console at port E9h"},
    DeviceModel{"isa-parallel", "parallel port at 378h"},
    DeviceModel{"isa-serial", "16550A serial port"},
    DeviceModel{"isa-vga", "ISA display adapter with Bochs VBE"},
};
static_assert(std::ranges::is_sorted(kModels, {}, &DeviceModel::name));

} // namespace

std::span<const DeviceModel> known_device_models()
{
    return kModels;
}

const DeviceModel* find_device_model(std::string_view name)
{
    const auto row = std::ranges::find(kModels, name, &DeviceModel::name);
    return row == kModels.end() ? nullptr : &*row;
}

} // namespace emu::boards
