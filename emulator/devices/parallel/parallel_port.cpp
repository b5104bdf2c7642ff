#include "emulator/devices/parallel/parallel_port.hpp"

namespace emu::devices {

namespace {

// Control; bits 0, 1 and 3 are inverted on the connector.
constexpr u8 kStrobe = 0x01;
constexpr u8 kInterruptEnable = 0x10;
constexpr u8 kInput = 0x20; // bidirectional ports only: the data lines float high

// Status
constexpr u8 kNotBusy = 0x80;
constexpr u8 kNotAcknowledge = 0x40;
constexpr u8 kSelected = 0x10;
constexpr u8 kNoError = 0x08;
constexpr u8 kUnusedBits = 0x07;

constexpr u64 kBusyNs = 10'000;
constexpr u64 kAcknowledgeNs = 5'000;

} // namespace

ParallelPort::ParallelPort(Wiring wiring)
    : wiring_{.clock = wiring.clock, .irq = {}, .printer = wiring.printer}, timer_{wiring_.clock,
                                                                                   "parallel.phase",
                                                                                   [this] {
                                                                                       next_phase();
                                                                                   }}
{
    reset(); // drives nothing yet: what is at the wires' ends may not be constructed
    wiring_.irq = std::move(wiring.irq);
}

void ParallelPort::reset()
{
    timer_.cancel();
    data_ = 0;
    control_ = 0x0c; // selected, not initialising
    phase_ = Phase::idle;
    update_irq();
}

void ParallelPort::visit_state(StateVisitor& v)
{
    v.section("parallel");
    v.field("data", data_);
    v.field("control", control_);
    v.field("phase", phase_);
    timer_.visit_state(v);
}

u8 ParallelPort::read_byte(u16 port)
{
    switch (port & 3) {
    case 0:
        return (control_ & kInput) != 0 ? 0xff : data_;
    case 1:
        return static_cast<u8>(kSelected | kNoError | kUnusedBits |
                               (phase_ == Phase::idle ? kNotBusy : 0) |
                               (phase_ == Phase::acknowledging ? 0 : kNotAcknowledge));
    case 2:
        return control_ | 0xc0;
    default:
        return 0xff;
    }
}

void ParallelPort::write_byte(u16 port, u8 value)
{
    switch (port & 3) {
    case 0:
        data_ = value;
        break;
    case 2:
        write_control(value);
        break;
    default:
        break;
    }
}

void ParallelPort::write_control(u8 value)
{
    const bool strobed = (value & kStrobe) != 0 && (control_ & kStrobe) == 0;
    control_ = value & 0x3f;
    if (strobed && phase_ == Phase::idle) {
        if (wiring_.printer != nullptr) {
            wiring_.printer->put(data_);
        }
        phase_ = Phase::busy;
        timer_.arm_in(kBusyNs);
    }
    update_irq();
}

void ParallelPort::next_phase()
{
    if (phase_ == Phase::busy) {
        phase_ = Phase::acknowledging;
        timer_.arm_in(kAcknowledgeNs);
    } else {
        phase_ = Phase::idle;
    }
    update_irq();
}

void ParallelPort::update_irq()
{
    wiring_.irq.set(phase_ == Phase::acknowledging && (control_ & kInterruptEnable) != 0);
}

} // namespace emu::devices
