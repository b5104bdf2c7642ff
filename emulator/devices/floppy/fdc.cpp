#include "emulator/devices/floppy/fdc.hpp"

#include "emulator/devices/floppy/fdc_bits.hpp"

#include <algorithm>

namespace emu::devices {

using namespace fdc;

namespace {

// Digital output register
constexpr u8 kDorNotReset = 0x04;
constexpr u8 kDorGate = 0x08; // lets IRQ and DRQ out

constexpr u8 kPollDisabled = 0x10; // CONFIGURE
constexpr u8 kMaxSteps = 79;       // of one RECALIBRATE (DS 5.2.5)
constexpr u8 kLastTrack = 84;      // where the head meets the stop

} // namespace

struct FloppyController::Command {
    u8 mask;
    u8 opcode;
    u8 parameters; // bytes after the opcode
    void (FloppyController::*execute)();
};

// DS table 5-1, in its order. Bits the mask leaves out are MT, MFM, SK and the like.
const FloppyController::Command* FloppyController::find_command(u8 opcode)
{
    using F = FloppyController;
    static constexpr Command kCommands[] = {
        {0x1f, 0x06, 8, &F::read_data},     {0x1f, 0x0c, 8, &F::read_deleted},
        {0x3f, 0x05, 8, &F::write_data},    {0x3f, 0x09, 8, &F::write_data},
        {0x9f, 0x02, 8, &F::read_track},    {0x1f, 0x16, 8, &F::verify},
        {0xff, 0x10, 0, &F::version},       {0xbf, 0x0d, 5, &F::format_track},
        {0xff, 0x07, 1, &F::recalibrate},   {0xff, 0x08, 0, &F::sense_interrupt},
        {0xff, 0x03, 2, &F::specify},       {0xff, 0x04, 1, &F::sense_drive},
        {0xff, 0x0f, 2, &F::seek},          {0xff, 0x13, 3, &F::configure},
        {0xbf, 0x8f, 2, &F::relative_seek}, {0xff, 0x0e, 0, &F::dump_registers},
        {0xbf, 0x0a, 1, &F::read_id},       {0xff, 0x12, 1, &F::perpendicular},
        {0x7f, 0x14, 0, &F::lock},
    };
    const auto* found = std::ranges::find_if(
        kCommands, [opcode](const Command& c) { return (opcode & c.mask) == c.opcode; });
    return found == std::end(kCommands) ? nullptr : found;
}

FloppyController::FloppyController(Wiring wiring, std::array<bool, kDrives> present)
    : wiring_{.clock = wiring.clock, .irq6 = {}, .dma = wiring.dma},
      timer_{wiring_.clock, "fdc.execution",
             [this] {
                 if (phase_ == Phase::resetting) {
                     finish_reset();
                 } else {
                     execute();
                 }
             }},
      seek_timer_0_{wiring_.clock, "fdc.seek0", [this] { seek_done(0); }},
      seek_timer_1_{wiring_.clock, "fdc.seek1", [this] { seek_done(1); }}
{
    for (unsigned i = 0; i < kDrives; ++i) {
        drives_[i].present = present[i];
    }
    reset(); // drives nothing yet: what is at the wires' ends may not be constructed
    wiring_.irq6 = std::move(wiring.irq6);
}

void FloppyController::reset()
{
    dor_ = 0;
    tape_ = 0;
    rate_ = 2;
    locked_ = false;
    perpendicular_ = 0;
    step_rate_ = head_load_ = 0;
    last_sectors_ = 0;
    begin_reset(); // held in reset until the DOR says otherwise
    timer_.cancel();
}

void FloppyController::Drive::visit_state(StateVisitor& v)
{
    bool loaded = disk != nullptr; // which disk it is, the machine's media list says
    v.field("loaded", loaded);
    v.field("write_protected", write_protected);
    v.field("changed", changed);
    v.field("track", track);
    v.field("reported", reported);
    v.field("target", target);
    v.field("seeking", seeking);
    v.field("recalibrating", recalibrating);
    v.field("interrupt", interrupt);
}

void FloppyController::visit_state(StateVisitor& v)
{
    v.section("fdc");
    v.field("drives", drives_);
    v.field("phase", phase_);
    v.field("action", action_);
    v.field("dor", dor_);
    v.field("tape", tape_);
    v.field("rate", rate_);
    v.field("irq", irq_);
    v.field("resets_to_sense", resets_to_sense_);
    v.field("step_rate", step_rate_);
    v.field("head_load", head_load_);
    v.field("configuration", configuration_);
    v.field("precompensation_track", precompensation_track_);
    v.field("perpendicular", perpendicular_);
    v.field("locked", locked_);
    v.field("last_sectors", last_sectors_);
    v.field("parameters", parameters_);
    v.field("parameter_count", parameter_count_);
    v.field("result", result_);
    v.field("result_count", result_count_);
    v.field("result_position", result_position_);
    v.field("cylinder", cylinder_);
    v.field("head", head_);
    v.field("sector", sector_);
    v.field("control_mark", control_mark_);
    v.field("track_mode", track_mode_);
    v.field("sectors_left", sectors_left_);
    v.field("format_left", format_left_);
    v.bytes("buffer", buffer_);
    v.field("buffer_size", buffer_size_);
    v.field("buffer_position", buffer_position_);
    timer_.visit_state(v);
    seek_timer_0_.visit_state(v);
    seek_timer_1_.visit_state(v);
    if (v.restoring()) { // positions index arrays; a snapshot is untrusted
        parameter_count_ = std::min<u8>(parameter_count_, parameters_.size() - 1);
        result_count_ = std::min<u8>(result_count_, result_.size());
        result_position_ = std::min(result_position_, result_count_);
        buffer_size_ = std::min<u16>(buffer_size_, kFloppySectorSize);
        if (buffer_position_ >= buffer_size_ && buffer_size_ != 0) {
            buffer_size_ = 0;
        }
        buffer_position_ = std::min<u16>(buffer_position_, kFloppySectorSize);
    }
}

base::Status FloppyController::insert(unsigned drive, img::Disk& disk, bool write_protected)
{
    if (drive >= kDrives || !drives_[drive].present) {
        return base::fail(base::Errc::invalid_argument,
                          "there is no floppy drive " + std::to_string(drive));
    }
    auto geometry = floppy_geometry(disk.size());
    if (!geometry) {
        return std::move(geometry).error();
    }
    Drive& d = drives_[drive];
    d.disk = &disk;
    d.geometry = geometry.value();
    d.write_protected = write_protected || disk.read_only();
    d.changed = true;
    return base::ok();
}

void FloppyController::eject(unsigned drive)
{
    if (drive < kDrives) {
        drives_[drive].disk = nullptr;
        drives_[drive].geometry = {};
        drives_[drive].changed = true;
    }
}

std::optional<FloppyGeometry> FloppyController::geometry(unsigned drive) const
{
    if (!has_disk(drive)) {
        return std::nullopt;
    }
    return drives_[drive].geometry;
}

u8 FloppyController::read_byte(u16 port)
{
    switch (port & 7) {
    case 2:
        return dor_;
    case 3:
        return tape_;
    case 4:
        return main_status();
    case 5:
        return read_fifo();
    case 7:
        return digital_input();
    default:
        return 0xff; // status registers A and B exist in PS/2 mode only
    }
}

void FloppyController::write_byte(u16 port, u8 value)
{
    switch (port & 7) {
    case 2:
        write_dor(value);
        break;
    case 3:
        tape_ = value & 0x03;
        break;
    case 4: // data rate select register
        rate_ = value & 3;
        if ((value & 0x80) != 0) {
            begin_reset();
            if ((dor_ & kDorNotReset) == 0) {
                timer_.cancel(); // the DOR still holds it
            }
        }
        break;
    case 5:
        write_fifo(value);
        break;
    case 7:
        rate_ = value & 3;
        break; // configuration control register
    default:
        break;
    }
}

void FloppyController::write_dor(u8 value)
{
    const u8 old = dor_;
    dor_ = value;
    if ((value & kDorNotReset) == 0) {
        begin_reset();
        timer_.cancel(); // held until the bit is set
    } else if ((old & kDorNotReset) == 0) {
        timer_.arm_in(kResetNs);
    }
    wiring_.irq6.set(irq_ && (dor_ & kDorGate) != 0);
}

void FloppyController::begin_reset()
{
    phase_ = Phase::resetting;
    action_ = Action::none;
    parameter_count_ = result_count_ = result_position_ = 0;
    buffer_size_ = buffer_position_ = 0;
    resets_to_sense_ = 0;
    if (!locked_) {
        configuration_ = 0x20; // FIFO off, polling on
        precompensation_track_ = 0;
    }
    perpendicular_ &= 0x3c; // DS 5.2.11: a software reset clears WGATE and GAP only
    for (Drive& drive : drives_) {
        drive.seeking = false;
        drive.interrupt = 0;
        drive.reported = 0;
    }
    seek_timer_0_.cancel();
    seek_timer_1_.cancel();
    set_irq(false);
    timer_.arm_in(kResetNs);
}

void FloppyController::finish_reset()
{
    phase_ = Phase::command;
    if ((configuration_ & kPollDisabled) == 0) {
        resets_to_sense_ = 4; // one for each drive select (DS 5.2.7)
        set_irq(true);
    }
}

void FloppyController::set_irq(bool level)
{
    irq_ = level;
    wiring_.irq6.set(level && (dor_ & kDorGate) != 0);
}

u8 FloppyController::main_status() const
{
    u8 status = 0;
    for (unsigned i = 0; i < kDrives; ++i) {
        status |= drives_[i].seeking ? static_cast<u8>(1u << i) : 0;
    }
    switch (phase_) {
    case Phase::resetting:
        return 0;
    case Phase::command:
        return static_cast<u8>(status | msr::request | (parameter_count_ != 0 ? msr::busy : 0));
    case Phase::result:
        return status | msr::request | msr::to_cpu | msr::busy;
    default:
        break;
    }
    status |= msr::busy;
    if (pio() && buffer_size_ != 0) {
        status |= msr::request | msr::non_dma | (action_ == Action::read ? msr::to_cpu : 0);
    }
    return status;
}

u8 FloppyController::digital_input() const
{
    const unsigned number = dor_ & 3;
    // No drive pulls the line, so an absent one shows no change.
    const bool changed = number < kDrives && drives_[number].present && drives_[number].changed;
    return changed ? 0x80 : 0x00;
}

u8 FloppyController::read_fifo()
{
    if (phase_ == Phase::execution && pio() && buffer_size_ != 0 && action_ == Action::read) {
        return read_pio();
    }
    if (phase_ != Phase::result || result_position_ >= result_count_) {
        return 0;
    }
    set_irq(false);
    const u8 value = result_[result_position_++];
    if (result_position_ == result_count_) {
        finish_result();
    }
    return value;
}

void FloppyController::finish_result()
{
    phase_ = Phase::command;
    result_count_ = result_position_ = 0;
    const bool more = std::ranges::any_of(drives_, [](const Drive& d) { return d.interrupt != 0; });
    if (more) {
        set_irq(true);
    }
}

void FloppyController::write_fifo(u8 value)
{
    if (phase_ == Phase::execution && pio() && buffer_size_ != 0 && action_ != Action::read) {
        write_pio(value);
        return;
    }
    if (phase_ != Phase::command || parameter_count_ >= parameters_.size()) {
        return;
    }
    parameters_[parameter_count_++] = value;
    const Command* command = find_command(parameters_[0]);
    if (command == nullptr) {
        parameter_count_ = 0;
        invalid();
    } else if (parameter_count_ > command->parameters) {
        parameter_count_ = 0;
        (this->*command->execute)();
    }
}

void FloppyController::enter_result(std::initializer_list<u8> bytes, bool interrupt)
{
    std::ranges::copy(bytes, result_.begin());
    result_count_ = static_cast<u8>(bytes.size());
    result_position_ = 0;
    phase_ = Phase::result;
    action_ = Action::none;
    buffer_size_ = 0;
    if (interrupt) {
        set_irq(true);
    }
}

bool FloppyController::selected_exists() const
{
    const unsigned number = parameters_[1] & 3;
    return number < kDrives && drives_[number].present;
}

void FloppyController::invalid()
{
    enter_result({st0::invalid}, false);
}

void FloppyController::specify()
{
    step_rate_ = parameters_[1];
    head_load_ = parameters_[2];
}

void FloppyController::sense_drive()
{
    u8 st3 = 0x28 | (parameters_[1] & 0x07); // ready and two-sided are always 1
    if (selected_exists()) {
        const Drive& drive = selected();
        st3 |= drive.track == 0 ? 0x10 : 0;
        // Without a disk the sensor is not covered, as with a protected one.
        st3 |= drive.disk == nullptr || drive.write_protected ? 0x40 : 0;
    }
    enter_result({st3}, false);
}

void FloppyController::recalibrate()
{
    start_seek(parameters_[1] & 3, 0, true);
}

void FloppyController::seek()
{
    start_seek(parameters_[1] & 3, parameters_[2], false);
}

void FloppyController::relative_seek()
{
    const unsigned number = parameters_[1] & 3;
    const int from = number < kDrives ? drives_[number].reported : 0;
    const int delta = (parameters_[0] & 0x40) != 0 ? parameters_[2] : -int{parameters_[2]};
    start_seek(number, static_cast<u8>(std::clamp(from + delta, 0, 255)), false);
}

void FloppyController::start_seek(unsigned number, u8 target, bool recalibrating)
{
    resets_to_sense_ = 0; // whoever seeks has seen enough of the reset
    if (number >= kDrives) {
        // DS 5.2.6: no drive is there to report track 0; the step pulses go nowhere.
        drives_[0].interrupt =
            static_cast<u8>(st0::abnormal | st0::seek_end | st0::equipment_check | number);
        set_irq(true);
        return;
    }
    Drive& drive = drives_[number];
    drive.target = target;
    drive.recalibrating = recalibrating;
    drive.seeking = true;
    drive.interrupt = 0;
    const u64 steps = static_cast<u64>(std::abs(int{target} - int{drive.track}));
    (number == 0 ? seek_timer_0_ : seek_timer_1_).arm_in((steps + 1) * kStepNs);
}

void FloppyController::seek_done(unsigned number)
{
    Drive& drive = drives_[number];
    drive.seeking = false;
    u8 status = static_cast<u8>(st0::seek_end | number);
    const u8 from = drive.track;
    if (!drive.present) {
        drive.reported = drive.target;
        if (drive.recalibrating) {
            status |= st0::abnormal | st0::equipment_check;
        }
    } else if (drive.recalibrating) {
        drive.track -= std::min(drive.track, kMaxSteps);
        drive.reported = 0;
        if (drive.track != 0) {
            status |= st0::abnormal | st0::equipment_check;
        }
    } else {
        drive.track = std::min(drive.target, kLastTrack);
        drive.reported = drive.target;
    }
    // The drive's change latch is cleared by a step pulse while a disk is in.
    if (drive.disk != nullptr && (drive.track != from || drive.recalibrating)) {
        drive.changed = false;
    }
    drive.interrupt = status;
    if (phase_ == Phase::command) {
        set_irq(true);
    }
}

void FloppyController::sense_interrupt()
{
    set_irq(false);
    if (resets_to_sense_ != 0) {
        const auto number = static_cast<u8>(4 - resets_to_sense_--);
        enter_result({static_cast<u8>(st0::ready_changed | number), u8{0}}, false);
        return;
    }
    for (Drive& drive : drives_) {
        if (drive.interrupt != 0) {
            const u8 status = drive.interrupt;
            drive.interrupt = 0;
            enter_result({status, drive.reported}, false);
            return;
        }
    }
    invalid();
}

void FloppyController::configure()
{
    configuration_ = parameters_[2];
    precompensation_track_ = parameters_[3];
}

void FloppyController::version()
{
    enter_result({u8{0x90}}, false); // an enhanced controller
}

void FloppyController::dump_registers()
{
    const u8 flags = static_cast<u8>((locked_ ? 0x80 : 0) | (perpendicular_ & 0x3f));
    enter_result({drives_[0].reported, drives_[1].reported, u8{0}, u8{0}, step_rate_, head_load_,
                  last_sectors_, flags, configuration_, precompensation_track_},
                 false);
}

void FloppyController::perpendicular()
{
    const u8 value = parameters_[1];
    // OW (bit 7) lets the drive bits be written.
    perpendicular_ = (value & 0x80) != 0
                         ? value & 0x3f
                         : static_cast<u8>((perpendicular_ & 0x3c) | (value & 0x03));
}

void FloppyController::lock()
{
    locked_ = (parameters_[0] & 0x80) != 0;
    enter_result({static_cast<u8>(locked_ ? 0x10 : 0x00)}, false);
}

} // namespace emu::devices
