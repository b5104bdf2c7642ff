// Intel 82371SB (PIIX3) function 1: two IDE channels with bus mastering; and the same two channels
// on a plain ISA bus.
//
// Source: "82371FB (PIIX) and 82371SB (PIIX3) PCI ISA IDE Xcelerator", order number 290550,
// section 2.3 (PCI configuration registers, function 1).
// Not modelled: the effect of the timing registers (they read as written).
#pragma once

#include "emulator/devices/block/ide_channel.hpp"
#include "emulator/devices/pci/pci_device.hpp"

namespace emu::devices::block {

struct ChannelPorts {
    u16 command_block;
    u16 control;
};

/// The two channels of every PC; their interrupts are 14 and 15.
inline constexpr std::array<ChannelPorts, 2> kChannelPorts{{{0x1f0, 0x3f6}, {0x170, 0x376}}};

class Piix3Ide final : public pci::PciDevice, public IoHandler {
public:
    struct Wiring {
        Clock& clock;
        std::array<Wire, 2> irqs;
        GuestLog* log = nullptr;
    };

    Piix3Ide(Fabric fabric, Wiring wiring);

    std::string_view name() const override { return "piix3-ide"; }
    IdeChannel& channel(unsigned index) { return *channels_[index & 1]; }

    /// The bus master registers (BAR 4), 8 ports a channel.
    u32 io_read(u64 offset, unsigned size) override;
    void io_write(u64 offset, unsigned size, u32 value) override;

private:
    void reset_device() override;
    void visit_device(StateVisitor& visitor) override;
    void config_changed(u8 offset, unsigned size) override;

    std::array<std::unique_ptr<IdeChannel>, 2> channels_;
};

/// ISA adapter cards: the channels alone, without DMA.
class IsaIde final : public Device {
public:
    IsaIde(PortSpace& ports, Piix3Ide::Wiring wiring);

    std::string_view name() const override { return "isa-ide"; }
    IdeChannel& channel(unsigned index) { return *channels_[index & 1]; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

private:
    std::array<std::unique_ptr<IdeChannel>, 2> channels_;
};

} // namespace emu::devices::block
