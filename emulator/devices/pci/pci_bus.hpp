// PCI bus 0 and configuration mechanism 1 (ports CF8h and CFCh).
//
// Source: "PCI Local Bus Specification", revision 2.1, section 3.7.4.1 (configuration mechanism
// #1). Bridges and buses other than 0 do not exist: their configuration space reads as all ones.
#pragma once

#include "emulator/devices/pci/pci_device.hpp"

namespace emu::devices::pci {

class PciBus final : public Device, public IoHandler {
public:
    static constexpr u16 kAddressPort = 0xcf8;
    static constexpr u16 kResetPort = 0xcf9; // byte accesses inside the address port
    static constexpr u16 kDataPort = 0xcfc;

    explicit PciBus(PortSpace& ports);

    /// Puts a device into a slot (0-31, function 0-7). It must outlive the bus's use.
    void attach(u8 slot, u8 function, PciDevice& device);

    /// Who gets the four interrupt lines, and who answers bytes at CF9h (both the ISA bridge).
    void connect_interrupts(std::array<Wire, 4> lines) { lines_ = std::move(lines); }
    void connect_reset_control(IoHandler& handler) { reset_control_ = &handler; }

    std::string_view name() const override { return "pci"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;
    u32 io_read(u64 port, unsigned size) override;
    void io_write(u64 port, unsigned size, u32 value) override;

    struct Slot {
        u8 devfn; // slot << 3 | function
        PciDevice* device;
    };
    const std::vector<Slot>& slots() const { return slots_; }

private:
    PciDevice* find(u8 devfn) const;
    PciDevice* addressed() const;
    void update_line(unsigned line);

    std::vector<Slot> slots_; // in order of attachment
    std::array<Wire, 4> lines_;
    IoHandler* reset_control_ = nullptr;
    u32 address_ = 0;
};

} // namespace emu::devices::pci
