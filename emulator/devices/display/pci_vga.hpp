// The VGA as a PCI card: 1234:1111 with a linear frame buffer, registers in memory and an option
// ROM.
//
// Source: "QEMU Standard VGA" register description (docs/specs/standard-vga): BAR 2 holds the
// monitor's EDID at 0, the VGA ports from 3C0h at 400h and the DISPI registers at 500h.
#pragma once

#include "emulator/devices/display/edid.hpp"
#include "emulator/devices/display/vga.hpp"
#include "emulator/devices/pci/pci_device.hpp"

#include <memory>

namespace emu::devices::display {

class PciVga final : public pci::PciDevice, public MmioHandler {
public:
    /// `rom` may be null. The VGA itself is another device of the board; `vram` is its memory.
    PciVga(Fabric fabric, Vga& vga, RamBlock& vram, RamBlock* rom);

    std::string_view name() const override { return "pci-vga"; }
    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

private:
    void reset_device() override {}
    void visit_device(StateVisitor&) override {}

    Vga& vga_;
    std::array<u8, 128> edid_;
};

} // namespace emu::devices::display
