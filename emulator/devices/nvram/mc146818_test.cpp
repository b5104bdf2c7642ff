#include "emulator/devices/nvram/mc146818.hpp"
#include "emulator/devices/nvram/pc_cmos.hpp"

#include <catch2/catch.hpp>

namespace {

using namespace emu;
using namespace emu::devices;

struct Harness {
    explicit Harness(i64 start = 946'684'800) : start_{start} {}
    i64 start_;
    Clock clock{1'000'000'000};
    bool irq = false;
    int rises = 0;
    Mc146818 rtc{{.clock = clock, .irq8 = Wire{[this](bool level) {
                                      rises += level && !irq ? 1 : 0;
                                      irq = level;
                                  }}},
                 {.start_seconds = start_}};

    void set(unsigned index, unsigned value)
    {
        rtc.io_write(0x70, 1, index);
        rtc.io_write(0x71, 1, value);
    }
    unsigned get(unsigned index)
    {
        rtc.io_write(0x70, 1, index);
        return rtc.io_read(0x71, 1);
    }
    void run_to(u64 ns)
    {
        while (clock.next_deadline_ns() <= ns) {
            clock.skip_to_ns(clock.next_deadline_ns());
            clock.run_due_timers();
        }
        clock.skip_to_ns(ns);
    }
};

constexpr u64 kSecond = 1'000'000'000;

} // namespace

TEST_CASE("mc146818: the time starts where the configuration says, in BCD", "[rtc]")
{
    Harness h{1'709'210'096}; // Thursday 2024-02-29 12:34:56
    CHECK(h.get(0) == 0x56);
    CHECK(h.get(2) == 0x34);
    CHECK(h.get(4) == 0x12);
    CHECK(h.get(6) == 5);
    CHECK(h.get(7) == 0x29);
    CHECK(h.get(8) == 0x02);
    CHECK(h.get(9) == 0x24);
    CHECK(h.get(0x32) == 0x20);
    CHECK(h.get(0x0d) == 0x80);
}

TEST_CASE("mc146818: dates before 1970 and after 2370 are right", "[rtc]")
{
    Harness old{-1}; // 1969-12-31 23:59:59, a Wednesday
    CHECK(old.get(9) == 0x69);
    CHECK(old.get(8) == 0x12);
    CHECK(old.get(7) == 0x31);
    CHECK(old.get(6) == 4);
    CHECK(old.get(4) == 0x23);
    Harness far{12'622'780'800}; // 2370-01-01
    CHECK(far.get(9) == 0x70);
    CHECK(far.get(0x32) == 0x23);
    CHECK(far.get(0x37) == 0x23);
    CHECK(far.get(7) == 0x01);
    CHECK(far.get(8) == 0x01);
}

TEST_CASE("mc146818: a century ends into the next one", "[rtc]")
{
    Harness h{946'684'799}; // 1999-12-31 23:59:59, a Friday
    h.run_to(kSecond);
    CHECK(h.get(0) == 0);
    CHECK(h.get(4) == 0);
    CHECK(h.get(6) == 7);
    CHECK(h.get(7) == 1);
    CHECK(h.get(8) == 1);
    CHECK(h.get(9) == 0);
    CHECK(h.get(0x32) == 0x20);
    CHECK(h.get(0x37) == 0x20);
}

TEST_CASE("mc146818: SET freezes the clock, 12-hour mode marks the afternoon", "[rtc]")
{
    Harness h;
    h.set(0x0b, 0x80); // SET, BCD, 12 hours
    h.set(4, 0x11);
    h.set(2, 0x59);
    h.set(0, 0x59);
    h.run_to(3 * kSecond);
    CHECK(h.get(0) == 0x59);
    h.set(0x0b, 0x00);
    h.run_to(4 * kSecond);
    CHECK(h.get(4) == 0x92);
    CHECK(h.get(2) == 0);
}

TEST_CASE("mc146818: update in progress shows 2228 us before the second", "[rtc]")
{
    Harness h;
    h.run_to(kSecond - 2'228'001);
    CHECK(h.get(0x0a) == 0x26);
    h.run_to(kSecond - 2'228'000);
    CHECK(h.get(0x0a) == 0xa6);
    h.run_to(kSecond);
    CHECK(h.get(0x0a) == 0x26);
}

TEST_CASE("mc146818: alarm and update-ended interrupts, cleared by reading C", "[rtc]")
{
    Harness h;
    h.set(1, 0x02);
    h.set(3, 0xff);
    h.set(5, 0xff);
    h.set(0x0b, 0x22);
    h.run_to(kSecond);
    CHECK_FALSE(h.irq);
    h.run_to(2 * kSecond);
    CHECK(h.irq);
    CHECK((h.get(0x0c) & 0xb0) == 0xb0);
    CHECK_FALSE(h.irq);
    h.set(0x0b, 0x12);
    h.run_to(3 * kSecond);
    CHECK(h.irq);
}

TEST_CASE("mc146818: the periodic interrupt comes 1024 times a second at rate 6", "[rtc]")
{
    Harness h;
    h.set(0x0b, 0x42);
    for (u64 ns = 0; ns <= kSecond; ns += 100'000) {
        h.run_to(ns);
        if (h.irq) {
            CHECK((h.get(0x0c) & 0xc0) == 0xc0);
        }
    }
    CHECK(h.rises == 1024);
}

TEST_CASE("mc146818: the periodic flag can be polled without its interrupt", "[rtc]")
{
    Harness h;
    h.get(0x0c);
    CHECK((h.get(0x0c) & 0x40) == 0);
    h.run_to(1'000'000);
    CHECK((h.get(0x0c) & 0xc0) == 0x40);
    CHECK((h.get(0x0c) & 0x40) == 0);
}

TEST_CASE("mc146818: the upper bank is apart from the lower", "[rtc]")
{
    Harness h;
    h.rtc.io_write(0x72, 1, 0x10);
    h.rtc.io_write(0x73, 1, 0xa5);
    CHECK(h.get(0x10) == 0);
    CHECK(h.rtc.byte(0x90) == 0xa5);
}

TEST_CASE("pc_cmos: memory sizes, drives and boot order are where firmware looks", "[rtc]")
{
    Harness h;
    fill_pc_cmos(h.rtc,
                 {.ram_below_4g = 128ull << 20,
                  .ram_above_4g = 1ull << 30,
                  .floppies = {FloppyDrive::k1440, FloppyDrive::none},
                  .boot_order = {BootDevice::cdrom, BootDevice::floppy, BootDevice::hard_disk}});
    CHECK(h.get(0x15) == 0x80);
    CHECK(h.get(0x16) == 0x02);
    CHECK((h.get(0x30) | h.get(0x31) << 8) == 0xffff);
    CHECK((h.get(0x34) | h.get(0x35) << 8) == 0x700);
    CHECK((h.get(0x5b) | h.get(0x5c) << 8) == 0x4000);
    CHECK(h.get(0x10) == 0x40);
    CHECK(h.get(0x14) == 0x07);
    CHECK(h.get(0x3d) == 0x13);
    CHECK(h.get(0x38) == 0x20);
}
