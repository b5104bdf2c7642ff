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

TEST_CASE("port space: an unclaimed port reads as ones of the access size")
{
    PortSpace ports;

    CHECK(ports.read(0x300, 1) == 0xff);
    CHECK(ports.read(0x300, 2) == 0xffff);
    CHECK(ports.read(0x300, 4) == 0xffffffff);
}
