#include "emulator/devices/pci/pci_bus.hpp"

namespace emu::devices::pci {

namespace {

constexpr u32 kEnable = 0x8000'0000;
constexpr u32 kWritable = 0x80ff'fffc; // bits 30:24 are reserved, 1:0 read as zero

/// Which of the four lines INTA# of a slot reaches: boards rotate them so that single-function
/// cards spread over all four (the wiring SeaBIOS's interrupt tables describe).
constexpr unsigned line_of(u8 devfn, u8 pin)
{
    return (unsigned{devfn} / 8 - 1 + pin - 1) & 3;
}

constexpr u32 ones(unsigned size)
{
    return static_cast<u32>((u64{1} << (8 * size)) - 1);
}

} // namespace

PciBus::PciBus(PortSpace& ports)
{
    ports.map(kAddressPort, 8, *this, "pci configuration", PortBus::pci);
}

void PciBus::attach(u8 slot, u8 function, PciDevice& device)
{
    const auto devfn = static_cast<u8>((slot << 3) | (function & 7));
    slots_.push_back({devfn, &device});
    const u8 pin = device.interrupt_pin();
    if (pin != 0) {
        const unsigned line = line_of(devfn, pin);
        device.connect_interrupt(Wire{[this, line](bool) { update_line(line); }});
    }
}

void PciBus::update_line(unsigned line)
{
    bool level = false;
    for (const Slot& slot : slots_) {
        const u8 pin = slot.device->interrupt_pin();
        if (pin != 0 && line_of(slot.devfn, pin) == line) {
            level = level || slot.device->interrupt_asserted();
        }
    }
    lines_[line].set(level);
}

PciDevice* PciBus::find(u8 devfn) const
{
    for (const Slot& slot : slots_) {
        if (slot.devfn == devfn) {
            return slot.device;
        }
    }
    return nullptr;
}

PciDevice* PciBus::addressed() const
{
    const bool bus_zero = (address_ & 0x00ff'0000) == 0;
    return (address_ & kEnable) != 0 && bus_zero ? find(static_cast<u8>(address_ >> 8)) : nullptr;
}

u32 PciBus::io_read(u64 port, unsigned size)
{
    if (port >= kDataPort) {
        const PciDevice* device = addressed();
        const auto offset = static_cast<u8>((address_ & 0xfc) + (port - kDataPort));
        return device != nullptr ? device->config_read(offset, size) : ones(size);
    }
    if (port == kResetPort && size == 1 && reset_control_ != nullptr) {
        return reset_control_->io_read(port, size);
    }
    return port == kAddressPort && size == 4 ? address_ : ones(size);
}

void PciBus::io_write(u64 port, unsigned size, u32 value)
{
    if (port >= kDataPort) {
        if (PciDevice* device = addressed()) {
            const auto offset = static_cast<u8>((address_ & 0xfc) + (port - kDataPort));
            device->config_write(offset, size, value);
        }
    } else if (port == kResetPort && size == 1 && reset_control_ != nullptr) {
        reset_control_->io_write(port, size, value);
    } else if (port == kAddressPort && size == 4) {
        address_ = value & kWritable; // narrower accesses are ordinary I/O and not ours
    }
}

void PciBus::reset()
{
    address_ = 0;
}

void PciBus::visit_state(StateVisitor& visitor)
{
    visitor.section("pci");
    visitor.field("address", address_);
}

} // namespace emu::devices::pci
