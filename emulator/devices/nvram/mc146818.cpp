#include "emulator/devices/nvram/mc146818.hpp"

#include <algorithm>
#include <chrono> // calendar arithmetic only: no clock is read

namespace emu::devices {

namespace {

enum Index : u8 {
    kSeconds = 0x00,
    kSecondsAlarm = 0x01,
    kMinutes = 0x02,
    kMinutesAlarm = 0x03,
    kHours = 0x04,
    kHoursAlarm = 0x05,
    kDayOfWeek = 0x06, // 1 is Sunday
    kDayOfMonth = 0x07,
    kMonth = 0x08,
    kYear = 0x09,
    kRegisterA = 0x0a,
    kRegisterB = 0x0b,
    kRegisterC = 0x0c,
    kRegisterD = 0x0d,
    kCentury = 0x32, // a PC convention, not the chip's
    kPs2Century = 0x37
};

// Register B
constexpr u8 kSet = 0x80;
constexpr u8 kBinary = 0x04;
constexpr u8 k24Hours = 0x02;
// Register C; the same bits of B enable the interrupts
constexpr u8 kInterrupt = 0x80;
constexpr u8 kPeriodic = 0x40;
constexpr u8 kAlarm = 0x20;
constexpr u8 kUpdateEnded = 0x10;

constexpr u8 kPm = 0x80; // of the hours in 12-hour mode
constexpr u64 kSecondNs = 1'000'000'000;
// UIP rises 244 us before an update cycle of 1984 us (data sheet, table 5, 32.768 kHz).
constexpr u64 kUpdateNs = (244 + 1984) * 1000;

int days_in_month(int month, int year)
{
    static constexpr std::array<int, 12> kDays{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12) {
        return 31; // the guest set nonsense
    }
    return kDays[static_cast<unsigned>(month - 1)] + (month == 2 && year % 4 == 0 ? 1 : 0);
}

} // namespace

Mc146818::Mc146818(Wiring wiring, Config config)
    : wiring_{.clock = wiring.clock, .irq8 = {}}, second_timer_{wiring_.clock, "mc146818.second",
                                                                [this] { second_passed(); }},
      periodic_timer_{wiring_.clock, "mc146818.periodic", [this] {
                          raise(kPeriodic);
                          periodic_seen_ = periodic_ticks();
                          arm_periodic();
                      }}
{
    ram_[kRegisterA] = 0x26; // 32.768 kHz time base, 1024 Hz periodic rate: the PC's usual set-up
    ram_[kRegisterB] = k24Hours;
    set_time(config.start_seconds);
    second_timer_.arm_in(kSecondNs);
    reset(); // drives nothing yet: what is at the wires' ends may not be constructed
    wiring_.irq8 = std::move(wiring.irq8);
}

void Mc146818::reset()
{
    ram_[kRegisterB] &= static_cast<u8>(~(kPeriodic | kAlarm | kUpdateEnded | 0x08));
    ram_[kRegisterC] = 0;
    index_ = 0;
    upper_index_ = 0x80;
    nmi_masked_ = false;
    arm_periodic();
    update_irq();
}

void Mc146818::visit_state(StateVisitor& visitor)
{
    visitor.section("mc146818");
    visitor.bytes("ram", ram_);
    visitor.field("index", index_);
    visitor.field("upper_index", upper_index_);
    visitor.field("nmi_masked", nmi_masked_);
    visitor.field("periodic_seen", periodic_seen_);
    second_timer_.visit_state(visitor);
    periodic_timer_.visit_state(visitor);
}

void Mc146818::set_byte(u8 index, u8 value)
{
    if (index > kRegisterD) {
        ram_[index] = value;
    }
}

int Mc146818::decode(u8 index) const
{
    const u8 raw = ram_[index];
    return (ram_[kRegisterB] & kBinary) != 0 ? raw : (raw >> 4) * 10 + (raw & 15);
}

void Mc146818::encode(u8 index, int value)
{
    const bool binary = (ram_[kRegisterB] & kBinary) != 0;
    ram_[index] = static_cast<u8>(binary ? value : value / 10 << 4 | value % 10);
}

/// ATs and PS/2s keep it in different places, and guests look in either.
void Mc146818::encode_century(int century)
{
    encode(kCentury, century);
    encode(kPs2Century, century);
}

int Mc146818::hour() const
{
    if ((ram_[kRegisterB] & k24Hours) != 0) {
        return decode(kHours);
    }
    const u8 raw = ram_[kHours] & 0x7f;
    const int twelve = (ram_[kRegisterB] & kBinary) != 0 ? raw : (raw >> 4) * 10 + (raw & 15);
    return twelve % 12 + ((ram_[kHours] & kPm) != 0 ? 12 : 0);
}

void Mc146818::set_hour(int hour)
{
    if ((ram_[kRegisterB] & k24Hours) != 0) {
        encode(kHours, hour);
        return;
    }
    encode(kHours, hour % 12 == 0 ? 12 : hour % 12);
    ram_[kHours] |= hour >= 12 ? kPm : 0;
}

void Mc146818::set_time(i64 seconds)
{
    // Year 0 to 9999: what the century byte can say.
    using namespace std::chrono;
    const i64 clamped = std::clamp<i64>(seconds, -62'167'219'200, 253'402'300'799);
    const sys_days day{floor<days>(sys_seconds{std::chrono::seconds{clamped}})};
    const year_month_day date{day};
    const i64 of_day = clamped - i64{day.time_since_epoch().count()} * 86'400;
    const int year = static_cast<int>(date.year());
    encode(kSeconds, static_cast<int>(of_day % 60));
    encode(kMinutes, static_cast<int>(of_day / 60 % 60));
    set_hour(static_cast<int>(of_day / 3600));
    encode(kDayOfWeek, static_cast<int>(weekday{day}.c_encoding()) + 1);
    encode(kDayOfMonth, static_cast<int>(static_cast<unsigned>(date.day())));
    encode(kMonth, static_cast<int>(static_cast<unsigned>(date.month())));
    encode(kYear, year % 100);
    encode_century(year / 100);
}

void Mc146818::second_passed()
{
    // Seconds behind (a forged snapshot) are skipped, not caught up with one by one.
    second_timer_.arm(
        std::max(second_timer_.deadline_ns() + kSecondNs, wiring_.clock.now_ns() + 1));
    if ((ram_[kRegisterB] & kSet) != 0) {
        return; // SET freezes the time and aborts updates
    }
    // "Next" also brings values a guest set out of range back into range, as the chip's compare
    // with the limit does.
    const auto step = [this](u8 index, int limit) {
        const int next = decode(index) + 1;
        encode(index, next >= limit ? 0 : next);
        return next >= limit;
    };
    if (step(kSeconds, 60) && step(kMinutes, 60)) {
        const int next = hour() + 1;
        set_hour(next >= 24 ? 0 : next);
        if (next >= 24) {
            advance_date();
        }
    }
    raise(static_cast<u8>(kUpdateEnded | (alarm_matches() ? kAlarm : 0)));
}

void Mc146818::advance_date()
{
    encode(kDayOfWeek, decode(kDayOfWeek) % 7 + 1);
    const int day = decode(kDayOfMonth) + 1;
    if (day <= days_in_month(decode(kMonth), decode(kYear))) {
        encode(kDayOfMonth, day);
        return;
    }
    encode(kDayOfMonth, 1);
    const int month = decode(kMonth) + 1;
    encode(kMonth, month > 12 ? 1 : month);
    if (month <= 12) {
        return;
    }
    const int year = decode(kYear) + 1;
    encode(kYear, year > 99 ? 0 : year);
    if (year > 99) {
        encode_century((decode(kCentury) + 1) % 100);
    }
}

bool Mc146818::alarm_matches() const
{
    // Codes C0h to FFh match anything (data sheet, "Alarm Registers").
    const auto matches = [this](u8 alarm, u8 time) {
        return ram_[alarm] >= 0xc0 || ram_[alarm] == ram_[time];
    };
    return matches(kSecondsAlarm, kSeconds) && matches(kMinutesAlarm, kMinutes) &&
           matches(kHoursAlarm, kHours);
}

bool Mc146818::update_in_progress() const
{
    const u64 now = wiring_.clock.now_ns();
    return (ram_[kRegisterB] & kSet) == 0 && second_timer_.deadline_ns() <= now + kUpdateNs;
}

u64 Mc146818::periodic_ticks() const
{
    const unsigned rate = ram_[kRegisterA] & 15;
    if (rate == 0) {
        return 0;
    }
    // Data sheet, table 3: rates 1 and 2 mean what 8 and 9 mean; rate n is 32768 >> (n - 1) Hz.
    const unsigned shift = (rate <= 2 ? rate + 7 : rate) - 1;
    const u64 now = wiring_.clock.now_ns();
    const u64 base = now / kSecondNs * 32'768 + now % kSecondNs * 32'768 / kSecondNs;
    return base >> shift;
}

u64 Mc146818::periodic_deadline() const
{
    const unsigned rate = ram_[kRegisterA] & 15;
    const unsigned shift = (rate <= 2 ? rate + 7 : rate) - 1;
    const u64 base = (periodic_ticks() + 1) << shift;
    return base / 32'768 * kSecondNs + (base % 32'768 * kSecondNs + 32'767) / 32'768;
}

void Mc146818::arm_periodic()
{
    // Without the interrupt nobody sees PF until C is read: then it is computed (read_flags).
    const bool wanted = (ram_[kRegisterB] & kPeriodic) != 0 && (ram_[kRegisterA] & 15) != 0;
    if (wanted) {
        periodic_timer_.arm(periodic_deadline());
    } else {
        periodic_timer_.cancel();
    }
}

void Mc146818::raise(u8 flag)
{
    ram_[kRegisterC] |= flag;
    update_irq();
}

void Mc146818::update_irq()
{
    const u8 causes = ram_[kRegisterC] & ram_[kRegisterB] & (kPeriodic | kAlarm | kUpdateEnded);
    if (causes != 0) {
        ram_[kRegisterC] |= kInterrupt;
    } else {
        ram_[kRegisterC] &= static_cast<u8>(~kInterrupt);
    }
    wiring_.irq8.set(causes != 0);
}

u8 Mc146818::read_flags()
{
    const u64 ticks = periodic_ticks();
    if (ticks != periodic_seen_) {
        periodic_seen_ = ticks;
        ram_[kRegisterC] |= kPeriodic;
        update_irq();
    }
    const u8 flags = ram_[kRegisterC];
    ram_[kRegisterC] = 0; // reading clears all
    update_irq();
    return flags;
}

u8 Mc146818::read_register(u8 index)
{
    switch (index) {
    case kRegisterA:
        return static_cast<u8>((ram_[index] & 0x7f) | (update_in_progress() ? 0x80 : 0));
    case kRegisterC:
        return read_flags();
    case kRegisterD:
        return 0x80; // VRT: the battery is good
    default:
        return ram_[index];
    }
}

void Mc146818::write_register(u8 index, u8 value)
{
    switch (index) {
    case kRegisterA:
        ram_[index] = value & 0x7f;
        periodic_seen_ = periodic_ticks();
        arm_periodic();
        break;
    case kRegisterB:
        ram_[index] = (value & kSet) != 0 ? value & static_cast<u8>(~kUpdateEnded) : value;
        arm_periodic();
        update_irq();
        break;
    case kRegisterC:
    case kRegisterD:
        break; // read-only
    default:
        ram_[index] = value;
        break;
    }
}

u8 Mc146818::read_byte(u16 port)
{
    switch (port & 3) {
    case 1:
        return read_register(index_);
    case 2:
        return upper_index_;
    case 3:
        return ram_[upper_index_];
    default:
        return 0xff; // 70h is write-only
    }
}

void Mc146818::write_byte(u16 port, u8 value)
{
    switch (port & 3) {
    case 0:
        index_ = value & 0x7f;
        nmi_masked_ = (value & 0x80) != 0;
        break;
    case 1:
        write_register(index_, value);
        break;
    case 2:
        upper_index_ = value | 0x80;
        break;
    default:
        ram_[upper_index_] = value;
        break;
    }
}

} // namespace emu::devices
