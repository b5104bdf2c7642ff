#include "emulator/devices/dma/i8237.hpp"

#include <algorithm>

namespace emu::devices {

namespace {

// AT Technical Reference, "DMA page registers": the channel whose page each of ports 80h-8Fh holds.
constexpr unsigned kNoChannel = 8;
constexpr std::array<u8, 16> kPageChannel{
    kNoChannel, 2, 3, 1, kNoChannel, kNoChannel, kNoChannel, 0,
    kNoChannel, 6, 7, 5, kNoChannel, kNoChannel, kNoChannel, kNoChannel};

constexpr u8 kCommandDisable = 0x04;
constexpr u8 kModeAutoInitialise = 0x10;
constexpr u8 kModeDecrement = 0x20;

enum Transfer : u8 { kVerify = 0, kWriteMemory = 1, kReadMemory = 2 };

} // namespace

I8237Pair::I8237Pair(AddressSpace& memory) : memory_{memory}
{
    for (unsigned i = 0; i < ports_.size(); ++i) {
        ports_[i].owner = this;
        ports_[i].number = i;
    }
}

I8237Pair::~I8237Pair() = default;

void I8237Pair::Controller::master_clear()
{
    command = 0;
    terminal_counts = 0;
    mask = 0x0f;
    high_byte_next = false;
}

void I8237Pair::reset()
{
    chips_ = {};
    spare_pages_ = {};
}

void I8237Pair::Channel::visit_state(StateVisitor& v)
{
    v.field("base_address", base_address);
    v.field("base_count", base_count);
    v.field("address", address);
    v.field("count", count);
    v.field("mode", mode);
    v.field("page", page);
}

void I8237Pair::Controller::visit_state(StateVisitor& v)
{
    v.field("channels", channels);
    v.field("command", command);
    v.field("mask", mask);
    v.field("terminal_counts", terminal_counts);
    v.field("high_byte_next", high_byte_next);
}

void I8237Pair::visit_state(StateVisitor& visitor)
{
    visitor.section("i8237");
    visitor.field("chips", chips_);
    visitor.field("spare_pages", spare_pages_);
}

u8 I8237Pair::read_byte(u16 port)
{
    if (port >= 0x80 && port <= 0x8f) {
        const unsigned number = kPageChannel[port & 15];
        return number == kNoChannel ? spare_pages_[port & 15]
                                    : chips_[number >> 2].channels[number & 3].page;
    }
    // The second controller's address lines are shifted by one: its registers are two ports wide.
    return port < 0x10 ? read_controller(chips_[0], port)
                       : read_controller(chips_[1], (port >> 1) & 15);
}

void I8237Pair::write_byte(u16 port, u8 value)
{
    if (port >= 0x80 && port <= 0x8f) {
        const unsigned number = kPageChannel[port & 15];
        if (number == kNoChannel) {
            spare_pages_[port & 15] = value;
        } else {
            chips_[number >> 2].channels[number & 3].page = value;
        }
    } else if (port < 0x10) {
        write_controller(chips_[0], port, value);
    } else {
        write_controller(chips_[1], (port >> 1) & 15, value);
    }
}

u8 I8237Pair::read_controller(Controller& chip, unsigned reg)
{
    if (reg < 8) {
        const Channel& channel = chip.channels[reg >> 1];
        const u16 value = (reg & 1) != 0 ? channel.count : channel.address;
        const bool high = chip.high_byte_next;
        chip.high_byte_next = !high;
        return static_cast<u8>(high ? value >> 8 : value);
    }
    switch (reg) {
    case 8: {
        const u8 status = chip.terminal_counts; // no request is ever left waiting
        chip.terminal_counts = 0;
        return status;
    }
    case 15:
        return static_cast<u8>(0xf0 | chip.mask); // as the 82C37A and PIIX read it
    default:
        return 0; // the temporary register serves memory-to-memory only
    }
}

void I8237Pair::write_controller(Controller& chip, unsigned reg, u8 value)
{
    if (reg >= 8) {
        write_command_register(chip, reg, value);
        return;
    }
    Channel& channel = chip.channels[reg >> 1];
    u16& base = (reg & 1) != 0 ? channel.base_count : channel.base_address;
    u16& current = (reg & 1) != 0 ? channel.count : channel.address;
    base = chip.high_byte_next ? static_cast<u16>((base & 0x00ff) | value << 8)
                               : static_cast<u16>((base & 0xff00) | value);
    current = base;
    chip.high_byte_next = !chip.high_byte_next;
}

void I8237Pair::write_command_register(Controller& chip, unsigned reg, u8 value)
{
    const auto selected = static_cast<u8>(1u << (value & 3));
    switch (reg) {
    case 8:
        chip.command = value;
        break;
    case 10: // single mask bit
        chip.mask =
            (value & 4) != 0 ? chip.mask | selected : chip.mask & static_cast<u8>(~selected);
        break;
    case 11:
        chip.channels[value & 3].mode = value & 0xfc;
        break;
    case 12:
        chip.high_byte_next = false;
        break;
    case 13:
        chip.master_clear();
        break;
    case 14:
        chip.mask = 0;
        break;
    case 15:
        chip.mask = value & 0x0f;
        break;
    default:
        break; // 9, the request register: see the header
    }
}

DmaChannel::Moved I8237Pair::transfer(unsigned number, Direction direction,
                                      std::span<const u8> source, std::span<u8> target)
{
    Controller& chip = chips_[number >> 2];
    Channel& channel = chip.channels[number & 3];
    const auto mask = static_cast<u8>(1u << (number & 3));
    const bool wide = number >= 4;
    // The first controller reaches the CPU through channel 4.
    const bool cascade_open =
        wide || ((chips_[1].mask & 1) == 0 && (chips_[1].command & kCommandDisable) == 0);
    if (number == 4 || !cascade_open || (chip.mask & mask) != 0 ||
        (chip.command & kCommandDisable) != 0) {
        return {};
    }
    const unsigned kind = channel.mode >> 2 & 3;
    const u32 unit = wide ? 2 : 1;
    const u32 length =
        static_cast<u32>(direction == Direction::to_memory ? source.size() : target.size());
    DmaChannel::Moved moved;
    while (length - moved.bytes >= unit) {
        const u64 physical = wide ? u64{channel.page & 0xfeu} << 16 | u64{channel.address} << 1
                                  : u64{channel.page} << 16 | channel.address;
        if (direction == Direction::to_memory && kind == kWriteMemory) {
            memory_.write(physical, source.subspan(moved.bytes, unit));
        } else if (direction == Direction::from_memory && kind == kReadMemory) {
            memory_.read(physical, target.subspan(moved.bytes, unit));
        } else if (direction == Direction::from_memory) {
            std::ranges::fill(target.subspan(moved.bytes, unit), u8{0});
        }
        moved.bytes += unit;
        channel.address = static_cast<u16>(
            (channel.mode & kModeDecrement) != 0 ? channel.address - 1 : channel.address + 1);
        if (channel.count-- != 0) {
            continue;
        }
        // Terminal count: the counter went from 0 to FFFFh.
        moved.terminal_count = true;
        chip.terminal_counts |= mask;
        if ((channel.mode & kModeAutoInitialise) != 0) {
            channel.address = channel.base_address;
            channel.count = channel.base_count;
        } else {
            chip.mask |= mask;
        }
        break;
    }
    return moved;
}

DmaChannel::Moved I8237Pair::Port::to_memory(std::span<const u8> data)
{
    return owner->transfer(number, Direction::to_memory, data, {});
}

DmaChannel::Moved I8237Pair::Port::from_memory(std::span<u8> data)
{
    return owner->transfer(number, Direction::from_memory, {}, data);
}

} // namespace emu::devices
