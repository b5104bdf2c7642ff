// 8254 programmable interval timer, ports 40h-43h.
//
// Source: Intel "8254 Programmable Interval Timer" (231164). Counters are never stepped: a
// counter's value and output are functions of the input clock's pulses since it was loaded, so an
// idle timer costs nothing.
// Deviation: counting starts one input pulse after the last count byte is written, whatever the
// phase of that write within a pulse.
#pragma once

#include "emulator/devices/byte_io.hpp"
#include "emulator/machine/clock.hpp"

#include <array>

namespace emu::devices {

/// Pulses of the 14.31818 MHz / 12 input clock. 105 pulses take 88,000 ns exactly.
u64 pit_pulses_at(u64 ns);
/// The first nanosecond at which `pit_pulses_at` reaches `pulses`.
u64 pit_ns_of(u64 pulses);

/// One of the three counters. Every method gets the current pulse number and never an earlier one
/// than before.
class PitCounter {
public:
    void visit_state(StateVisitor& visitor);

    void write_control(u8 control, u64 now);
    void write(u8 value, u64 now);
    u8 read(u64 now);
    void latch_count(u64 now);
    void latch_status(u64 now);
    void set_gate(bool level, u64 now);

    bool gate() const { return gate_; }
    bool output(u64 now) const;
    /// The pulse after `now` at which the output may change next, or Clock::kNever.
    u64 next_change(u64 now) const;
    /// The programmed count, 1..65536; 0 before the first one.
    u32 divisor() const { return pending_ ? next_count_ : count_; }
    u8 mode() const { return mode_; }

private:
    void sync(u64 now);
    void load(u32 count, u64 now);
    u64 elapsed(u64 now) const;
    u16 counting_element(u64 now) const;
    u32 bcd_limit() const { return bcd_ ? 10'000 : 65'536; }
    bool running() const;
    bool periodic() const { return mode_ == 2 || mode_ == 3; }

    u8 mode_ = 0;
    u8 access_ = 3; // 1 low byte, 2 high byte, 3 low then high
    bool bcd_ = false;
    bool gate_ = true;
    bool high_write_next_ = false;
    bool high_read_next_ = false;
    u8 low_written_ = 0;
    u8 latched_bytes_ = 0; // of the count still to be read
    u16 latched_count_ = 0;
    bool status_latched_ = false;
    u8 latched_status_ = 0;

    bool loaded_ = false;     // a count was written since the control word
    bool triggered_ = false;  // modes 1 and 5: a gate edge came
    bool halted_low_ = false; // mode 0: the second count byte is awaited
    u32 count_ = 0;           // what is being counted
    bool pending_ = false;    // next_count_ replaces count_ at pulse switch_at_
    u32 next_count_ = 0;
    u64 switch_at_ = 0;
    u64 base_ = 0;         // the pulse at which counting (re)started
    u64 elapsed_base_ = 0; // pulses counted before base_
};

class I8254 final : public Device, public ByteIo {
public:
    struct Wiring {
        Clock& clock;
        Wire irq0; // OUT0
    };

    explicit I8254(Wiring wiring);

    std::string_view name() const override { return "i8254"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    /// Counter 2's gate, bit 0 of port 61h.
    void set_gate2(bool level);
    bool gate2() const { return counters_[2].gate(); }
    bool output2() const;
    /// Counter 2's programmed divisor of 1,193,182 Hz, for the speaker; 0 when none.
    u32 divisor2() const { return counters_[2].divisor(); }

protected:
    u8 read_byte(u16 port) override;
    void write_byte(u16 port, u8 value) override;

private:
    u64 now() const { return pit_pulses_at(wiring_.clock.now_ns()); }
    void write_command(u8 value);
    void update_output(u64 pulse);
    void output_event();

    Wiring wiring_;
    Timer timer_;
    std::array<PitCounter, 3> counters_{};
    u64 event_pulse_ = 0; // the pulse timer_ stands for
};

} // namespace emu::devices
