#include "emulator/devices/block/ide_drive.hpp"

#include <algorithm>
#include <cstring>

namespace emu::devices::block {

namespace {

constexpr u64 kResetNs = 20'000;   // a real drive may take 31 s; firmware only waits for BSY
constexpr u64 kDmaStartNs = 2'000; // from "start bus master" to the first data

} // namespace

IdeDrive::IdeDrive(std::string name, Wiring wiring)
    : name_{std::move(name)}, wiring_{std::move(wiring)}, timer_{wiring_.clock, name_ + " timer",
                                                                 [this] { fire(); }}
{}

void IdeDrive::log(std::string_view what) const
{
    if (wiring_.log != nullptr) {
        wiring_.log->guest_error(name_, what);
    }
}

void IdeDrive::reset()
{
    timer_.cancel();
    step_ = Step::none;
    task_ = {};
    buffer_.clear();
    position_ = 0;
    reading_ = false;
    in_reset_ = false;
    dma_waiting_ = false;
    interrupt_ = false;
    wiring_.interrupt.set(false);
    reset_drive();
    put_signature();
    task_.status = idle_status();
}

// ATA-6 9.2: SRST sets BSY; when it is cleared, the drive tests itself and shows its signature.
void IdeDrive::soft_reset(bool asserted)
{
    if (asserted) {
        timer_.cancel();
        step_ = Step::none;
        dma_waiting_ = false;
        buffer_.clear();
        position_ = 0;
        acknowledge_interrupt();
        task_.command = 0;
        task_.status = status::bsy;
        in_reset_ = true;
    } else if (in_reset_) {
        in_reset_ = false;
        schedule(Step::finish_reset, kResetNs);
    }
}

void IdeDrive::diagnose()
{
    task_.status = status::bsy;
    schedule(Step::finish_reset, kResetNs);
}

void IdeDrive::fire()
{
    const Step step = step_;
    step_ = Step::none;
    switch (step) {
    case Step::none:
        break;
    case Step::execute:
        execute();
        break;
    case Step::data_in:
        next_data_in();
        break;
    case Step::data_out_done:
        data_out_done();
        break;
    case Step::dma:
        if (wiring_.dma != nullptr && wiring_.dma->running()) {
            run_dma();
        } else {
            task_.status = status::drdy | status::drq;
            dma_waiting_ = true;
        }
        break;
    case Step::finish_reset: {
        const bool diagnostic = task_.command == 0x90;
        task_.error = 0x01; // ATA-6 table 26: device 0 passed
        put_signature();
        task_.status = idle_status();
        if (diagnostic) {
            task_.command = 0;
            raise_interrupt();
        }
        break;
    }
    }
}

void IdeDrive::schedule(Step step, u64 delay_ns)
{
    step_ = step;
    timer_.arm_in(delay_ns);
}

void IdeDrive::raise_interrupt()
{
    interrupt_ = true;
    wiring_.interrupt.set(true);
}

void IdeDrive::acknowledge_interrupt()
{
    interrupt_ = false;
    wiring_.interrupt.set(false);
}

void IdeDrive::complete(u8 error_bits, u8 extra_status)
{
    task_.error = error_bits;
    task_.status = static_cast<u8>(status::drdy | status::dsc | extra_status |
                                   (error_bits != 0 ? status::err : 0));
    raise_interrupt();
}

void IdeDrive::offer_data_in()
{
    position_ = 0;
    reading_ = true;
    task_.status = status::drdy | status::dsc | status::drq;
}

void IdeDrive::request_data_out(u32 bytes)
{
    buffer_.assign(bytes, 0);
    position_ = 0;
    reading_ = false;
    task_.status = status::drdy | status::dsc | status::drq;
}

void IdeDrive::wait_for_dma(u64 delay_ns)
{
    task_.status = status::bsy;
    schedule(Step::dma, delay_ns);
}

void IdeDrive::dma_started()
{
    if (dma_waiting_) {
        dma_waiting_ = false;
        wait_for_dma(kDmaStartNs);
    }
}

u8 IdeDrive::read_register(TaskRegister which, bool high_order_byte) const
{
    switch (which) {
    case TaskRegister::error:
        return task_.error;
    case TaskRegister::count:
        return high_order_byte ? task_.count_high : task_.count;
    case TaskRegister::sector:
        return high_order_byte ? task_.sector_high : task_.sector;
    case TaskRegister::low:
        return high_order_byte ? task_.low_high : task_.low;
    case TaskRegister::high:
        return high_order_byte ? task_.high_high : task_.high;
    case TaskRegister::device:
        return task_.device | device_bits::obsolete;
    case TaskRegister::status:
        return task_.status;
    case TaskRegister::data:
        break;
    }
    return 0xff;
}

void IdeDrive::write_task_byte(u8& latest, u8& previous, u8 value)
{
    previous = latest;
    latest = value;
}

void IdeDrive::write_register(TaskRegister which, u8 value, bool selected)
{
    constexpr u8 kDeviceReset = 0x08; // the one command a busy packet device accepts
    const bool busy = (task_.status & status::bsy) != 0;
    if (in_reset_ || (busy && which != TaskRegister::device &&
                      !(which == TaskRegister::status && value == kDeviceReset))) {
        return; // ATA-6 6.3: writes while BSY are ignored
    }
    switch (which) {
    case TaskRegister::error:
        write_task_byte(task_.features, task_.features_high, value);
        break;
    case TaskRegister::count:
        write_task_byte(task_.count, task_.count_high, value);
        break;
    case TaskRegister::sector:
        write_task_byte(task_.sector, task_.sector_high, value);
        break;
    case TaskRegister::low:
        write_task_byte(task_.low, task_.low_high, value);
        break;
    case TaskRegister::high:
        write_task_byte(task_.high, task_.high_high, value);
        break;
    case TaskRegister::device:
        task_.device = value;
        break;
    case TaskRegister::status:
        if (selected) {
            acknowledge_interrupt();
            task_.command = value;
            task_.error = 0;
            task_.status = status::bsy;
            dma_waiting_ = false;
            buffer_.clear();
            position_ = 0;
            if (const std::optional<u64> delay_ns = begin_command()) {
                schedule(Step::execute, *delay_ns);
            }
        }
        break;
    case TaskRegister::data:
        break;
    }
}

u32 IdeDrive::read_data(unsigned size)
{
    if ((task_.status & status::drq) == 0 || !reading_) {
        return 0;
    }
    u32 value = 0;
    const auto count = static_cast<u32>(std::min<u64>(size, buffer_.size() - position_));
    std::memcpy(&value, buffer_.data() + position_, count);
    position_ += count;
    if (position_ == buffer_.size()) {
        task_.status &= static_cast<u8>(~status::drq);
        data_in_drained();
    }
    return value;
}

void IdeDrive::write_data(unsigned size, u32 value)
{
    if ((task_.status & status::drq) == 0 || reading_ || dma_waiting_) {
        return;
    }
    const auto count = static_cast<u32>(std::min<u64>(size, buffer_.size() - position_));
    std::memcpy(buffer_.data() + position_, &value, count);
    position_ += count;
    if (position_ == buffer_.size()) {
        task_.status = status::bsy;
        data_out_filled();
    }
}

void IdeDrive::visit_state(StateVisitor& visitor)
{
    visitor.section(name_);
    TaskFile& t = task_;
    for (u8* field :
         {&t.error, &t.features, &t.count, &t.sector, &t.low, &t.high, &t.device, &t.status,
          &t.command, &t.features_high, &t.count_high, &t.sector_high, &t.low_high, &t.high_high}) {
        visitor.field("task", *field);
    }
    visitor.field("buffer", buffer_);
    visitor.field("position", position_);
    visitor.field("reading", reading_);
    visitor.field("interrupt", interrupt_);
    visitor.field("in_reset", in_reset_);
    visitor.field("dma_waiting", dma_waiting_);
    visitor.field("step", step_);
    timer_.visit_state(visitor);
    if (visitor.restoring()) {
        position_ = static_cast<u32>(std::min<u64>(position_, buffer_.size()));
        step_ = step_ > Step::finish_reset ? Step::none : step_;
    }
    visit_drive(visitor);
}

void put_ata_string(std::span<u8> words, std::string_view text)
{
    for (std::size_t i = 0; i < words.size(); ++i) {
        words[i ^ 1] = i < text.size() ? static_cast<u8>(text[i]) : u8{' '};
    }
}

void put_word(std::span<u8> words, unsigned index, u16 value)
{
    words[std::size_t{index} * 2] = static_cast<u8>(value);
    words[std::size_t{index} * 2 + 1] = static_cast<u8>(value >> 8);
}

} // namespace emu::devices::block
