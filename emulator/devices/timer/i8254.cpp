#include "emulator/devices/timer/i8254.hpp"

namespace emu::devices {

I8254::I8254(Wiring wiring)
    : wiring_{.clock = wiring.clock, .irq0 = {}}, timer_{wiring_.clock, "i8254.out0",
                                                         [this] { output_event(); }}
{
    reset(); // drives nothing yet: what is at the wires' ends may not be constructed
    wiring_.irq0 = std::move(wiring.irq0);
}

void I8254::reset()
{
    counters_ = {};
    const u64 pulse = now();
    for (PitCounter& counter : counters_) {
        counter.write_control(0x30, pulse);
    }
    counters_[2].set_gate(false, pulse); // port 61h starts as 0
    timer_.cancel();
    wiring_.irq0.set(false);
}

void I8254::visit_state(StateVisitor& visitor)
{
    visitor.section("i8254");
    for (PitCounter& counter : counters_) {
        visitor.field("counter", counter);
    }
    visitor.field("event_pulse", event_pulse_);
    timer_.visit_state(visitor);
}

void I8254::set_gate2(bool level)
{
    counters_[2].set_gate(level, now());
}

bool I8254::output2() const
{
    return counters_[2].output(now());
}

u8 I8254::read_byte(u16 port)
{
    const unsigned counter = port & 3;
    return counter == 3 ? 0xff : counters_[counter].read(now());
}

void I8254::write_byte(u16 port, u8 value)
{
    const unsigned counter = port & 3;
    const u64 pulse = now();
    if (counter == 3) {
        write_command(value);
    } else {
        counters_[counter].write(value, pulse);
    }
    if (counter == 0 || counter == 3) {
        update_output(pulse);
    }
}

void I8254::write_command(u8 value)
{
    const u64 pulse = now();
    const unsigned select = value >> 6;
    if (select != 3) {
        counters_[select].write_control(value, pulse);
        return;
    }
    // Read-back command: count and status selects are active low, counters are bits 1 to 3.
    for (unsigned i = 0; i < 3; ++i) {
        if ((value & (2u << i)) == 0) {
            continue;
        }
        if ((value & 0x20) == 0) {
            counters_[i].latch_count(pulse);
        }
        if ((value & 0x10) == 0) {
            counters_[i].latch_status(pulse);
        }
    }
}

void I8254::update_output(u64 pulse)
{
    wiring_.irq0.set(counters_[0].output(pulse));
    const u64 next = counters_[0].next_change(pulse);
    if (next == Clock::kNever) {
        timer_.cancel();
        return;
    }
    event_pulse_ = next;
    timer_.arm(pit_ns_of(next));
}

void I8254::output_event()
{
    // The event's own pulse, not the current one: a one-pulse strobe must not be skipped when a
    // long instruction made the event late.
    // A forged snapshot's ancient event is not caught up with pulse by pulse.
    constexpr u64 kLongestPeriod = 65'536;
    const u64 pulse = now();
    update_output(pulse - event_pulse_ <= kLongestPeriod ? event_pulse_ : pulse);
}

} // namespace emu::devices
