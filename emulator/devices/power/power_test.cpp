#include "emulator/devices/power/piix4_pm.hpp"

#include <catch2/catch.hpp>

using namespace emu;
using namespace emu::devices::power;

namespace {

struct Machine {
    Clock clock{1'000'000'000};
    AddressSpace memory;
    PortSpace ports;
    bool sci = false;
    int smis = 0;
    int power_offs = 0;
    Piix4Pm pm;

    explicit Machine(bool smi_connected = false)
        : pm{{memory, ports},
             {.clock = clock,
              .sci = Wire{[this](bool level) { sci = level; }},
              .smi = Wire{[this](bool level) { smis += level ? 1 : 0; }},
              .smi_connected = smi_connected,
              .power_off = [this] { ++power_offs; }}}
    {
        pm.reset();
        pm.config_write(0x40, 4, 0x0000'b001);
        pm.config_write(0x80, 1, 0x01);
        pm.config_write(0x90, 4, 0x0000'b101);
        pm.config_write(0xd2, 1, 0x09);
    }
    void advance(u64 ns)
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

TEST_CASE("acpi: the timer counts at 3.579545 MHz in 24 bits")
{
    Machine m;
    m.advance(1'000'000'000);
    CHECK(m.ports.read(0xb008, 4) == 3'579'545);

    m.advance(4'000'000'000);
    CHECK(m.ports.read(0xb008, 4) == 17'897'725 - 16'777'216);
}

TEST_CASE("acpi: the timer's top bit raises the SCI when enabled")
{
    Machine m;
    m.ports.write(0xb002, 2, 0x0001);
    m.ports.write(0xb004, 2, 0x0001);

    m.advance(2'000'000'000);
    CHECK_FALSE(m.sci);
    m.advance(400'000'000);
    CHECK(m.sci);

    m.ports.write(0xb000, 2, 0x0001);
    CHECK_FALSE(m.sci);
}

TEST_CASE("acpi: the power button is an event that the guest acknowledges")
{
    Machine m;
    m.ports.write(0xb002, 2, 0x0100);
    m.pm.press_power_button();
    CHECK_FALSE(m.sci); // still in legacy mode

    m.ports.write(0xb2, 1, 0xf1); // ACPI enable
    CHECK(m.ports.read(0xb004, 2) == 0x0001);
    CHECK(m.sci);
    CHECK(m.ports.read(0xb000, 2) == 0x0100);
    m.ports.write(0xb000, 2, 0x0100);
    CHECK_FALSE(m.sci);
}

TEST_CASE("acpi: soft-off turns the machine off, other sleep types do not")
{
    Machine m;
    m.ports.write(0xb004, 2, 0x2400);
    CHECK(m.power_offs == 0);

    m.ports.write(0xb004, 2, 0x2000);
    CHECK(m.power_offs == 1);
}

TEST_CASE("piix4-pm: the register block is gone while disabled")
{
    Machine m;
    m.pm.config_write(0x80, 1, 0x00);
    CHECK(m.ports.read(0xb004, 2) == 0xffff);
}

TEST_CASE("apm: without SMI the enable bit already reads as set")
{
    Machine m;
    CHECK((m.pm.config_read(0x58, 4) & 0x0200'0000) != 0);

    m.ports.write(0xb3, 1, 0x01);
    m.ports.write(0xb2, 1, 0x00);

    CHECK(m.smis == 0);
    CHECK(m.ports.read(0xb3, 1) == 0x01);
}

TEST_CASE("apm: a command raises SMI once firmware enabled it")
{
    Machine m{true};
    CHECK((m.pm.config_read(0x58, 4) & 0x0200'0000) == 0);
    m.ports.write(0xb2, 1, 0x00);
    CHECK(m.smis == 0);

    m.pm.config_write(0x58, 4, 0x0200'0000);
    m.ports.write(0xb2, 1, 0x00);

    CHECK(m.smis == 1);
}

TEST_CASE("smbus: a transaction ends with a device error in virtual time")
{
    Machine m;
    m.ports.write(0xb104, 1, 0xa1);
    m.ports.write(0xb102, 1, 0x48);
    CHECK(m.ports.read(0xb100, 1) == 0x01);

    m.advance(1'000'000);
    CHECK(m.ports.read(0xb100, 1) == 0x04);
    m.ports.write(0xb100, 1, 0x04);
    CHECK(m.ports.read(0xb100, 1) == 0x00);
}
