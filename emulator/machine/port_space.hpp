// The 64 KiB x86 I/O port space: who answers at which port, and how long that takes.
#pragma once

#include "emulator/machine/device.hpp"

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace emu {

/// What connects a device's ports with the CPU.
enum class PortBus : u8 {
    isa,   // 8 bits wide
    isa16, // an ISA device that asks for 16-bit cycles
    pci,
    count_
};

/// A bus moves up to `bytes` in a cycle of `ns`; wider accesses take several.
struct BusCycle {
    u32 ns;
    u32 bytes;
};

/// Of each PortBus, in that order.
using BusCycles = std::array<BusCycle, static_cast<std::size_t>(PortBus::count_)>;

/// For machines without a bus: tests of single devices.
inline constexpr BusCycles kInstantBusCycles{{{0, 4}, {0, 4}, {0, 4}}};

/// Ports [first, first+count). A later mapping hides an earlier one until it is removed.
/// An access no range claims goes to the 8-bit ISA bus: it reads all ones and drops writes.
class PortSpace {
public:
    using MappingId = u32;

    explicit PortSpace(const BusCycles& cycles = kInstantBusCycles);
    MappingId map(u16 first, u32 count, IoHandler& handler, std::string name, PortBus bus);
    void unmap(MappingId id);

    /// `size` is 1, 2 or 4. A wide access that spans handlers is split into bytes.
    u32 read(u16 port, unsigned size);
    void write(u16 port, unsigned size, u32 value);

    /// How long such an access keeps the CPU waiting. The first port's bus decides.
    u32 access_ns(u16 port, unsigned size) const
    {
        const BusCycle& cycle = cycles_[static_cast<std::size_t>(bus_by_port_[port])];
        return cycle.ns * ((size + cycle.bytes - 1) / cycle.bytes);
    }

    struct Mapping {
        MappingId id;
        u16 first;
        u32 count; // ports
        IoHandler* handler;
        std::string name;
        PortBus bus;
    };
    const std::vector<Mapping>& mappings() const { return mappings_; }

private:
    void rebuild();

    BusCycles cycles_;
    std::vector<Mapping> mappings_;
    std::vector<IoHandler*> by_port_;  // 65,536 entries
    std::vector<PortBus> bus_by_port_; // likewise
    MappingId next_id_ = 1;
};

} // namespace emu
