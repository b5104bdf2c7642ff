#include "emulator/devices/intc/io_apic.hpp"
#include "emulator/devices/intc/local_apic.hpp"

#include <catch2/catch.hpp>

namespace {

using namespace emu;
using namespace emu::devices;

struct Harness {
    Clock clock{1'000'000'000};
    AddressSpace memory;
    bool intr = false;
    int nmis = 0;
    int inits = 0;
    LocalApic apic{{.clock = clock,
                    .memory = memory,
                    .intr = Wire{[this](bool level) { intr = level; }},
                    .nmi = Wire{[this](bool level) { nmis += level ? 1 : 0; }},
                    .smi = {},
                    .init = Wire{[this](bool level) { inits += level ? 1 : 0; }},
                    .pic_acknowledge = [] { return 0x08; },
                    .end_of_interrupt = [this](u8 vector) { io.end_of_interrupt(vector); }}};
    IoApic io{memory, [this](const ApicMessage& m) { return apic.deliver(m); }};

    u64 get(unsigned offset) { return memory.read_int(0xfee0'0000 + offset, 4); }
    void set(unsigned offset, u64 value) { memory.write_int(0xfee0'0000 + offset, 4, value); }
    void io_set(unsigned index, u64 value)
    {
        memory.write_int(0xfec0'0000, 4, index);
        memory.write_int(0xfec0'0010, 4, value);
    }
    u64 io_get(unsigned index)
    {
        memory.write_int(0xfec0'0000, 4, index);
        return memory.read_int(0xfec0'0010, 4);
    }
    void enable() { set(0xf0, 0x1ff); }
    void run(u64 ns)
    {
        const u64 end = clock.now_ns() + ns;
        while (clock.next_deadline_ns() <= end) {
            clock.skip_to_ns(clock.next_deadline_ns());
            clock.run_due_timers();
        }
        clock.skip_to_ns(end);
    }
};

} // namespace

TEST_CASE("local_apic: registers after reset", "[apic]")
{
    Harness h;
    CHECK(h.get(0x20) == 0);
    CHECK(h.get(0x30) == 0x0005'0014);
    CHECK(h.get(0xe0) == 0xffff'ffff);
    CHECK(h.get(0xf0) == 0xff);
    CHECK(h.get(0x320) == 0x1'0000);
    CHECK(h.apic.base_msr() == 0xfee0'0900);
}

TEST_CASE("local_apic: LINT0 passes the 8259A's interrupt with its vector", "[apic]")
{
    Harness h;
    h.apic.set_lint0(true);
    CHECK(h.intr);
    CHECK(h.apic.acknowledge() == 0x08);
    h.enable();
    h.set(0x350, 0x1'0700);
    CHECK_FALSE(h.intr);
    h.set(0x350, 0x0'0700);
    CHECK(h.intr);
    h.apic.set_lint0(false);
    CHECK_FALSE(h.intr);
}

TEST_CASE("local_apic: self-IPIs nest by priority class and end with EOI", "[apic]")
{
    Harness h;
    h.enable();
    h.set(0x300, 0x4'4031); // self, fixed, vector 31h
    CHECK(h.intr);
    CHECK(h.get(0x210) == 0x2'0000);
    CHECK(h.apic.acknowledge() == 0x31);
    CHECK(h.get(0xa0) == 0x30);
    h.set(0x300, 0x4'4035);
    CHECK_FALSE(h.intr); // same class
    h.set(0x300, 0x4'4041);
    CHECK(h.apic.acknowledge() == 0x41);
    h.set(0xb0, 0);
    CHECK_FALSE(h.intr);
    h.set(0xb0, 0);
    CHECK(h.apic.acknowledge() == 0x35);
}

TEST_CASE("local_apic: the task priority holds interrupts back", "[apic]")
{
    Harness h;
    h.enable();
    h.set(0x80, 0x50);
    h.set(0x300, 0x4'4055);
    CHECK_FALSE(h.intr);
    CHECK(h.apic.acknowledge() == 0xff); // spurious
    h.apic.set_cr8(4);
    CHECK(h.intr);
    CHECK(h.get(0x80) == 0x40);
}

TEST_CASE("local_apic: the timer fires once or periodically", "[apic]")
{
    Harness h;
    h.enable();
    h.set(0x3e0, 0x0b); // divide by 1: 10 ns
    h.set(0x320, 0x20);
    h.set(0x380, 1000);
    h.run(4000);
    CHECK(h.get(0x390) == 600);
    CHECK_FALSE(h.intr);
    h.run(6000);
    CHECK(h.apic.acknowledge() == 0x20);
    h.set(0xb0, 0);
    CHECK(h.get(0x390) == 0);
    h.run(20'000);
    CHECK_FALSE(h.intr);

    h.set(0x3e0, 0x03); // divide by 16
    h.set(0x320, 0x2'0020);
    h.set(0x380, 100);
    int ticks = 0;
    for (int i = 0; i < 100; ++i) {
        h.run(1600);
        if (h.intr) {
            h.apic.acknowledge();
            h.set(0xb0, 0);
            ++ticks;
        }
    }
    CHECK(ticks == 10);
}

TEST_CASE("local_apic: NMI and INIT messages reach their pins", "[apic]")
{
    Harness h;
    h.enable();
    h.set(0x360, 0x400);
    h.apic.set_lint1(true);
    CHECK(h.nmis == 1);
    h.set(0x300, 0x4'4500);
    CHECK(h.inits == 1);
    h.set(0x300, 0xc'4500); // all but self
    CHECK(h.inits == 1);
}

TEST_CASE("local_apic: illegal vectors are errors", "[apic]")
{
    Harness h;
    h.enable();
    h.set(0x370, 0xfe);
    h.set(0x300, 0x4'4003);
    CHECK(h.apic.acknowledge() == 0xfe);
    h.set(0x280, 0);
    CHECK(h.get(0x280) == 0x20);
}

TEST_CASE("local_apic: the base MSR moves and disables it", "[apic]")
{
    Harness h;
    CHECK(h.apic.set_base_msr(0xe000'0900));
    CHECK(h.memory.read_int(0xe000'0030, 4) == 0x0005'0014);
    CHECK(h.get(0x30) == 0xffff'ffff);
    CHECK_FALSE(h.apic.set_base_msr(0xe000'0901));
    CHECK(h.apic.set_base_msr(0xfee0'0100));
    CHECK(h.get(0x30) == 0xffff'ffff);
    h.apic.set_lint0(true);
    CHECK(h.intr); // the pin is INTR
}

TEST_CASE("io_apic: identification and redirection registers", "[apic]")
{
    Harness h;
    CHECK(h.io_get(1) == 0x0017'0011);
    CHECK(h.io_get(0x10) == 0x1'0000);
    h.io_set(0x3f, 0xffff'ffff);
    CHECK(h.io_get(0x3f) == 0xff00'0000);
    CHECK(h.io_get(0x40) == 0);
}

TEST_CASE("io_apic: an edge is delivered once, a masked edge is lost", "[apic]")
{
    Harness h;
    h.enable();
    h.io.set_pin(2, true);
    h.io_set(0x14, 0x30);
    CHECK_FALSE(h.intr);
    h.io.set_pin(2, false);
    h.io.set_pin(2, true);
    CHECK(h.apic.acknowledge() == 0x30);
    h.set(0xb0, 0);
    CHECK_FALSE(h.intr);
}

TEST_CASE("io_apic: a level repeats after EOI while asserted", "[apic]")
{
    Harness h;
    h.enable();
    h.io_set(0x24, 0x8041);
    h.io.set_pin(10, true);
    CHECK(h.io_get(0x24) == 0xc041);
    CHECK(h.apic.acknowledge() == 0x41);
    CHECK(h.get(0x1a0) == 0x2);
    h.set(0xb0, 0);
    CHECK(h.intr);
    CHECK(h.apic.acknowledge() == 0x41);
    h.io.set_pin(10, false);
    h.set(0xb0, 0);
    CHECK_FALSE(h.intr);
    CHECK(h.io_get(0x24) == 0x8041);
}

TEST_CASE("io_apic: logical destinations and ExtINT", "[apic]")
{
    Harness h;
    h.enable();
    h.set(0xd0, 0x0200'0000);
    h.io_set(0x13, 0x0100'0000);
    h.io_set(0x12, 0x0'0931); // logical, lowest priority
    h.io.set_pin(1, true);
    CHECK_FALSE(h.intr);
    h.io_set(0x13, 0x0300'0000);
    h.io.set_pin(1, false);
    h.io.set_pin(1, true);
    CHECK(h.apic.acknowledge() == 0x31);
    h.set(0xb0, 0);
    h.io_set(0x10, 0x700);
    h.io.set_pin(0, true);
    CHECK(h.apic.acknowledge() == 0x08);
    CHECK_FALSE(h.intr);
}
