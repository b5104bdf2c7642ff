// The 64 KiB x86 I/O port space: who answers at which port.
#pragma once

#include "emulator/machine/device.hpp"

#include <memory>
#include <string>
#include <vector>

namespace emu {

/// Ports [first, first+count). A later mapping hides an earlier one until it is removed.
/// An access no range claims reads all ones and drops writes, as an ISA bus does.
class PortSpace {
public:
    using MappingId = u32;

    PortSpace();
    MappingId map(u16 first, u32 count, IoHandler& handler, std::string name);
    void unmap(MappingId id);

    /// `size` is 1, 2 or 4. A wide access that spans handlers is split into bytes.
    u32 read(u16 port, unsigned size);
    void write(u16 port, unsigned size, u32 value);

    struct Mapping {
        MappingId id;
        u16 first;
        u32 count; // ports
        IoHandler* handler;
        std::string name;
    };
    const std::vector<Mapping>& mappings() const { return mappings_; }

private:
    void rebuild();

    std::vector<Mapping> mappings_;
    std::vector<IoHandler*> by_port_; // 65,536 entries
    MappingId next_id_ = 1;
};

} // namespace emu
