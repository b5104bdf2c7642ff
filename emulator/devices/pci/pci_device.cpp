#include "emulator/devices/pci/pci_device.hpp"

#include <bit>

namespace emu::devices::pci {

namespace {

constexpr u8 kIoBar = 0x01; // specification 6.2.5.1: bit 0 tells I/O from memory
constexpr u8 kPrefetchableBar = 0x08;
constexpr u8 kRomEnable = 0x01;
constexpr int kPriority = -1; // what the host bridge decodes as RAM never reaches the bus

} // namespace

PciDevice::PciDevice(Fabric fabric, const PciIdentity& identity) : fabric_{fabric}
{
    const auto fixed = [this](u8 offset, u32 value, unsigned size) {
        for (unsigned i = 0; i < size; ++i) {
            define(static_cast<u8>(offset + i), static_cast<u8>(value >> (8 * i)), 0);
        }
    };
    fixed(header::vendor, identity.vendor, 2);
    fixed(header::device, identity.device, 2);
    fixed(header::command, identity.command_reset, 2);
    writable_[header::command] = static_cast<u8>(identity.command_mask);
    writable_[header::command + 1] = static_cast<u8>(identity.command_mask >> 8);
    fixed(header::status, identity.status, 2);
    fixed(header::revision, identity.revision, 1);
    fixed(header::class_code, identity.class_code, 3);
    define(header::cache_line, 0, 0xff);
    define(header::latency, 0, 0xff);
    fixed(header::type, identity.multifunction ? 0x80 : 0x00, 1);
    fixed(header::subsystem_vendor, identity.subsystem_vendor, 2);
    fixed(header::subsystem, identity.subsystem, 2);
    define(header::interrupt_line, 0, identity.interrupt_pin != 0 ? 0xff : 0x00);
    fixed(header::interrupt_pin, identity.interrupt_pin, 1);
    config_ = reset_values_;
}

PciDevice::~PciDevice()
{
    for (const auto& window : windows_) {
        unmap_window(*window);
    }
}

void PciDevice::define(u8 offset, u8 reset_value, u8 writable_bits)
{
    reset_values_[offset] = reset_value;
    config_[offset] = reset_value;
    writable_[offset] = writable_bits;
}

PciDevice::Window& PciDevice::add_window(u8 register_offset, u32 size, u8 type_bits)
{
    auto window = std::make_unique<Window>();
    window->register_offset = register_offset;
    window->size = std::bit_ceil(size);
    const u32 mask = ~(window->size - 1);
    for (unsigned i = 0; i < 4; ++i) {
        define(static_cast<u8>(register_offset + i), i == 0 ? type_bits : u8{0},
               static_cast<u8>(mask >> (8 * i)));
    }
    windows_.push_back(std::move(window));
    return *windows_.back();
}

void PciDevice::add_io_bar(unsigned index, u32 size, IoHandler& handler)
{
    const auto offset = static_cast<u8>(header::bar0 + 4 * index);
    add_window(offset, size, kIoBar).io.target = &handler;
}

void PciDevice::add_mmio_bar(unsigned index, u32 size, MmioHandler& handler)
{
    const auto offset = static_cast<u8>(header::bar0 + 4 * index);
    add_window(offset, size, 0).mmio = &handler;
}

void PciDevice::add_ram_bar(unsigned index, RamBlock& block)
{
    const auto offset = static_cast<u8>(header::bar0 + 4 * index);
    add_window(offset, static_cast<u32>(block.size()), kPrefetchableBar).block = &block;
}

void PciDevice::add_rom(RamBlock& block)
{
    Window& window = add_window(header::rom, static_cast<u32>(block.size()), 0);
    window.block = &block;
    window.rom = true;
    writable_[header::rom] = kRomEnable;
}

u32 PciDevice::config_read(u8 offset, unsigned size) const
{
    u32 value = 0;
    for (unsigned i = 0; i < size && offset + i < config_.size(); ++i) {
        value |= u32{config_[offset + i]} << (8 * i);
    }
    return value;
}

void PciDevice::config_write(u8 offset, unsigned size, u32 value)
{
    for (unsigned i = 0; i < size && offset + i < config_.size(); ++i) {
        u8& at = config_[offset + i];
        const u8 mask = writable_[offset + i];
        at = static_cast<u8>((at & ~mask) | ((value >> (8 * i)) & mask));
    }
    update_windows();
    config_changed(offset, size);
}

void PciDevice::config_changed(u8, unsigned) {}

std::optional<u32> PciDevice::decoded_base(const Window& window) const
{
    const u32 base = dword(window.register_offset) & ~(window.size - 1);
    const u64 last = u64{base} + window.size - 1;
    const u16 enabled = word(header::command);
    if (window.io.target != nullptr) {
        const bool sane = base != 0 && last <= 0xffff;
        return (enabled & command::io) != 0 && sane ? std::optional{base} : std::nullopt;
    }
    if (window.rom && (byte(header::rom) & kRomEnable) == 0) {
        return std::nullopt;
    }
    // All ones are written to find the size, zero means "not assigned": neither is decoded.
    const bool sane = base != 0 && last < 0xffff'ffff;
    return (enabled & command::memory) != 0 && sane ? std::optional{base} : std::nullopt;
}

void PciDevice::update_windows()
{
    for (const auto& window : windows_) {
        const std::optional<u32> base = decoded_base(*window);
        if (base == window->mapped_at) {
            continue;
        }
        unmap_window(*window);
        if (base) {
            map_window(*window, *base);
        }
    }
}

void PciDevice::map_window(Window& window, u32 base)
{
    if (window.io.target != nullptr) {
        window.io.base = static_cast<u16>(base);
        window.mapping = fabric_.ports.map(static_cast<u16>(base), window.size, window.io,
                                           std::string{name()}, PortBus::pci);
    } else if (window.mmio != nullptr) {
        window.mapping = fabric_.memory.map_mmio(base, window.size, *window.mmio,
                                                 std::string{name()}, kPriority);
    } else {
        const auto access =
            window.rom ? AddressSpace::Access::read_only : AddressSpace::Access::read_write;
        window.mapping =
            fabric_.memory.map_ram(base, window.block->size(), *window.block, 0, access, kPriority);
    }
    window.mapped_at = base;
}

void PciDevice::unmap_window(Window& window)
{
    if (!window.mapped_at) {
        return;
    }
    if (window.io.target != nullptr) {
        fabric_.ports.unmap(window.mapping);
    } else {
        fabric_.memory.unmap(window.mapping);
    }
    window.mapped_at.reset();
}

std::vector<PciDevice::Bar> PciDevice::bars() const
{
    std::vector<Bar> bars;
    for (const auto& window : windows_) {
        bars.push_back({window->register_offset, window->size, window->io.target != nullptr,
                        window->mapped_at});
    }
    return bars;
}

void PciDevice::set_interrupt(bool level)
{
    interrupt_level_ = level;
    interrupt_.set(level);
}

void PciDevice::reset()
{
    config_ = reset_values_;
    update_windows();
    set_interrupt(false);
    reset_device();
    config_changed(0, 0);
}

void PciDevice::visit_state(StateVisitor& visitor)
{
    visitor.section(name());
    visitor.bytes("config", config_);
    visitor.field("interrupt", interrupt_level_);
    visit_device(visitor);
    if (visitor.restoring()) {
        update_windows();
        config_changed(0, 0);
    }
}

} // namespace emu::devices::pci
