// One IDE cable: up to two drives behind a command block (8 ports) and a control port.
//
// Source: "AT Attachment with Packet Interface - 6" (T13/1410D), sections 7 and 9.16 (a drive that
// is alone on the cable).
#pragma once

#include "emulator/devices/block/bus_master.hpp"
#include "emulator/devices/block/ide_drive.hpp"
#include "emulator/machine/port_space.hpp"

#include <memory>
#include <optional>

namespace emu::devices::block {

class IdeChannel final : public IoHandler {
public:
    struct Wiring {
        Clock& clock;
        Wire irq;                       // INTRQ after nIEN
        AddressSpace* memory = nullptr; // null: no bus master
        GuestLog* log = nullptr;
    };

    IdeChannel(std::string name, Wiring wiring);

    /// What a drive put at `unit` (0 or 1) is to be constructed with.
    IdeDrive::Wiring drive_wiring(unsigned unit);
    void attach(unsigned unit, std::unique_ptr<IdeDrive> drive);
    IdeDrive* drive(unsigned unit) { return drives_[unit & 1].get(); }

    /// Claims the ports of the command block and the control port, or gives them back.
    void map(PortSpace& ports, PortBus bus, u16 command_block, u16 control_port);
    void unmap(PortSpace& ports);
    bool mapped() const { return command_mapping_.has_value(); }

    BusMaster* bus_master() { return bus_master_ ? &*bus_master_ : nullptr; }

    void reset();
    void visit_state(StateVisitor& visitor);

    u32 io_read(u64 port, unsigned size) override;
    void io_write(u64 port, unsigned size, u32 value) override;

private:
    struct ControlPort final : IoHandler {
        IdeChannel* channel = nullptr;
        u32 io_read(u64, unsigned) override { return channel->alternate_status(); }
        void io_write(u64, unsigned, u32 value) override
        {
            channel->write_control(static_cast<u8>(value));
        }
    };

    IdeDrive* selected() const { return drives_[selected_unit_].get(); }
    IdeDrive* answering() const;
    u8 read_byte(u8 offset);
    void write_byte(u8 offset, u8 value);
    u8 alternate_status() const;
    void write_control(u8 value);
    void update_irq();

    std::string name_;
    Wiring wiring_;
    ControlPort control_port_;
    std::optional<BusMaster> bus_master_;
    std::array<std::unique_ptr<IdeDrive>, 2> drives_;
    u8 selected_unit_ = 0;
    u8 control_ = 0;
    bool irq_level_ = false;
    std::optional<PortSpace::MappingId> command_mapping_;
    PortSpace::MappingId control_mapping_ = 0;
};

} // namespace emu::devices::block
