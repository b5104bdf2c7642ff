// Port-mapped devices whose registers are one byte wide, which is nearly all of the ISA era.
#pragma once

#include "emulator/machine/device.hpp"

namespace emu::devices {

/// Splits wider accesses into byte accesses at successive ports, lowest first, as an 8-bit device
/// on an ISA bus sees them.
class ByteIo : public IoHandler {
public:
    u32 io_read(u64 port, unsigned size) final
    {
        u32 value = 0;
        for (unsigned i = 0; i < size; ++i) {
            value |= u32{read_byte(static_cast<u16>(port + i))} << (8 * i);
        }
        return value;
    }
    void io_write(u64 port, unsigned size, u32 value) final
    {
        for (unsigned i = 0; i < size; ++i) {
            write_byte(static_cast<u16>(port + i), static_cast<u8>(value >> (8 * i)));
        }
    }

protected:
    virtual u8 read_byte(u16 port) = 0;
    virtual void write_byte(u16 port, u8 value) = 0;
};

} // namespace emu::devices
