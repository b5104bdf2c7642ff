#include "emulator/machine/clock.hpp"

#include <algorithm>

namespace emu {

namespace {

__extension__ using u128 = unsigned __int128;
constexpr u64 kNanosecondsPerSecond = 1'000'000'000;

} // namespace

Timer::Timer(Clock& clock, std::string name, std::function<void()> fire)
    : clock_{clock}, name_{std::move(name)}, fire_{std::move(fire)}
{}

Timer::~Timer()
{
    cancel();
}

void Timer::arm(u64 deadline_ns)
{
    const u64 earliest = clock_.next_deadline_ns();
    deadline_ns_ = deadline_ns;
    sequence_ = clock_.next_sequence_++;
    if (!armed_) {
        armed_ = true;
        clock_.armed_.push_back(this);
    }
    if (deadline_ns < earliest && clock_.on_earlier_) {
        clock_.on_earlier_();
    }
}

void Timer::arm_in(u64 delay_ns)
{
    arm(clock_.now_ns() + delay_ns);
}

void Timer::cancel()
{
    if (armed_) {
        armed_ = false;
        std::erase(clock_.armed_, this);
    }
}

void Timer::visit_state(StateVisitor& visitor)
{
    bool armed = armed_;
    u64 deadline = armed_ ? deadline_ns_ : 0;
    visitor.field(name_, armed);
    visitor.field("deadline_ns", deadline);
    if (visitor.restoring()) {
        cancel();
        if (armed) {
            arm(deadline);
        }
    }
}

Clock::Clock(u64 instructions_per_second) : ips_{std::max<u64>(instructions_per_second, 1)}
{
    whole_ns_ = kNanosecondsPerSecond % ips_ == 0 ? kNanosecondsPerSecond / ips_ : 0;
}

u64 Clock::instructions_to_ns(u64 instructions) const
{
    if (whole_ns_ != 0) {
        return instructions * whole_ns_;
    }
    return static_cast<u64>(u128{instructions} * kNanosecondsPerSecond / ips_);
}

u64 Clock::ns_to_instructions(u64 ns, Rounding rounding) const
{
    if (whole_ns_ != 0) {
        return ns / whole_ns_ + (rounding == Rounding::up && ns % whole_ns_ != 0 ? 1 : 0);
    }
    const u128 more = rounding == Rounding::up ? kNanosecondsPerSecond - 1 : 0;
    const u128 instructions = (u128{ns} * ips_ + more) / kNanosecondsPerSecond;
    return instructions > kNever ? kNever : static_cast<u64>(instructions);
}

u64 Clock::ticks_now() const
{
    return instructions_now() + ns_to_instructions(skipped_ns_, Rounding::down);
}

u64 Clock::next_deadline_ns() const
{
    u64 earliest = kNever;
    for (const Timer* timer : armed_) {
        earliest = std::min(earliest, timer->deadline_ns_);
    }
    return earliest;
}

u64 Clock::next_deadline_instructions() const
{
    const u64 deadline = next_deadline_ns();
    if (deadline == kNever) {
        return kNever;
    }
    if (deadline <= skipped_ns_) {
        return 0;
    }
    return ns_to_instructions(deadline - skipped_ns_, Rounding::up);
}

void Clock::run_due_timers()
{
    for (;;) {
        const u64 now = now_ns();
        Timer* first = nullptr;
        for (Timer* timer : armed_) {
            if (timer->deadline_ns_ > now) {
                continue;
            }
            const bool earlier =
                first == nullptr || timer->deadline_ns_ < first->deadline_ns_ ||
                (timer->deadline_ns_ == first->deadline_ns_ && timer->sequence_ < first->sequence_);
            if (earlier) {
                first = timer;
            }
        }
        if (first == nullptr) {
            return;
        }
        first->cancel();
        first->fire_();
    }
}

void Clock::skip_to_ns(u64 deadline_ns)
{
    const u64 now = now_ns();
    if (deadline_ns > now) {
        skipped_ns_ += deadline_ns - now;
    }
}

void Clock::stall(u64 ns)
{
    skipped_ns_ += ns;
    if (on_stall_) {
        on_stall_(ns_to_instructions(ns, Rounding::up));
    }
}

void Clock::visit_state(StateVisitor& visitor)
{
    visitor.section("clock");
    visitor.field("retired", retired_);
    visitor.field("skipped_ns", skipped_ns_);
}

} // namespace emu
