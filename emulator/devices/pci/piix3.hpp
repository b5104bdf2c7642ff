// Intel 82371SB (PIIX3) function 0: the PCI to ISA bridge.
//
// Source: "82371FB (PIIX) and 82371SB (PIIX3) PCI ISA IDE Xcelerator", order number 290550,
// sections 2.2 (PCI configuration registers, function 0) and 2.5.5 (reset control, CF9h).
// Modelled: steering of PIRQA#-PIRQD# to ISA interrupts, hard and soft reset.
// Not modelled: ISA timing, positive decode and motherboard DMA registers (they read as written).
#pragma once

#include "emulator/devices/pci/pci_device.hpp"

namespace emu::devices::pci {

class Piix3 final : public PciDevice, public IoHandler {
public:
    struct Wiring {
        std::array<Wire, 16> isa_irqs; // driven by steered PCI interrupts only
        Wire hard_reset;               // pulsed: CPU, PCI and ISA
        Wire soft_reset;               // pulsed: INIT, the CPU alone
    };

    Piix3(Fabric fabric, Wiring wiring);

    std::string_view name() const override { return "piix3"; }

    /// Level of PIRQA# (0) to PIRQD# (3).
    void set_pirq(unsigned line, bool level);

    /// Port CF9h, the reset control register.
    u32 io_read(u64 port, unsigned size) override;
    void io_write(u64 port, unsigned size, u32 value) override;

private:
    void reset_device() override;
    void visit_device(StateVisitor& visitor) override;
    void config_changed(u8 offset, unsigned size) override;
    void update_irqs();

    Wiring wiring_;
    std::array<bool, 4> pirq_levels_{};
    u16 driven_ = 0; // ISA interrupts held up by us, one bit each
    u8 reset_control_ = 0;
};

} // namespace emu::devices::pci
