#include "emulator/devices/block/ide_channel.hpp"

namespace emu::devices::block {

namespace {

namespace control {
constexpr u8 nien = 0x02;
constexpr u8 srst = 0x04;
constexpr u8 hob = 0x80; // ATA-6 7.3: read the bytes written before the latest
} // namespace control

constexpr u8 kDiagnostic = 0x90;

} // namespace

IdeChannel::IdeChannel(std::string name, Wiring wiring)
    : name_{std::move(name)}, wiring_{std::move(wiring)}
{
    control_port_.channel = this;
    if (wiring_.memory != nullptr) {
        bus_master_.emplace(*wiring_.memory, [this] {
            if (IdeDrive* drive = selected()) {
                drive->dma_started();
            }
        });
    }
}

IdeDrive::Wiring IdeChannel::drive_wiring(unsigned)
{
    return {.clock = wiring_.clock,
            .interrupt = Wire{[this](bool) { update_irq(); }},
            .dma = bus_master(),
            .log = wiring_.log};
}

void IdeChannel::attach(unsigned unit, std::unique_ptr<IdeDrive> drive)
{
    drives_[unit & 1] = std::move(drive);
    drives_[unit & 1]->reset();
}

void IdeChannel::map(PortSpace& ports, PortBus bus, u16 command_block, u16 control_port)
{
    unmap(ports);
    command_mapping_ = ports.map(command_block, 8, *this, name_, bus);
    control_mapping_ = ports.map(control_port, 1, control_port_, name_ + " control", bus);
}

void IdeChannel::unmap(PortSpace& ports)
{
    if (command_mapping_) {
        ports.unmap(*command_mapping_);
        ports.unmap(control_mapping_);
        command_mapping_.reset();
    }
}

void IdeChannel::update_irq()
{
    const IdeDrive* drive = selected();
    const bool level = drive != nullptr && drive->interrupt() && (control_ & control::nien) == 0;
    if (level != irq_level_) {
        irq_level_ = level;
        if (level && bus_master_) {
            bus_master_->drive_interrupted();
        }
        wiring_.irq.set(level);
    }
}

/// The drive that drives the data lines: device 0 answers for an absent device 1.
IdeDrive* IdeChannel::answering() const
{
    return selected() != nullptr ? selected() : drives_[0].get();
}

u8 IdeChannel::alternate_status() const
{
    // ATA-6 9.16.1: the status that device 0 gives for an absent device 1 is zero. An empty cable
    // also reads as zero, so that no driver waits for BSY.
    const IdeDrive* drive = selected();
    return drive != nullptr ? drive->read_register(TaskRegister::status, false) : u8{0};
}

u8 IdeChannel::read_byte(u8 offset)
{
    const auto which = static_cast<TaskRegister>(offset & 7);
    if (which == TaskRegister::status) {
        const u8 value = alternate_status();
        if (IdeDrive* drive = selected()) {
            drive->acknowledge_interrupt();
        }
        return value;
    }
    const IdeDrive* drive = answering();
    return drive != nullptr ? drive->read_register(which, (control_ & control::hob) != 0) : u8{0};
}

u32 IdeChannel::io_read(u64 port, unsigned size)
{
    const auto offset = static_cast<u8>(port & 7);
    if (offset == 0) {
        IdeDrive* drive = selected();
        return drive != nullptr ? drive->read_data(size) : 0;
    }
    u32 value = 0;
    for (unsigned i = 0; i < size; ++i) {
        value |= u32{read_byte(static_cast<u8>(offset + i))} << (8 * i);
    }
    return value;
}

void IdeChannel::write_byte(u8 offset, u8 value)
{
    const auto which = static_cast<TaskRegister>(offset & 7);
    control_ &= static_cast<u8>(~control::hob); // any command block write ends it
    if (which == TaskRegister::device) {
        selected_unit_ = (value & device_bits::dev) != 0 ? 1 : 0;
    }
    const bool diagnostic = which == TaskRegister::status && value == kDiagnostic;
    for (unsigned unit = 0; unit < 2; ++unit) {
        if (IdeDrive* drive = drives_[unit].get()) {
            // ATA-6 8.11: both drives run the diagnostic, device 0 reports.
            const bool target = diagnostic ? unit == 0 : unit == selected_unit_;
            drive->write_register(which, value, target);
            if (diagnostic) {
                drive->diagnose();
            }
        }
    }
    if (diagnostic) {
        selected_unit_ = 0;
    }
    update_irq();
}

void IdeChannel::io_write(u64 port, unsigned size, u32 value)
{
    const auto offset = static_cast<u8>(port & 7);
    if (offset == 0) {
        if (IdeDrive* drive = selected()) {
            drive->write_data(size, value);
        }
        return;
    }
    for (unsigned i = 0; i < size; ++i) {
        write_byte(static_cast<u8>(offset + i), static_cast<u8>(value >> (8 * i)));
    }
}

void IdeChannel::write_control(u8 value)
{
    const bool was_reset = (control_ & control::srst) != 0;
    const bool is_reset = (value & control::srst) != 0;
    control_ = value;
    if (was_reset != is_reset) {
        selected_unit_ = 0;
        for (const auto& drive : drives_) {
            if (drive) {
                drive->soft_reset(is_reset);
            }
        }
    }
    update_irq();
}

void IdeChannel::reset()
{
    selected_unit_ = 0;
    control_ = 0;
    for (const auto& drive : drives_) {
        if (drive) {
            drive->reset();
        }
    }
    if (bus_master_) {
        bus_master_->reset();
    }
    update_irq();
}

void IdeChannel::visit_state(StateVisitor& visitor)
{
    visitor.section(name_);
    visitor.field("selected_unit", selected_unit_);
    selected_unit_ &= 1;
    visitor.field("control", control_);
    visitor.field("irq_level", irq_level_);
    for (const auto& drive : drives_) {
        if (drive) {
            drive->visit_state(visitor);
        }
    }
    if (bus_master_) {
        bus_master_->visit_state(visitor);
    }
}

} // namespace emu::devices::block
