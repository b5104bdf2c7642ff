#include "emulator/devices/display/pci_vga.hpp"

namespace emu::devices::display {

namespace {

constexpr u64 kRegisters = 4096; // bytes of BAR 2
constexpr u64 kPorts = 0x400;
constexpr u64 kPortsEnd = 0x420;
constexpr u64 kFirstPort = 0x3c0;
constexpr u64 kDispi = 0x500;
constexpr u64 kDispiEnd = kDispi + 2 * VbeDispi::count;

constexpr pci::PciIdentity kIdentity{.vendor = 0x1234,
                                     .device = 0x1111,
                                     .class_code = 0x03'00'00,
                                     .revision = 2,
                                     .subsystem_vendor = 0x1af4,
                                     .subsystem = 0x1100,
                                     .command_mask = 0x0003};

} // namespace

PciVga::PciVga(Fabric fabric, Vga& vga, RamBlock& vram, RamBlock* rom)
    : PciDevice{fabric, kIdentity}, vga_{vga}, edid_{make_edid()}
{
    add_ram_bar(0, vram);
    add_mmio_bar(2, kRegisters, *this);
    if (rom != nullptr) {
        add_rom(*rom);
    }
}

u64 PciVga::mmio_read(u64 offset, unsigned size)
{
    if (offset + size <= edid_.size()) {
        u64 value = 0;
        for (unsigned i = 0; i < size; ++i) {
            value |= u64{edid_[offset + i]} << (8 * i);
        }
        return value;
    }
    if (offset >= kDispi && offset < kDispiEnd && size <= 2) {
        const u16 value = vga_.dispi().read(static_cast<u16>((offset - kDispi) / 2));
        return size == 2 ? value : value >> (8 * (offset & 1)) & 0xff;
    }
    if (offset >= kPorts && offset + size <= kPortsEnd) {
        return vga_.io_read(offset - kPorts + kFirstPort, size);
    }
    return 0;
}

void PciVga::mmio_write(u64 offset, unsigned size, u64 value)
{
    if (offset >= kDispi && offset < kDispiEnd && size == 2) {
        vga_.write_dispi(static_cast<u16>((offset - kDispi) / 2), static_cast<u16>(value));
    } else if (offset >= kPorts && offset + size <= kPortsEnd) {
        vga_.io_write(offset - kPorts + kFirstPort, size, static_cast<u32>(value));
    }
}

} // namespace emu::devices::display
