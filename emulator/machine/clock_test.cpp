#include "emulator/machine/clock.hpp"
#include "emulator/machine/port_space.hpp"

#include <catch2/catch.hpp>

using namespace emu;

TEST_CASE("clock: time is instructions over the fixed rate, plus what was skipped")
{
    Clock clock{500'000'000};
    clock.set_retired(10);
    CHECK(clock.now_ns() == 20);

    clock.skip_to_ns(1000);
    CHECK(clock.now_ns() == 1000);

    clock.skip_to_ns(500);
    CHECK(clock.now_ns() == 1000);
}

TEST_CASE("clock: timers fire in the order of deadlines, then of arming")
{
    Clock clock{1'000'000'000};
    std::string order;
    Timer a{clock, "a", [&] { order += 'a'; }};
    Timer b{clock, "b", [&] { order += 'b'; }};
    Timer c{clock, "c", [&] { order += 'c'; }};
    a.arm(50);
    b.arm(20);
    c.arm(50);
    CHECK(clock.next_deadline_instructions() == 20);

    clock.set_retired(50);
    clock.run_due_timers();

    CHECK(order == "bac");
    CHECK(clock.next_deadline_ns() == Clock::kNever);
}

TEST_CASE("clock: a deadline is reached at the first instruction not before it")
{
    Clock clock{300'000'000};
    Timer timer{clock, "t", [] {}};
    timer.arm(10);

    CHECK(clock.next_deadline_instructions() == 3);
}

TEST_CASE("clock: a stall passes time without instructions")
{
    Clock clock{300'000'000};
    u64 told = 0;
    clock.set_stall_listener([&](u64 instructions) { told += instructions; });
    Timer timer{clock, "t", [] {}};
    timer.arm(1100);
    clock.set_retired(30);

    clock.stall(1000);

    CHECK(clock.now_ns() == 1100);
    CHECK(clock.instructions_now() == 30);
    CHECK(clock.ticks_now() == 330);
    CHECK(clock.next_deadline_instructions() == 30);
    CHECK(told == 300);

    clock.stall(1); // less than an instruction
    CHECK(told == 301);
    CHECK(clock.ticks_now() == 330);
}

TEST_CASE("port space: an access takes as many cycles as its bus needs")
{
    struct Silent final : IoHandler {
        u32 io_read(u64, unsigned) override { return 0; }
        void io_write(u64, unsigned, u32) override {}
    } device;
    PortSpace ports{{{{1000, 1}, {500, 2}, {300, 4}}}};
    ports.map(0x60, 1, device, "isa", PortBus::isa);
    ports.map(0x1f0, 8, device, "isa16", PortBus::isa16);
    const auto pci = ports.map(0x1f0, 8, device, "pci", PortBus::pci);

    CHECK(ports.access_ns(0x60, 1) == 1000);
    CHECK(ports.access_ns(0x60, 4) == 4000);
    CHECK(ports.access_ns(0x300, 2) == 2000); // nobody
    CHECK(ports.access_ns(0x1f0, 1) == 300);
    CHECK(ports.access_ns(0x1f0, 4) == 300);

    ports.unmap(pci);
    CHECK(ports.access_ns(0x1f0, 1) == 500);
    CHECK(ports.access_ns(0x1f0, 4) == 1000);
}

TEST_CASE("port space: an unclaimed port reads as ones of the access size")
{
    PortSpace ports;

    CHECK(ports.read(0x300, 1) == 0xff);
    CHECK(ports.read(0x300, 2) == 0xffff);
    CHECK(ports.read(0x300, 4) == 0xffffffff);
}
