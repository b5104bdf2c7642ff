#include "emulator/devices/serial/uart16550.hpp"

#include <catch2/catch.hpp>

#include <string>

namespace {

using namespace emu;
using emu::devices::Uart16550;

struct Harness : CharSink {
    Clock clock{1'000'000'000};
    bool irq = false;
    std::string sent;
    Uart16550 uart{
        "com1", {.clock = clock, .irq = Wire{[this](bool level) { irq = level; }}, .line = this}};

    void put(u8 byte) override { sent += static_cast<char>(byte); }
    void out(unsigned reg, unsigned value) { uart.io_write(0x3f8 + reg, 1, value); }
    unsigned in(unsigned reg) { return uart.io_read(0x3f8 + reg, 1); }
    void input(std::string_view text)
    {
        uart.deliver({reinterpret_cast<const u8*>(text.data()), text.size()});
    }
    void run(u64 ns)
    {
        const u64 end = clock.now_ns() + ns;
        while (clock.next_deadline_ns() <= end) {
            clock.skip_to_ns(clock.next_deadline_ns());
            clock.run_due_timers();
        }
        clock.skip_to_ns(end);
    }
    /// 115200 baud, 8N1: a character takes 86,805 ns.
    void set_up()
    {
        out(3, 0x83);
        out(0, 1);
        out(1, 0);
        out(3, 0x03);
        out(4, 0x0b);
    }
};

constexpr u64 kCharacter = 86'806;

} // namespace

TEST_CASE("uart16550: what the transmitter holds can be sent at the end, and is at a reset")
{
    Harness h;
    h.set_up();
    h.out(2, 0x01);
    for (const char c : {'e', 'n', 'd'}) {
        h.out(0, static_cast<unsigned>(c));
    }
    CHECK(h.sent.empty());

    h.uart.send_remaining();
    CHECK(h.sent == "end");
    CHECK(h.in(5) == 0x00); // it is sending still

    h.sent.clear();
    h.uart.reset();
    CHECK(h.sent == "end");
    CHECK(h.in(5) == 0x60);
    h.run(10'000);
    CHECK(h.sent == "end");
}

TEST_CASE("uart16550: in loopback nothing leaves at the end")
{
    Harness h;
    h.set_up();
    h.out(4, 0x1b);
    h.out(0, 'x');

    h.uart.send_remaining();

    CHECK(h.sent.empty());
}

TEST_CASE("uart16550: a character leaves within a microsecond, not at once", "[serial]")
{
    Harness h;
    h.set_up();
    CHECK(h.in(5) == 0x60);
    h.out(0, 'x');
    CHECK(h.in(5) == 0x20); // in the shift register
    h.run(990);
    CHECK(h.sent.empty());
    h.run(10);
    CHECK(h.sent == "x");
    CHECK(h.in(5) == 0x60);
}

TEST_CASE("uart16550: the transmit FIFO holds 16 characters", "[serial]")
{
    Harness h;
    h.set_up();
    h.out(2, 0x07);
    CHECK(h.in(2) == 0xc1);
    for (const char c : std::string{"0123456789abcdefg"}) {
        h.out(0, static_cast<u8>(c)); // one in the shift register, 16 behind it
    }
    h.run(17 * kCharacter);
    CHECK(h.sent == "0123456789abcdefg");
}

TEST_CASE("uart16550: the transmit interrupt comes on enabling and clears on reading IIR",
          "[serial]")
{
    Harness h;
    h.set_up();
    h.out(1, 0x02);
    CHECK(h.irq);
    CHECK(h.in(2) == 0x02);
    CHECK_FALSE(h.irq);
    CHECK(h.in(2) == 0x01);
    h.out(0, 'a');
    CHECK(h.irq); // moved on to the shift register at once
}

TEST_CASE("uart16550: OUT2 gates the interrupt line", "[serial]")
{
    Harness h;
    h.set_up();
    h.out(4, 0x03);
    h.out(1, 0x02);
    CHECK_FALSE(h.irq);
    h.out(4, 0x0b);
    CHECK(h.irq);
}

TEST_CASE("uart16550: input waits until the receiver has room and is never lost", "[serial]")
{
    Harness h;
    h.set_up();
    h.out(1, 0x01);
    h.input("hello");
    CHECK_FALSE(h.irq);
    h.run(10 * kCharacter);
    CHECK(h.irq);
    CHECK(h.uart.waiting_bytes() == 4); // no FIFO: one byte at a time
    std::string got;
    for (int i = 0; i < 5; ++i) {
        CHECK(h.in(5) == 0x61);
        got += static_cast<char>(h.in(0));
        h.run(kCharacter);
    }
    CHECK(got == "hello");
    CHECK(h.uart.can_accept());
    CHECK(h.in(5) == 0x60);
}

TEST_CASE("uart16550: the FIFO interrupts at its trigger level or after four characters",
          "[serial]")
{
    Harness h;
    h.set_up();
    h.out(2, 0x41); // trigger at 4
    h.out(1, 0x01);
    h.input("abc");
    h.run(3 * kCharacter);
    CHECK_FALSE(h.irq);
    h.run(4 * kCharacter);
    CHECK(h.irq);
    CHECK(h.in(2) == 0xcc);
    CHECK(h.in(0) == 'a');
    CHECK_FALSE(h.irq);
    h.input("defg");
    h.run(2 * kCharacter);
    CHECK(h.in(2) == 0xc4);
}

TEST_CASE("uart16550: loopback returns data and modem lines, nothing leaves", "[serial]")
{
    Harness h;
    h.set_up();
    h.in(6);
    h.out(4, 0x1a);                  // loopback, RTS and OUT2
    CHECK(h.in(6) == (0x90 | 0x02)); // CTS and DCD stay, DSR fell
    h.out(0, 0x55);
    h.run(kCharacter);
    CHECK(h.in(0) == 0x55);
    CHECK(h.sent.empty());
}

TEST_CASE("uart16550: loopback overrun is reported once", "[serial]")
{
    Harness h;
    h.set_up();
    h.out(4, 0x10);
    h.out(0, 'a');
    h.run(kCharacter);
    h.out(0, 'b');
    h.run(kCharacter);
    CHECK(h.in(5) == 0x63);
    CHECK(h.in(5) == 0x61);
    CHECK(h.in(0) == 'b');
}

TEST_CASE("uart16550: the scratch register and divisor latch keep their values", "[serial]")
{
    Harness h;
    h.out(7, 0xa5);
    h.out(3, 0x80);
    h.out(0, 0x34);
    h.out(1, 0x12);
    CHECK(h.in(0) == 0x34);
    CHECK(h.in(1) == 0x12);
    CHECK(h.in(7) == 0xa5);
}
