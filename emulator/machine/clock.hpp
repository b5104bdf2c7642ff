// The virtual clock and its event queue: all the time there is for a guest.
//
// Time is the number of guest instructions executed times a fixed ratio, plus the time in which
// none was: idle CPUs skip it, bus cycles stall it. Nothing in a device may ask the host for the
// time.
#pragma once

#include "emulator/machine/state.hpp"

#include <functional>
#include <string>
#include <vector>

namespace emu {

class Clock;

/// A one-shot deadline on the virtual clock. Construct as a member of the device; re-arm in the
/// callback for periodic work. Timers due at the same nanosecond fire in order of arming.
class Timer {
public:
    Timer(Clock& clock, std::string name, std::function<void()> fire);
    ~Timer();
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    /// Fires when the clock reaches `deadline_ns`, at once (before the next instruction) if past.
    void arm(u64 deadline_ns);
    void arm_in(u64 delay_ns);
    void cancel();
    bool armed() const { return armed_; }
    u64 deadline_ns() const { return deadline_ns_; }
    void visit_state(StateVisitor& visitor);

private:
    friend class Clock;
    Clock& clock_;
    std::string name_;
    std::function<void()> fire_;
    u64 deadline_ns_ = 0;
    u64 sequence_ = 0;
    bool armed_ = false;
};

class Clock {
public:
    static constexpr u64 kNever = ~u64{0};

    /// `instructions_per_second` fixes how fast the guest CPU seems to be.
    explicit Clock(u64 instructions_per_second);

    /// Nanoseconds since power-on, exact to the instruction that is executing.
    u64 now_ns() const { return instructions_to_ns(instructions_now()) + skipped_ns_; }

    u64 instructions_per_second() const { return ips_; }

    /// Time in units of one instruction's duration: what a time stamp counter shows.
    u64 ticks_now() const;

    /// Guest instructions retired since power-on.
    u64 instructions_now() const { return instruction_source_ ? instruction_source_() : retired_; }

    /// The executor that counts instructions while guest code runs installs itself here.
    void set_instruction_source(std::function<u64()> source)
    {
        instruction_source_ = std::move(source);
    }
    void set_retired(u64 instructions) { retired_ = instructions; }

    /// Deadline of the earliest timer or kNever.
    u64 next_deadline_ns() const;

    /// The instruction count at which the earliest deadline is reached (rounded up), or kNever.
    u64 next_deadline_instructions() const;

    /// Fires all timers whose deadline has come.
    void run_due_timers();

    /// All CPUs idle: jumps to `deadline_ns` (never backwards).
    void skip_to_ns(u64 deadline_ns);

    /// The instruction that executes waits this long for a bus. What becomes due meanwhile happens
    /// behind it, before the next instruction.
    void stall(u64 ns);

    /// Told how many instructions a stall was worth (rounded up), so that a running CPU stops that
    /// much earlier and no deadline is passed.
    void set_stall_listener(std::function<void(u64 instructions)> listener)
    {
        on_stall_ = std::move(listener);
    }

    /// Called when a timer is armed earlier than all others, so a running CPU can stop in time.
    void set_deadline_listener(std::function<void()> listener)
    {
        on_earlier_ = std::move(listener);
    }

    void visit_state(StateVisitor& visitor);

private:
    friend class Timer;
    u64 instructions_to_ns(u64 instructions) const;
    enum class Rounding : u8 { down, up };
    u64 ns_to_instructions(u64 ns, Rounding rounding) const;

    u64 ips_;
    u64 whole_ns_ = 0; // of one instruction, when that is a whole number
    u64 retired_ = 0;
    u64 skipped_ns_ = 0; // in which no instruction executed: idle or stalled
    u64 next_sequence_ = 0;
    std::vector<Timer*> armed_; // a heap would be faster; boards have a dozen timers
    std::function<u64()> instruction_source_;
    std::function<void()> on_earlier_;
    std::function<void(u64)> on_stall_;
};

} // namespace emu
