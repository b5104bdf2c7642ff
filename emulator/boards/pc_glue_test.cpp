#include "emulator/boards/pc_glue.hpp"

#include <catch2/catch.hpp>

using namespace emu;
using namespace emu::boards;

TEST_CASE("isa interrupts: a line is up while any of its sources is")
{
    std::vector<std::pair<unsigned, bool>> changes;
    IsaInterrupts lines{[&](unsigned irq, bool level) { changes.emplace_back(irq, level); }};
    const Wire a = lines.source(9);
    const Wire b = lines.source(9);

    a.set(true);
    b.set(true);
    a.set(false);
    b.set(false);

    REQUIRE(changes.size() == 2);
    CHECK(changes[0] == std::pair{9u, true});
    CHECK(changes[1] == std::pair{9u, false});
}

TEST_CASE("isa interrupts: reset drops what is up")
{
    int falls = 0;
    IsaInterrupts lines{[&](unsigned, bool level) { falls += level ? 0 : 1; }};
    lines.source(5).set(true);

    lines.reset();

    CHECK(falls == 1);
    CHECK_FALSE(lines.level(5));
}

TEST_CASE("fpu error: port F0h drops the interrupt and raises IGNNE# until FERR# is gone")
{
    bool irq = false;
    FpuErrorLatch latch{Wire{[&](bool level) { irq = level; }}};
    latch.set_ferr(true);
    CHECK(irq);
    CHECK_FALSE(latch.ignne());

    latch.io_write(0xf0, 1, 0);
    CHECK_FALSE(irq);
    CHECK(latch.ignne());

    latch.set_ferr(false);
    CHECK_FALSE(latch.ignne());
}

TEST_CASE("delayed rise: only the rising edge waits")
{
    Clock clock{1'000'000'000};
    bool level = false;
    DelayedRise delay{clock, 1000, Wire{[&](bool l) { level = l; }}};
    const Wire input = delay.input();

    input.set(true);
    CHECK_FALSE(level);
    clock.skip_to_ns(1000);
    clock.run_due_timers();
    CHECK(level);

    input.set(false);
    CHECK_FALSE(level);
}
