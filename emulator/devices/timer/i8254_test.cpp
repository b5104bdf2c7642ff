#include "emulator/devices/timer/i8254.hpp"

#include <catch2/catch.hpp>

namespace {

using namespace emu;
using emu::devices::I8254;

struct Harness {
    Clock clock{1'000'000'000};
    bool irq = false;
    int rises = 0;
    I8254 pit{{.clock = clock, .irq0 = Wire{[this](bool level) {
                                   rises += level && !irq ? 1 : 0;
                                   irq = level;
                               }}}};

    void out(unsigned port, unsigned value) { pit.io_write(port, 1, value); }
    unsigned in(unsigned port) { return pit.io_read(port, 1); }
    void run_to_pulse(u64 pulse)
    {
        const u64 target = devices::pit_ns_of(pulse);
        while (clock.next_deadline_ns() <= target) {
            clock.skip_to_ns(clock.next_deadline_ns());
            clock.run_due_timers();
        }
        clock.skip_to_ns(target);
    }
    unsigned latched(unsigned counter)
    {
        out(0x43, counter << 6);
        const unsigned low = in(0x40 + counter);
        return low | in(0x40 + counter) << 8;
    }
};

} // namespace

TEST_CASE("i8254: 1,193,181 pulses pass in a second and conversions agree", "[i8254]")
{
    CHECK(devices::pit_pulses_at(1'000'000'000) == 1'193'181);
    CHECK(devices::pit_ns_of(105) == 88'000);
    for (const u64 pulse : {1ull, 104ull, 106ull, 999'999ull}) {
        CHECK(devices::pit_pulses_at(devices::pit_ns_of(pulse)) == pulse);
        CHECK(devices::pit_pulses_at(devices::pit_ns_of(pulse) - 1) == pulse - 1);
    }
}

TEST_CASE("i8254: mode 0 raises OUT once, N+1 pulses after the write", "[i8254]")
{
    Harness h;
    h.out(0x43, 0x30);
    h.out(0x40, 100);
    h.out(0x40, 0);
    CHECK_FALSE(h.irq);
    h.run_to_pulse(51);
    CHECK(h.latched(0) == 50);
    h.run_to_pulse(100);
    CHECK_FALSE(h.irq);
    h.run_to_pulse(101);
    CHECK(h.irq);
    h.run_to_pulse(103);
    CHECK(h.latched(0) == 0xfffe); // it goes on counting
}

TEST_CASE("i8254: mode 2 interrupts every N pulses", "[i8254]")
{
    Harness h;
    h.out(0x43, 0x34);
    h.out(0x40, 10);
    h.out(0x40, 0);
    CHECK(h.irq);
    h.rises = 0;
    h.run_to_pulse(101);
    CHECK(h.rises == 10);
    CHECK(h.latched(0) == 10);
    h.run_to_pulse(110);
    CHECK_FALSE(h.irq);
    CHECK(h.latched(0) == 1);
}

TEST_CASE("i8254: mode 2 takes a new count at the end of the period", "[i8254]")
{
    Harness h;
    h.out(0x43, 0x34);
    h.out(0x40, 10);
    h.out(0x40, 0);
    h.run_to_pulse(5);
    h.out(0x40, 20);
    h.out(0x40, 0);
    h.rises = 0;
    h.run_to_pulse(11);
    CHECK(h.rises == 1);
    CHECK(h.latched(0) == 20);
    h.run_to_pulse(30);
    CHECK(h.rises == 1);
    h.run_to_pulse(31);
    CHECK(h.rises == 2);
}

TEST_CASE("i8254: mode 3 is a square wave that counts by two", "[i8254]")
{
    Harness h;
    h.out(0x43, 0x36);
    h.out(0x40, 0);
    h.out(0x40, 0); // 65536
    h.run_to_pulse(1 + 100);
    CHECK(h.latched(0) == 65336);
    CHECK(h.irq);
    h.run_to_pulse(1 + 32768);
    CHECK_FALSE(h.irq);
    h.run_to_pulse(1 + 65536);
    CHECK(h.irq);
}

TEST_CASE("i8254: modes 4 and 5 strobe for one pulse, 5 waits for the gate", "[i8254]")
{
    Harness h;
    h.out(0x43, 0x38);
    h.out(0x40, 5);
    h.out(0x40, 0);
    CHECK(h.irq);
    h.run_to_pulse(6);
    CHECK_FALSE(h.irq);
    h.run_to_pulse(7);
    CHECK(h.irq);

    h.out(0x43, 0xba);
    h.out(0x42, 5);
    h.out(0x42, 0);
    h.run_to_pulse(100);
    CHECK(h.pit.output2());
    h.pit.set_gate2(true);
    h.run_to_pulse(106);
    CHECK_FALSE(h.pit.output2());
    h.run_to_pulse(107);
    CHECK(h.pit.output2());
}

TEST_CASE("i8254: mode 1 is a retriggerable one-shot", "[i8254]")
{
    Harness h;
    h.out(0x43, 0xb2);
    h.out(0x42, 10);
    h.out(0x42, 0);
    CHECK(h.pit.output2());
    h.pit.set_gate2(true);
    h.run_to_pulse(5);
    CHECK_FALSE(h.pit.output2());
    h.pit.set_gate2(false);
    h.pit.set_gate2(true);
    h.run_to_pulse(13);
    CHECK_FALSE(h.pit.output2());
    h.run_to_pulse(16);
    CHECK(h.pit.output2());
}

TEST_CASE("i8254: a low gate freezes mode 0", "[i8254]")
{
    Harness h;
    h.pit.set_gate2(true);
    h.out(0x43, 0xb0);
    h.out(0x42, 100);
    h.out(0x42, 0);
    h.run_to_pulse(11);
    h.pit.set_gate2(false);
    h.run_to_pulse(50);
    CHECK(h.latched(2) == 90);
    h.pit.set_gate2(true);
    h.run_to_pulse(60);
    CHECK(h.latched(2) == 80);
}

TEST_CASE("i8254: BCD counts and read-back status", "[i8254]")
{
    Harness h;
    h.out(0x43, 0x35);
    h.out(0x40, 0x00);
    h.out(0x40, 0x10);         // 1000 decimal
    h.out(0x43, 0xe2);         // status of counter 0
    CHECK(h.in(0x40) == 0xf5); // OUT high, null count until the next pulse
    h.run_to_pulse(2);
    CHECK(h.latched(0) == 0x0999);
    h.out(0x43, 0xc2); // status and count
    CHECK(h.in(0x40) == 0xb5);
    CHECK(h.in(0x40) == 0x99);
    CHECK(h.in(0x40) == 0x09);
}
