// The bus master of one IDE channel: walks a table of physical regions (PRDs).
//
// Source: "Programming Interface for Bus Master IDE Controller", revision 1.0 (Intel, 1994),
// sections 1.1 (physical region descriptors) and 2 (register description).
#pragma once

#include "emulator/devices/block/ide_drive.hpp"
#include "emulator/memory/address_space.hpp"

namespace emu::devices::block {

class BusMaster final : public DmaEngine {
public:
    BusMaster(AddressSpace& memory, std::function<void()> started);

    void reset();
    void visit_state(StateVisitor& visitor);

    /// Offsets 0-7 of the channel's register block, a byte each.
    u8 read(u8 offset) const;
    void write(u8 offset, u8 value);

    /// INTRQ rose: the interrupt bit is set and, with the table used up, the engine is done.
    void drive_interrupted();

    bool running() const override { return (command_ & kStart) != 0 && active_; }
    u64 to_memory(std::span<const u8> from) override;
    u64 from_memory(std::span<u8> into) override;

private:
    static constexpr u8 kStart = 0x01;

    template <class Move>
    u64 walk(u64 wanted, Move&& move);
    bool fetch_descriptor();

    AddressSpace& memory_;
    std::function<void()> started_;
    u8 command_ = 0;
    u8 status_ = 0; // error, interrupt and the drive-capable bits
    u32 table_ = 0;
    bool active_ = false;
    u32 next_descriptor_ = 0;
    u32 region_ = 0;      // where the next byte goes
    u32 region_left_ = 0; // bytes
    bool last_region_ = false;
};

} // namespace emu::devices::block
