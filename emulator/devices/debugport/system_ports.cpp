#include "emulator/devices/debugport/system_ports.hpp"

namespace emu::devices {

namespace {

constexpr u8 kFastReset = 0x01;
constexpr u8 kFastA20 = 0x02;
constexpr u64 kRefreshPeriodNs = 15'085; // 18 timer pulses: one refresh cycle, bit 4 toggles

} // namespace

void A20Gate::reset()
{
    set(true); // the reset vector must be reachable
}

void A20Gate::visit_state(StateVisitor& visitor)
{
    visitor.section("a20");
    visitor.field("open", open_);
    if (visitor.restoring()) {
        set(open_);
    }
}

void A20Gate::set(bool open)
{
    open_ = open;
    if (memory_.a20() != open) {
        memory_.set_a20(open);
    }
}

void SystemControlA::reset()
{
    value_ = 0; // A20 is its gate's to reset
}

u8 SystemControlA::read_byte(u16)
{
    if (!wiring_.a20_now) {
        return value_;
    }
    return static_cast<u8>((value_ & ~kFastA20) | (wiring_.a20_now() ? kFastA20 : 0));
}

void SystemControlA::write_byte(u16, u8 value)
{
    const bool reset_edge = (value & kFastReset) != 0 && (value_ & kFastReset) == 0;
    value_ = value;
    wiring_.a20.set((value & kFastA20) != 0);
    if (reset_edge) {
        wiring_.reset.pulse();
    }
}

void SystemControlB::reset()
{
    value_ = 0;
    wiring_.gate2.set(false);
}

u8 SystemControlB::read_byte(u16)
{
    const bool refresh = (wiring_.clock.now_ns() / kRefreshPeriodNs & 1) != 0;
    const bool output = wiring_.output2 && wiring_.output2();
    return static_cast<u8>((value_ & 0x0f) | (refresh ? 0x10 : 0) | (output ? 0x20 : 0));
}

void SystemControlB::write_byte(u16, u8 value)
{
    value_ = value & 0x0f;
    wiring_.gate2.set((value & 1) != 0);
}

} // namespace emu::devices
