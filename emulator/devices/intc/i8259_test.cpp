#include "emulator/devices/intc/i8259.hpp"

#include <catch2/catch.hpp>

namespace {

using emu::Wire;
using emu::devices::I8259Pair;

struct Harness {
    bool intr = false;
    I8259Pair pic{Wire{[this](bool level) { intr = level; }}};

    void out(unsigned port, unsigned value) { pic.io_write(port, 1, value); }
    unsigned in(unsigned port) { return pic.io_read(port, 1); }

    /// What every PC BIOS does: vectors 08h and 70h, nothing masked.
    void initialise(unsigned icw4 = 0x01)
    {
        out(0x20, 0x11);
        out(0x21, 0x08);
        out(0x21, 0x04);
        out(0x21, icw4);
        out(0xa0, 0x11);
        out(0xa1, 0x70);
        out(0xa1, 0x02);
        out(0xa1, 0x01);
    }
};

} // namespace

TEST_CASE("i8259: a raised line interrupts with its vector until EOI", "[i8259]")
{
    Harness h;
    h.initialise();
    h.pic.set_irq(1, true);
    CHECK(h.intr);
    CHECK(h.pic.acknowledge() == 0x09);
    CHECK_FALSE(h.intr);
    h.out(0x20, 0x0b);
    CHECK(h.in(0x20) == 0x02);
    h.out(0x20, 0x20);
    CHECK(h.in(0x20) == 0x00);
    CHECK_FALSE(h.intr); // an edge counts once
}

TEST_CASE("i8259: a slave line comes through the cascade", "[i8259]")
{
    Harness h;
    h.initialise();
    h.pic.set_irq(14, true);
    CHECK(h.pic.acknowledge() == 0x76);
    h.pic.set_irq(15, true);
    CHECK_FALSE(h.intr); // lower priority than 14
    h.out(0xa0, 0x20);
    CHECK_FALSE(h.intr); // the master still serves IR2
    h.out(0x20, 0x20);
    CHECK(h.intr);
    CHECK(h.pic.acknowledge() == 0x77);
}

TEST_CASE("i8259: a withdrawn request ends as a spurious IRQ 7 or 15", "[i8259]")
{
    Harness h;
    h.initialise();
    h.pic.set_irq(3, true);
    h.pic.set_irq(3, false);
    CHECK(h.pic.acknowledge() == 0x0f);
    CHECK(h.pic.master().in_service() == 0);
}

TEST_CASE("i8259: higher priority nests, lower waits", "[i8259]")
{
    Harness h;
    h.initialise();
    h.pic.set_irq(4, true);
    CHECK(h.pic.acknowledge() == 0x0c);
    h.pic.set_irq(5, true);
    CHECK_FALSE(h.intr);
    h.pic.set_irq(0, true);
    CHECK(h.intr);
    CHECK(h.pic.acknowledge() == 0x08);
}

TEST_CASE("i8259: special mask mode lets lower lines through a masked service", "[i8259]")
{
    Harness h;
    h.initialise();
    h.pic.set_irq(4, true);
    CHECK(h.pic.acknowledge() == 0x0c);
    h.out(0x21, 0x10);
    h.out(0x20, 0x68);
    h.pic.set_irq(6, true);
    CHECK(h.intr);
    CHECK(h.pic.acknowledge() == 0x0e);
}

TEST_CASE("i8259: rotation makes the served line the lowest", "[i8259]")
{
    Harness h;
    h.initialise();
    h.pic.set_irq(0, true);
    CHECK(h.pic.acknowledge() == 0x08);
    h.out(0x20, 0xa0); // rotate on non-specific EOI
    h.pic.set_irq(0, false);
    h.pic.set_irq(0, true);
    h.pic.set_irq(7, true);
    CHECK(h.pic.acknowledge() == 0x0f);
}

TEST_CASE("i8259: automatic EOI leaves nothing in service", "[i8259]")
{
    Harness h;
    h.initialise(0x03);
    h.pic.set_irq(5, true);
    CHECK(h.pic.acknowledge() == 0x0d);
    CHECK(h.pic.master().in_service() == 0);
}

TEST_CASE("i8259: poll returns and takes the highest request", "[i8259]")
{
    Harness h;
    h.initialise();
    h.pic.set_irq(6, true);
    h.out(0x20, 0x0c);
    CHECK(h.in(0x20) == 0x86);
    CHECK_FALSE(h.intr);
    CHECK(h.pic.master().in_service() == 0x40);
}

TEST_CASE("i8259: a level-triggered line asks again after EOI", "[i8259]")
{
    Harness h;
    h.initialise();
    h.out(0x4d1, 0xff);
    CHECK(h.in(0x4d1) == 0xde);
    h.pic.set_irq(11, true);
    CHECK(h.pic.acknowledge() == 0x73);
    h.out(0xa0, 0x20);
    h.out(0x20, 0x20);
    CHECK(h.intr);
    h.pic.set_irq(11, false);
    CHECK_FALSE(h.intr);
}

TEST_CASE("i8259: special fully nested mode lets the slave interrupt itself", "[i8259]")
{
    Harness h;
    h.initialise(0x11);
    h.pic.set_irq(15, true);
    CHECK(h.pic.acknowledge() == 0x77);
    h.pic.set_irq(8, true);
    CHECK(h.intr);
    CHECK(h.pic.acknowledge() == 0x70);
}
