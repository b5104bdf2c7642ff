#include "emulator/devices/parallel/parallel_port.hpp"

#include <catch2/catch.hpp>

#include <string>

namespace {

using namespace emu;

struct Harness : CharSink {
    Clock clock{1'000'000'000};
    int interrupts = 0;
    std::string printed;
    devices::ParallelPort port{{.clock = clock,
                                .irq = Wire{[this](bool level) { interrupts += level ? 1 : 0; }},
                                .printer = this}};
    void put(u8 byte) override { printed += static_cast<char>(byte); }
    void print(char c)
    {
        port.io_write(0x378, 1, static_cast<u8>(c));
        port.io_write(0x37a, 1, 0x1d);
        port.io_write(0x37a, 1, 0x1c);
    }
    void finish()
    {
        while (clock.next_deadline_ns() != Clock::kNever) {
            clock.skip_to_ns(clock.next_deadline_ns());
            clock.run_due_timers();
        }
    }
};

} // namespace

TEST_CASE("parallel: each strobe prints one byte, then acknowledges with an interrupt",
          "[parallel]")
{
    Harness h;
    CHECK(h.port.io_read(0x379, 1) == 0xdf);
    h.print('o');
    CHECK(h.port.io_read(0x379, 1) == 0x5f); // busy
    h.finish();
    CHECK(h.interrupts == 1);
    h.print('k');
    h.finish();
    CHECK(h.printed == "ok");
    CHECK(h.port.io_read(0x379, 1) == 0xdf);
}

TEST_CASE("parallel: data and control can be read back, as probes do", "[parallel]")
{
    Harness h;
    h.port.io_write(0x378, 1, 0xaa);
    CHECK(h.port.io_read(0x378, 1) == 0xaa);
    h.port.io_write(0x37a, 1, 0x0c);
    CHECK(h.port.io_read(0x37a, 1) == 0xcc);
    CHECK(h.printed.empty());
}
