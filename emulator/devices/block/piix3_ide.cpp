#include "emulator/devices/block/piix3_ide.hpp"

namespace emu::devices::block {

namespace {

constexpr u8 kTiming = 0x40;       // IDETIM of the primary channel; the secondary's follows
constexpr u8 kDecodeEnable = 0x80; // in the high byte
constexpr u8 kSlaveTiming = 0x44;
constexpr unsigned kBusMasterBar = 4;

constexpr pci::PciIdentity kIdentity{.vendor = 0x8086,
                                     .device = 0x7010,
                                     .class_code = 0x01'01'80,
                                     .command_mask = 0x0005,
                                     .status = 0x0280};

std::unique_ptr<IdeChannel> make_channel(unsigned index, const Piix3Ide::Wiring& wiring,
                                         AddressSpace* memory)
{
    return std::make_unique<IdeChannel>(
        "ide" + std::to_string(index),
        IdeChannel::Wiring{
            .clock = wiring.clock, .irq = wiring.irqs[index], .memory = memory, .log = wiring.log});
}

} // namespace

Piix3Ide::Piix3Ide(Fabric fabric, Wiring wiring) : PciDevice{fabric, kIdentity}
{
    for (unsigned i = 0; i < 2; ++i) {
        channels_[i] = make_channel(i, wiring, &fabric.memory);
        define(static_cast<u8>(kTiming + 2 * i), 0, 0xff);
        define(static_cast<u8>(kTiming + 2 * i + 1), 0, 0xf3);
    }
    define(kSlaveTiming, 0, 0xff);
    add_io_bar(kBusMasterBar, 16, *this);
}

void Piix3Ide::config_changed(u8, unsigned)
{
    const bool io = (word(pci::header::command) & pci::command::io) != 0;
    for (u8 i = 0; i < 2; ++i) {
        const bool decode = io && (byte(kTiming + 2 * i + 1) & kDecodeEnable) != 0;
        IdeChannel& at = *channels_[i];
        if (decode && !at.mapped()) {
            at.map(ports(), PortBus::pci, kChannelPorts[i].command_block, kChannelPorts[i].control);
        } else if (!decode && at.mapped()) {
            at.unmap(ports());
        }
    }
}

u32 Piix3Ide::io_read(u64 offset, unsigned size)
{
    u32 value = 0;
    for (unsigned i = 0; i < size; ++i) {
        const u64 at = (offset + i) & 0xf;
        const BusMaster& engine = *channels_[at / 8]->bus_master();
        value |= u32{engine.read(static_cast<u8>(at % 8))} << (8 * i);
    }
    return value;
}

void Piix3Ide::io_write(u64 offset, unsigned size, u32 value)
{
    for (unsigned i = 0; i < size; ++i) {
        const u64 at = (offset + i) & 0xf;
        BusMaster& engine = *channels_[at / 8]->bus_master();
        engine.write(static_cast<u8>(at % 8), static_cast<u8>(value >> (8 * i)));
    }
}

void Piix3Ide::reset_device()
{
    for (const auto& channel : channels_) {
        channel->reset();
    }
}

void Piix3Ide::visit_device(StateVisitor& visitor)
{
    for (const auto& channel : channels_) {
        channel->visit_state(visitor);
    }
}

IsaIde::IsaIde(PortSpace& ports, Piix3Ide::Wiring wiring)
{
    for (unsigned i = 0; i < 2; ++i) {
        channels_[i] = make_channel(i, wiring, nullptr);
        channels_[i]->map(ports, PortBus::isa16, kChannelPorts[i].command_block,
                          kChannelPorts[i].control);
    }
}

void IsaIde::reset()
{
    for (const auto& channel : channels_) {
        channel->reset();
    }
}

void IsaIde::visit_state(StateVisitor& visitor)
{
    visitor.section("isa-ide");
    for (const auto& channel : channels_) {
        channel->visit_state(visitor);
    }
}

} // namespace emu::devices::block
