#include "emulator/machine/port_space.hpp"

#include <algorithm>

namespace emu {

namespace {

constexpr u32 kPorts = 0x1'0000;

} // namespace

PortSpace::PortSpace(const BusCycles& cycles)
    : cycles_{cycles}, by_port_(kPorts, nullptr), bus_by_port_(kPorts, PortBus::isa)
{}

PortSpace::MappingId PortSpace::map(u16 first, u32 count, IoHandler& handler, std::string name,
                                    PortBus bus)
{
    const u32 clipped = std::min(count, kPorts - first);
    mappings_.push_back({next_id_, first, clipped, &handler, std::move(name), bus});
    rebuild();
    return next_id_++;
}

void PortSpace::unmap(MappingId id)
{
    std::erase_if(mappings_, [id](const Mapping& m) { return m.id == id; });
    rebuild();
}

void PortSpace::rebuild()
{
    std::ranges::fill(by_port_, nullptr);
    std::ranges::fill(bus_by_port_, PortBus::isa);
    for (const Mapping& m : mappings_) {
        std::fill_n(by_port_.begin() + m.first, m.count, m.handler);
        std::fill_n(bus_by_port_.begin() + m.first, m.count, m.bus);
    }
}

u32 PortSpace::read(u16 port, unsigned size)
{
    IoHandler* handler = by_port_[port];
    bool whole = u32{port} + size <= kPorts;
    for (unsigned i = 1; whole && i < size; ++i) {
        whole = by_port_[port + i] == handler;
    }
    if (whole) {
        return handler != nullptr ? handler->io_read(port, size)
                                  : static_cast<u32>((u64{1} << (8 * size)) - 1);
    }
    u32 value = 0;
    for (unsigned i = 0; i < size; ++i) {
        const auto p = static_cast<u16>(port + i);
        const u32 byte = by_port_[p] != nullptr ? by_port_[p]->io_read(p, 1) & 0xff : 0xff;
        value |= byte << (8 * i);
    }
    return value;
}

void PortSpace::write(u16 port, unsigned size, u32 value)
{
    IoHandler* handler = by_port_[port];
    bool whole = u32{port} + size <= kPorts;
    for (unsigned i = 1; whole && i < size; ++i) {
        whole = by_port_[port + i] == handler;
    }
    if (whole) {
        if (handler != nullptr) {
            handler->io_write(port, size, value);
        }
        return;
    }
    for (unsigned i = 0; i < size; ++i) {
        const auto p = static_cast<u16>(port + i);
        if (by_port_[p] != nullptr) {
            by_port_[p]->io_write(p, 1, (value >> (8 * i)) & 0xff);
        }
    }
}

} // namespace emu
