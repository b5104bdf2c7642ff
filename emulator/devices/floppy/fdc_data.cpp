// The commands that reach the disk: DS sections 5.2.1 to 5.2.4 (data), 5.2.8 (format), 5.2.9.
#include "emulator/devices/floppy/fdc.hpp"

#include "emulator/devices/floppy/fdc_bits.hpp"

#include <algorithm>

namespace emu::devices {

using namespace fdc;

namespace {

constexpr u8 kMultiTrack = 0x80;
constexpr u8 kImpliedSeek = 0x40; // CONFIGURE
constexpr u8 kEnableCount = 0x80; // VERIFY, second byte
constexpr u8 kSizeCode512 = 2;    // N

/// What a short image lacks reads as zeros.
base::Status read_sector(img::Disk& disk, u64 offset, std::span<u8> into)
{
    if (offset + into.size() > disk.size()) {
        std::ranges::fill(into, u8{0});
        return base::ok();
    }
    return disk.read(offset, into);
}

} // namespace

void FloppyController::read_data()
{
    begin(Action::read);
}

void FloppyController::read_deleted()
{
    begin(Action::read);
    control_mark_ = true; // all sectors of an image have normal marks
}

void FloppyController::read_track()
{
    begin(Action::read);
    track_mode_ = true;
    sector_ = 1; // from the index hole on, whatever R says
}

void FloppyController::write_data()
{
    begin(Action::write);
}

void FloppyController::verify()
{
    begin(Action::verify);
    if ((parameters_[1] & kEnableCount) != 0) {
        sectors_left_ = parameters_[8];
    }
}

void FloppyController::read_id()
{
    begin(Action::read_id);
}

void FloppyController::format_track()
{
    begin(Action::format);
    format_left_ = last_sectors_ = parameters_[3];
    cylinder_ = head_ = sector_ = 0;
}

void FloppyController::begin(Action action)
{
    phase_ = Phase::execution;
    action_ = action;
    cylinder_ = parameters_[2];
    head_ = parameters_[3];
    sector_ = parameters_[4];
    control_mark_ = track_mode_ = false;
    sectors_left_ = 0;
    buffer_size_ = buffer_position_ = 0;
    resets_to_sense_ = 0;
    const bool has_id = action != Action::read_id && action != Action::format;
    if (has_id) {
        last_sectors_ = parameters_[6];
        if (multi_track() && end_is_beyond_track() && parameters_[6] >= sector_) {
            sectors_left_ = static_cast<u16>(parameters_[6] - sector_ + 1);
        }
    }
    u64 delay = kSectorNs;
    if (has_id && (configuration_ & kImpliedSeek) != 0 && selected_exists()) {
        Drive& drive = selected();
        delay += static_cast<u64>(std::abs(int{drive.track} - int{cylinder_})) * kStepNs;
        if (drive.track != cylinder_ && drive.disk != nullptr) {
            drive.changed = false;
        }
        drive.track = drive.reported = cylinder_;
    }
    timer_.arm_in(delay);
}

bool FloppyController::rate_matches(const Drive& drive) const
{
    switch (drive.geometry.density) {
    case FloppyDensity::double_density:
        return rate_ == 1 || rate_ == 2;
    case FloppyDensity::high_density:
        return rate_ == 0;
    default:
        return rate_ == 3;
    }
}

void FloppyController::finish(u8 st0_code)
{
    const auto st0 =
        static_cast<u8>(st0_code | (parameters_[1] & 3) | ((parameters_[1] & 4) != 0 ? 4 : 0));
    const u8 st2 = control_mark_ ? st2::control_mark : 0;
    enter_result({st0, u8{0}, st2, cylinder_, head_, sector_, kSizeCode512}, true);
}

void FloppyController::fail(u8 st1, u8 st2)
{
    const auto st0 = static_cast<u8>(st0::abnormal | (parameters_[1] & 7));
    const u8 size_code =
        action_ == Action::read_id || action_ == Action::format ? kSizeCode512 : parameters_[5];
    enter_result({st0, st1, st2, cylinder_, head_, sector_, size_code}, true);
}

void FloppyController::execute()
{
    if (phase_ != Phase::execution) {
        return;
    }
    if (!selected_exists() || selected().disk == nullptr || !rate_matches(selected())) {
        fail(st1::missing_mark, 0);
        return;
    }
    const bool writes = action_ == Action::write || action_ == Action::format;
    if (writes && selected().write_protected) {
        fail(st1::not_writable, 0);
        return;
    }
    switch (action_) {
    case Action::read_id:
        execute_read_id();
        break;
    case Action::format:
        format_sector();
        break;
    default:
        transfer_sector();
        break;
    }
}

void FloppyController::execute_read_id()
{
    const Drive& drive = selected();
    const u8 side = (parameters_[1] >> 2) & 1;
    if (side >= drive.geometry.heads || drive.track >= drive.geometry.cylinders) {
        fail(st1::missing_mark, 0);
        return;
    }
    // Whichever sector is passing the head.
    const u64 passing = wiring_.clock.now_ns() / kSectorNs % drive.geometry.sectors;
    cylinder_ = drive.track;
    head_ = side;
    sector_ = static_cast<u8>(passing + 1);
    finish(0);
}

std::optional<u64> FloppyController::locate_sector()
{
    const Drive& drive = selected();
    const FloppyGeometry& g = drive.geometry;
    const u8 side = (parameters_[1] >> 2) & 1;
    if (side >= g.heads || drive.track >= g.cylinders) {
        fail(st1::missing_mark, 0);
        return std::nullopt;
    }
    if (cylinder_ != drive.track) {
        fail(st1::no_data, st2::wrong_cylinder);
        return std::nullopt;
    }
    if (head_ != side || sector_ == 0 || sector_ > g.sectors || parameters_[5] != kSizeCode512) {
        fail(st1::no_data, 0);
        return std::nullopt;
    }
    const u64 lba = (u64{drive.track} * g.heads + side) * g.sectors + sector_ - 1;
    return lba * kFloppySectorSize;
}

void FloppyController::transfer_sector()
{
    const auto offset = locate_sector();
    if (!offset) {
        return;
    }
    Drive& drive = selected();
    if (action_ != Action::write) {
        if (!read_sector(*drive.disk, *offset, buffer_)) {
            fail(st1::data_error, st2::data_error);
            return;
        }
        if (action_ == Action::verify) {
            sector_transferred(false);
        } else if (pio()) {
            offer_buffer(kFloppySectorSize);
        } else {
            const auto moved = wiring_.dma.to_memory(buffer_);
            if (moved.bytes < buffer_.size() && !moved.terminal_count) {
                fail(st1::overrun, 0);
            } else {
                sector_transferred(moved.terminal_count);
            }
        }
        return;
    }
    bool terminal_count = false;
    if (!pio()) {
        const auto moved = wiring_.dma.from_memory(buffer_);
        if (moved.bytes < buffer_.size() && !moved.terminal_count) {
            fail(st1::overrun, 0);
            return;
        }
        // A sector cut short by TC is filled with zeroes (DS 5.2.3).
        std::fill(buffer_.begin() + moved.bytes, buffer_.end(), u8{0});
        terminal_count = moved.terminal_count;
    } else if (buffer_position_ < kFloppySectorSize) {
        offer_buffer(kFloppySectorSize); // comes back when the CPU has filled it
        return;
    }
    buffer_position_ = 0;
    if (!drive.disk->write(*offset, buffer_)) {
        fail(st1::data_error, st2::data_error);
        return;
    }
    sector_transferred(terminal_count);
}

void FloppyController::sector_transferred(bool terminal_count)
{
    const bool counted = sectors_left_ != 0 && --sectors_left_ == 0;
    const bool stop_at_mark = control_mark_; // a mark of the wrong kind ends the command
    const std::optional<u64> delay = advance_sector();
    const bool more = delay && !counted;
    if (terminal_count || stop_at_mark || (action_ == Action::verify && !more)) {
        finish(0);
    } else if (more) {
        timer_.arm_in(*delay);
    } else {
        fail(st1::end_of_cylinder, 0); // EOT without terminal count
    }
}

bool FloppyController::multi_track() const
{
    return (parameters_[0] & kMultiTrack) != 0 && !track_mode_;
}

bool FloppyController::end_is_beyond_track() const
{
    const Drive& drive = drives_[parameters_[1] & (kDrives - 1)];
    return drive.disk != nullptr && parameters_[6] > drive.geometry.sectors;
}

// Moves on to the next sector ID as DS table 5-6 has it, and says how long until it passes the head
// (nanoseconds). Nothing when the command's last one is done.
std::optional<u64> FloppyController::advance_sector()
{
    const bool beyond = multi_track() && end_is_beyond_track();
    if (sector_ != (beyond ? selected().geometry.sectors : parameters_[6])) {
        ++sector_;
        return kSectorNs;
    }
    sector_ = 1;
    if (!multi_track()) {
        ++cylinder_;
        return std::nullopt;
    }
    const bool was_side_0 = (head_ & 1) == 0;
    if (beyond && (!was_side_0 || selected().geometry.heads == 1)) {
        return next_cylinder();
    }
    head_ ^= 1;
    if (was_side_0) {
        parameters_[1] |= 4; // the head itself switches
        return kSectorNs;
    }
    ++cylinder_;
    return std::nullopt;
}

std::optional<u64> FloppyController::next_cylinder()
{
    Drive& drive = selected();
    ++cylinder_;
    head_ = 0;
    parameters_[1] &= static_cast<u8>(~4u);
    if (cylinder_ >= drive.geometry.cylinders) {
        return std::nullopt;
    }
    drive.track = drive.reported = cylinder_;
    return kStepNs + kSectorNs;
}

void FloppyController::format_sector()
{
    const Drive& drive = selected();
    if (format_left_ == 0) {
        finish(0);
        return;
    }
    std::array<u8, 4> id{};
    if (!pio()) {
        const auto moved = wiring_.dma.from_memory(id);
        if (moved.bytes < id.size()) {
            fail(st1::overrun, 0);
            return;
        }
    } else if (buffer_position_ < id.size()) {
        offer_buffer(static_cast<u16>(id.size()));
        return;
    } else {
        std::copy_n(buffer_.begin(), id.size(), id.begin());
    }
    buffer_position_ = 0;
    cylinder_ = id[0];
    head_ = id[1];
    sector_ = id[2];
    const FloppyGeometry& g = drive.geometry;
    const u8 side = (parameters_[1] >> 2) & 1;
    // An image holds one layout only: IDs it has no place for cannot be written.
    if (id[3] != kSizeCode512 || parameters_[2] != kSizeCode512 || sector_ == 0 ||
        sector_ > g.sectors || cylinder_ != drive.track || cylinder_ >= g.cylinders ||
        head_ != side || side >= g.heads) {
        fail(st1::no_data, 0);
        return;
    }
    buffer_.fill(parameters_[5]);
    const u64 lba = (u64{cylinder_} * g.heads + side) * g.sectors + sector_ - 1;
    if (!drive.disk->write(lba * kFloppySectorSize, buffer_)) {
        fail(st1::data_error, st2::data_error);
        return;
    }
    --format_left_;
    timer_.arm_in(kSectorNs);
}

void FloppyController::offer_buffer(u16 bytes)
{
    buffer_size_ = bytes;
    buffer_position_ = 0;
    set_irq(true);
}

u8 FloppyController::read_pio()
{
    const u8 value = buffer_[buffer_position_++];
    set_irq(false);
    if (buffer_position_ < buffer_size_) {
        set_irq(true); // a request for each byte
        return value;
    }
    buffer_size_ = buffer_position_ = 0;
    sector_transferred(false);
    return value;
}

void FloppyController::write_pio(u8 value)
{
    buffer_[buffer_position_++] = value;
    set_irq(false);
    if (buffer_position_ < buffer_size_) {
        set_irq(true);
        return;
    }
    buffer_size_ = 0; // the position stays: execute() sees a full buffer
    timer_.arm_in(kSectorNs);
}

} // namespace emu::devices
