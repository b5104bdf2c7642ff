#include "emulator/devices/block/bus_master.hpp"

#include <algorithm>

namespace emu::devices::block {

namespace {

constexpr u8 kToMemory = 0x08; // command bit 3: the drive is read
constexpr u8 kActive = 0x01;
constexpr u8 kError = 0x02;
constexpr u8 kInterrupt = 0x04;
constexpr u8 kDriveCapable = 0x60;
constexpr u32 kEndOfTable = 0x8000'0000;

} // namespace

BusMaster::BusMaster(AddressSpace& memory, std::function<void()> started)
    : memory_{memory}, started_{std::move(started)}
{}

void BusMaster::reset()
{
    command_ = 0;
    status_ = 0;
    table_ = 0;
    active_ = false;
    next_descriptor_ = 0;
    region_ = 0;
    region_left_ = 0;
    last_region_ = false;
}

u8 BusMaster::read(u8 offset) const
{
    switch (offset) {
    case 0:
        return command_;
    case 2:
        return status_ | (active_ ? kActive : 0);
    case 4:
    case 5:
    case 6:
    case 7:
        return static_cast<u8>(table_ >> (8 * (offset - 4)));
    default:
        return 0;
    }
}

void BusMaster::write(u8 offset, u8 value)
{
    if (offset == 0) {
        const bool start = (value & kStart) != 0;
        const bool was_started = (command_ & kStart) != 0;
        command_ = value & (kStart | kToMemory);
        if (start && !was_started) {
            active_ = true;
            next_descriptor_ = table_;
            region_left_ = 0;
            last_region_ = false;
            started_();
        } else if (!start) {
            active_ = false;
        }
    } else if (offset == 2) {
        const u8 cleared = value & (kError | kInterrupt);
        status_ =
            static_cast<u8>((status_ & (kError | kInterrupt) & ~cleared) | (value & kDriveCapable));
    } else if (offset >= 4 && offset < 8) {
        const unsigned shift = 8 * (offset - 4u);
        table_ = ((table_ & ~(u32{0xff} << shift)) | (u32{value} << shift)) & ~u32{3};
    }
}

void BusMaster::drive_interrupted()
{
    status_ |= kInterrupt;
    if (region_left_ == 0 && last_region_) {
        active_ = false;
    }
}

bool BusMaster::fetch_descriptor()
{
    if (last_region_) {
        return false;
    }
    region_ = static_cast<u32>(memory_.read_int(next_descriptor_, 4)) & ~u32{1};
    const auto control = static_cast<u32>(memory_.read_int(next_descriptor_ + 4, 4));
    const u32 count = control & 0xfffe;
    region_left_ = count == 0 ? 0x1'0000 : count;
    last_region_ = (control & kEndOfTable) != 0;
    next_descriptor_ += 8;
    return true;
}

template <class Move>
u64 BusMaster::walk(u64 wanted, Move&& move)
{
    u64 done = 0;
    while (done < wanted) {
        if (region_left_ == 0 && !fetch_descriptor()) {
            active_ = false; // the table was too short; the drive is left waiting
            break;
        }
        const u64 count = std::min<u64>(wanted - done, region_left_);
        move(region_, done, count);
        region_ += static_cast<u32>(count);
        region_left_ -= static_cast<u32>(count);
        done += count;
    }
    return done;
}

u64 BusMaster::to_memory(std::span<const u8> from)
{
    return walk(from.size(), [&](u32 address, u64 offset, u64 count) {
        memory_.write(address, from.subspan(offset, count));
    });
}

u64 BusMaster::from_memory(std::span<u8> into)
{
    return walk(into.size(), [&](u32 address, u64 offset, u64 count) {
        memory_.read(address, into.subspan(offset, count));
    });
}

void BusMaster::visit_state(StateVisitor& visitor)
{
    visitor.section("bus master");
    visitor.field("command", command_);
    visitor.field("status", status_);
    visitor.field("table", table_);
    visitor.field("active", active_);
    visitor.field("next_descriptor", next_descriptor_);
    visitor.field("region", region_);
    visitor.field("region_left", region_left_);
    visitor.field("last_region", last_region_);
}

} // namespace emu::devices::block
