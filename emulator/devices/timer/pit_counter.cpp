// The counter's arithmetic: data sheet, "Mode Definitions" and figures 15 to 20.
#include "emulator/devices/timer/i8254.hpp"

#include <algorithm>

namespace emu::devices {

namespace {

constexpr u64 kPulses = 105; // 14.31818 MHz is 315/22 MHz; a twelfth of it is 105/88 MHz
constexpr u64 kPulsesTakeNs = 88'000;

u16 to_bcd(u32 value)
{
    return static_cast<u16>((value / 1000 % 10) << 12 | (value / 100 % 10) << 8 |
                            (value / 10 % 10) << 4 | value % 10);
}

u32 from_bcd(u32 value)
{
    return (value >> 12 & 15) * 1000 + (value >> 8 & 15) * 100 + (value >> 4 & 15) * 10 +
           (value & 15);
}

} // namespace

u64 pit_pulses_at(u64 ns)
{
    return ns / kPulsesTakeNs * kPulses + ns % kPulsesTakeNs * kPulses / kPulsesTakeNs;
}

u64 pit_ns_of(u64 pulses)
{
    const u64 rest = pulses % kPulses * kPulsesTakeNs;
    return pulses / kPulses * kPulsesTakeNs + (rest + kPulses - 1) / kPulses;
}

void PitCounter::visit_state(StateVisitor& v)
{
    v.field("mode", mode_);
    v.field("access", access_);
    v.field("bcd", bcd_);
    v.field("gate", gate_);
    v.field("high_write_next", high_write_next_);
    v.field("high_read_next", high_read_next_);
    v.field("low_written", low_written_);
    v.field("latched_bytes", latched_bytes_);
    v.field("latched_count", latched_count_);
    v.field("status_latched", status_latched_);
    v.field("latched_status", latched_status_);
    v.field("loaded", loaded_);
    v.field("triggered", triggered_);
    v.field("halted_low", halted_low_);
    v.field("count", count_);
    v.field("pending", pending_);
    v.field("next_count", next_count_);
    v.field("switch_at", switch_at_);
    v.field("base", base_);
    v.field("elapsed_base", elapsed_base_);
    if (v.restoring()) { // a snapshot is untrusted, and counts are divided by
        constexpr u32 kLargest = 65'536;
        count_ = std::min(count_, kLargest);
        next_count_ = std::min(next_count_, kLargest);
        loaded_ = loaded_ && count_ != 0;
        pending_ = pending_ && next_count_ != 0;
    }
}

void PitCounter::write_control(u8 control, u64 now)
{
    sync(now);
    const unsigned access = control >> 4 & 3;
    if (access == 0) {
        latch_count(now);
        return;
    }
    static constexpr std::array<u8, 8> kModes{0, 1, 2, 3, 4, 5, 2, 3}; // 6 and 7 repeat 2 and 3
    mode_ = kModes[control >> 1 & 7];
    access_ = static_cast<u8>(access);
    bcd_ = (control & 1) != 0;
    high_write_next_ = high_read_next_ = false;
    latched_bytes_ = 0;
    status_latched_ = false;
    loaded_ = triggered_ = pending_ = halted_low_ = false;
    elapsed_base_ = 0;
    base_ = now;
}

void PitCounter::write(u8 value, u64 now)
{
    sync(now);
    u32 raw = 0;
    if (access_ == 1) {
        raw = value;
    } else if (access_ == 2) {
        raw = u32{value} << 8;
    } else if (!high_write_next_) {
        low_written_ = value;
        high_write_next_ = true;
        if (mode_ == 0) { // "writing the first byte disables counting, OUT is set low"
            elapsed_base_ = 0;
            base_ = now;
            halted_low_ = true;
        }
        return;
    } else {
        high_write_next_ = false;
        raw = u32{value} << 8 | low_written_;
    }
    halted_low_ = false;
    const u32 count = bcd_ ? from_bcd(raw) % bcd_limit() : raw; // digits above 9 are undefined
    load(count == 0 ? bcd_limit() : count, now);
}

void PitCounter::load(u32 count, u64 now)
{
    const bool counting = loaded_ && (mode_ != 1 && mode_ != 5 ? true : triggered_);
    if (counting && (periodic() || mode_ == 1 || mode_ == 5)) {
        // Modes 2 and 3 finish the period first, 1 and 5 wait for a trigger. Deviation: mode 3
        // could change at a half period already.
        next_count_ = count;
        pending_ = true;
        switch_at_ =
            periodic() && running() ? now + (count_ - elapsed(now) % count_) : Clock::kNever;
        return;
    }
    count_ = count;
    loaded_ = true;
    pending_ = false;
    elapsed_base_ = 0;
    base_ = now + 1; // loaded at the next input pulse
}

void PitCounter::sync(u64 now)
{
    if (pending_ && now >= switch_at_) {
        count_ = next_count_;
        pending_ = false;
        base_ = switch_at_;
        elapsed_base_ = 0;
    }
}

bool PitCounter::running() const
{
    if (!loaded_ || halted_low_) {
        return false;
    }
    return mode_ == 1 || mode_ == 5 ? triggered_ : gate_;
}

u64 PitCounter::elapsed(u64 now) const
{
    return elapsed_base_ + (running() && now > base_ ? now - base_ : 0);
}

void PitCounter::set_gate(bool level, u64 now)
{
    sync(now);
    if (level == gate_) {
        return;
    }
    elapsed_base_ = elapsed(now);
    base_ = std::max(base_, now);
    gate_ = level;
    if (!level) {
        return;
    }
    // A rising edge restarts all modes but 0 and 4, which merely go on.
    if (mode_ != 0 && mode_ != 4 && loaded_) {
        if (pending_) {
            count_ = next_count_;
            pending_ = false;
        }
        triggered_ = true;
        elapsed_base_ = 0;
        base_ = now + 1;
    }
}

bool PitCounter::output(u64 now) const
{
    if (pending_ && now >= switch_at_) {
        PitCounter later = *this;
        later.sync(now);
        return later.output(now);
    }
    if (!loaded_) {
        return mode_ != 0; // the control word sets OUT: low in mode 0, high in all others
    }
    const u64 done = elapsed(now);
    switch (mode_) {
    case 0:
        return !halted_low_ && done >= count_;
    case 1:
        return !triggered_ || done >= count_;
    case 2:
        return !gate_ || done % count_ != count_ - 1u;
    case 3:
        return !gate_ || done % count_ < (count_ + 1u) / 2;
    case 5:
        if (!triggered_) {
            return true;
        }
        [[fallthrough]];
    default:
        return done != count_; // modes 4 and 5 strobe low for one pulse
    }
}

u64 PitCounter::next_change(u64 now) const
{
    if (!running()) {
        return Clock::kNever;
    }
    if (now < base_) {
        return base_;
    }
    const u64 done = elapsed(now);
    u64 at = Clock::kNever; // in elapsed pulses
    switch (mode_) {
    case 0:
    case 1:
        at = done < count_ ? count_ : Clock::kNever;
        break;
    case 2:
    case 3: {
        const u64 phase = done % count_;
        const u64 low_from = mode_ == 2 ? count_ - 1u : (count_ + 1u) / 2;
        at = done - phase + (phase < low_from ? low_from : count_);
        break;
    }
    default:
        at = done < count_ ? count_ : done == count_ ? u64{count_} + 1 : Clock::kNever;
        break;
    }
    if (at == Clock::kNever) {
        return at;
    }
    const u64 pulse = now + (at - done);
    return pending_ && switch_at_ > now ? std::min(pulse, switch_at_) : pulse;
}

u16 PitCounter::counting_element(u64 now) const
{
    if (!loaded_) {
        return 0;
    }
    const u64 done = elapsed(now);
    u64 value = 0;
    if (mode_ == 2) {
        value = count_ - done % count_;
    } else if (mode_ == 3) {
        // Counts down by two, twice a period, from the count made even (figure 18).
        const u64 phase = done % count_;
        const u64 first_half = (u64{count_} + 1) / 2;
        value = (count_ & ~u64{1}) - 2 * (phase < first_half ? phase : phase - first_half);
    } else {
        const u64 limit = bcd_limit();
        value = (count_ + limit - done % limit) % limit;
    }
    value %= bcd_limit();
    return bcd_ ? to_bcd(static_cast<u32>(value)) : static_cast<u16>(value);
}

void PitCounter::latch_count(u64 now)
{
    sync(now);
    if (latched_bytes_ == 0) { // a second latch before reading is ignored
        latched_count_ = counting_element(now);
        latched_bytes_ = access_ == 3 ? 2 : 1;
    }
}

void PitCounter::latch_status(u64 now)
{
    sync(now);
    if (status_latched_) {
        return;
    }
    const bool null_count = !loaded_ || pending_ || now < base_;
    latched_status_ = static_cast<u8>((output(now) ? 0x80 : 0) | (null_count ? 0x40 : 0) |
                                      access_ << 4 | mode_ << 1 | (bcd_ ? 1 : 0));
    status_latched_ = true;
}

u8 PitCounter::read(u64 now)
{
    sync(now);
    if (status_latched_) {
        status_latched_ = false;
        return latched_status_;
    }
    const u16 value = latched_bytes_ != 0 ? latched_count_ : counting_element(now);
    bool high = access_ == 2;
    if (access_ == 3) {
        high = high_read_next_;
        high_read_next_ = !high_read_next_;
    }
    if (latched_bytes_ != 0) {
        --latched_bytes_;
    }
    return static_cast<u8>(high ? value >> 8 : value);
}

} // namespace emu::devices
