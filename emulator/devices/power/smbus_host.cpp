#include "emulator/devices/power/smbus_host.hpp"

namespace emu::devices::power {

namespace {

namespace status {
constexpr u8 busy = 0x01;
constexpr u8 interrupt = 0x02;
constexpr u8 device_error = 0x04;
constexpr u8 failed = 0x10;
constexpr u8 clearable = 0x1e;
} // namespace status

namespace control {
constexpr u8 interrupt_enable = 0x01;
constexpr u8 kill = 0x02;
constexpr u8 start = 0x40;
constexpr u8 writable = 0x1d;
} // namespace control

constexpr u64 kAddressNs = 200'000; // start, nine bits and stop at about 50 kHz

} // namespace

SmbusHost::SmbusHost(Clock& clock, Wire irq)
    : irq_{std::move(irq)}, timer_{clock, "smbus timer", [this] { finish(); }}
{}

void SmbusHost::reset()
{
    timer_.cancel();
    status_ = 0;
    control_ = 0;
    command_ = 0;
    address_ = 0;
    data_ = {};
    block_ = {};
    block_at_ = 0;
    update_irq();
}

void SmbusHost::finish()
{
    status_ = status::device_error; // section 7.3.1: no acknowledge, nobody has this address
    update_irq();
}

void SmbusHost::update_irq()
{
    constexpr u8 kSources = status::interrupt | status::device_error | status::failed;
    irq_.set((status_ & kSources) != 0 && (control_ & control::interrupt_enable) != 0);
}

u8 SmbusHost::read_byte(u64 offset)
{
    switch (offset) {
    case 0:
        return status_;
    case 2:
        block_at_ = 0; // section 7.3.3: reading the control register rewinds the block buffer
        return control_;
    case 3:
        return command_;
    case 4:
        return address_;
    case 5:
    case 6:
        return data_[offset - 5];
    case 7: {
        const u8 value = block_[block_at_];
        block_at_ = (block_at_ + 1) & 31;
        return value;
    }
    default:
        return 0;
    }
}

void SmbusHost::write_byte(u64 offset, u8 value)
{
    switch (offset) {
    case 0:
        status_ &= static_cast<u8>(~(value & status::clearable));
        break;
    case 2:
        control_ = value & control::writable;
        if ((value & control::kill) != 0 && (status_ & status::busy) != 0) {
            timer_.cancel();
            status_ = status::failed;
        } else if ((value & control::start) != 0 && (status_ & status::busy) == 0) {
            status_ = status::busy;
            timer_.arm_in(kAddressNs);
        }
        break;
    case 3:
        command_ = value;
        break;
    case 4:
        address_ = value;
        break;
    case 5:
    case 6:
        data_[offset - 5] = value;
        break;
    case 7:
        block_[block_at_] = value;
        block_at_ = (block_at_ + 1) & 31;
        break;
    default:
        break;
    }
    update_irq();
}

u32 SmbusHost::io_read(u64 offset, unsigned size)
{
    u32 value = 0;
    for (unsigned i = 0; i < size; ++i) {
        value |= u32{read_byte(offset + i)} << (8 * i);
    }
    return value;
}

void SmbusHost::io_write(u64 offset, unsigned size, u32 value)
{
    for (unsigned i = 0; i < size; ++i) {
        write_byte(offset + i, static_cast<u8>(value >> (8 * i)));
    }
}

void SmbusHost::visit_state(StateVisitor& visitor)
{
    visitor.section("smbus");
    visitor.field("status", status_);
    visitor.field("control", control_);
    visitor.field("command", command_);
    visitor.field("address", address_);
    visitor.field("data", data_);
    visitor.field("block", block_);
    visitor.field("block_at", block_at_);
    block_at_ &= 31;
    timer_.visit_state(visitor);
}

} // namespace emu::devices::power
