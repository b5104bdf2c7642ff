#include "emulator/devices/pci/i440fx.hpp"
#include "emulator/devices/pci/pci_bus.hpp"
#include "emulator/devices/pci/piix3.hpp"

#include <catch2/catch.hpp>

using namespace emu;
using namespace emu::devices::pci;

namespace {

/// One I/O BAR of 16 ports, one memory BAR of 64 KiB, a ROM, INTA#.
class Card final : public PciDevice, public IoHandler {
public:
    explicit Card(Fabric fabric)
        : PciDevice{fabric,
                    {.vendor = 0x1234,
                     .device = 0x5678,
                     .class_code = 0xff'00'00,
                     .interrupt_pin = 1,
                     .command_mask = 0x0007}}
    {
        add_io_bar(0, 16, *this);
        add_ram_bar(1, ram);
        add_rom(rom);
        rom.data()[0] = 0x55;
    }
    std::string_view name() const override { return "card"; }
    u32 io_read(u64 offset, unsigned) override { return 0xa0 + static_cast<u32>(offset); }
    void io_write(u64, unsigned, u32) override {}
    void interrupt(bool level) { set_interrupt(level); }

    RamBlock ram{"card ram", 0x1'0000};
    RamBlock rom{"card rom", 0x1'0000};

private:
    void reset_device() override {}
    void visit_device(StateVisitor&) override {}
};

struct Machine {
    AddressSpace memory;
    PortSpace ports;
    RamBlock ram{"ram", 16 << 20};
    PciBus bus{ports};
    I440fx bridge{{memory, ports}, ram};
    std::array<int, 16> irqs{};
    int hard_resets = 0;
    int soft_resets = 0;
    Piix3 isa{{memory, ports}, wiring()};
    Card card{{memory, ports}};
    RamBlock bios{"bios", 0x2'0000};

    Machine()
    {
        using Access = AddressSpace::Access;
        memory.map_ram(0, 0xa'0000, ram, 0, Access::read_write);
        memory.map_ram(0xe'0000, 0x2'0000, bios, 0, Access::read_only, 1);
        bios.data()[0x1'0000] = 0xbb;
        bus.attach(0, 0, bridge);
        bus.attach(1, 0, isa);
        bus.attach(3, 0, card);
        bus.connect_reset_control(isa);
        std::array<Wire, 4> lines;
        for (unsigned i = 0; i < 4; ++i) {
            lines[i] = Wire{[this, i](bool level) { isa.set_pirq(i, level); }};
        }
        bus.connect_interrupts(lines);
    }
    Piix3::Wiring wiring()
    {
        Piix3::Wiring w;
        for (unsigned i = 0; i < 16; ++i) {
            w.isa_irqs[i] = Wire{[this, i](bool level) { irqs[i] = level ? 1 : 0; }};
        }
        w.hard_reset = Wire{[this](bool level) { hard_resets += level ? 1 : 0; }};
        w.soft_reset = Wire{[this](bool level) { soft_resets += level ? 1 : 0; }};
        return w;
    }
    u32 config(u32 slot, u32 offset, unsigned size)
    {
        ports.write(0xcf8, 4, 0x8000'0000 | slot << 11 | (offset & 0xfc));
        return ports.read(static_cast<u16>(0xcfc + (offset & 3)), size);
    }
    void configure(u32 slot, u32 offset, unsigned size, u32 value)
    {
        ports.write(0xcf8, 4, 0x8000'0000 | slot << 11 | (offset & 0xfc));
        ports.write(static_cast<u16>(0xcfc + (offset & 3)), size, value);
    }
};

} // namespace

TEST_CASE("pci: identities are read through mechanism 1, absent slots are all ones")
{
    Machine m;

    CHECK(m.config(0, 0, 4) == 0x1237'8086);
    CHECK(m.config(1, 0, 4) == 0x7000'8086);
    CHECK(m.config(1, 0x0e, 1) == 0x80);
    CHECK(m.config(2, 0, 4) == 0xffff'ffff);
    CHECK(m.config(3, 2, 2) == 0x5678);
}

TEST_CASE("pci: a disabled mechanism and another bus answer all ones")
{
    Machine m;

    m.ports.write(0xcf8, 4, 0x0000'0000);
    CHECK(m.ports.read(0xcfc, 4) == 0xffff'ffff);
    m.ports.write(0xcf8, 4, 0x8001'0000);
    CHECK(m.ports.read(0xcfc, 4) == 0xffff'ffff);
}

TEST_CASE("pci: writing ones to a BAR tells its size and kind")
{
    Machine m;

    m.configure(3, 0x10, 4, 0xffff'ffff);
    m.configure(3, 0x14, 4, 0xffff'ffff);
    m.configure(3, 0x30, 4, 0xffff'fffe);

    CHECK(m.config(3, 0x10, 4) == 0xffff'fff1);
    CHECK(m.config(3, 0x14, 4) == 0xffff'0008);
    CHECK(m.config(3, 0x30, 4) == 0xffff'0000);
    CHECK(m.config(3, 0x18, 4) == 0);
}

TEST_CASE("pci: an I/O BAR answers only where and while the command register says")
{
    Machine m;
    m.configure(3, 0x10, 4, 0xc000);
    CHECK(m.ports.read(0xc003, 1) == 0xff);

    m.configure(3, 0x04, 2, 0x0001);
    CHECK(m.ports.read(0xc003, 1) == 0xa3);

    m.configure(3, 0x10, 4, 0xc040);
    CHECK(m.ports.read(0xc003, 1) == 0xff);
    CHECK(m.ports.read(0xc045, 1) == 0xa5);

    m.configure(3, 0x04, 2, 0x0000);
    CHECK(m.ports.read(0xc045, 1) == 0xff);
}

TEST_CASE("pci: memory and ROM BARs move with their registers")
{
    Machine m;
    m.configure(3, 0x14, 4, 0xe000'0000);
    m.configure(3, 0x30, 4, 0xe100'0001);
    m.configure(3, 0x04, 2, 0x0002);

    m.memory.write_int(0xe000'0010, 4, 0x1234'5678);
    m.memory.write_int(0xe100'0000, 1, 0x99); // a ROM ignores it

    CHECK(m.card.ram.data()[0x10] == 0x78);
    CHECK(m.memory.read_int(0xe100'0000, 1) == 0x55);
    m.configure(3, 0x30, 4, 0xe100'0000);
    CHECK(m.memory.read_int(0xe100'0000, 1) == 0xff);
}

TEST_CASE("pci: reset undecodes everything")
{
    Machine m;
    m.configure(3, 0x14, 4, 0xe000'0000);
    m.configure(3, 0x04, 2, 0x0002);

    m.card.reset();

    CHECK(m.memory.read_int(0xe000'0000, 1) == 0xff);
    CHECK(m.config(3, 0x14, 4) == 0x8);
}

TEST_CASE("piix3: INTA# of slot 3 is PIRQC#, steered to the ISA interrupt that software chose")
{
    Machine m;
    m.card.interrupt(true);
    CHECK(m.irqs[11] == 0);

    m.configure(1, 0x62, 1, 0x0b);
    CHECK(m.irqs[11] == 1);

    m.configure(1, 0x62, 1, 0x0a);
    CHECK(m.irqs[11] == 0);
    CHECK(m.irqs[10] == 1);

    m.card.interrupt(false);
    CHECK(m.irqs[10] == 0);
}

TEST_CASE("piix3: port CF9h resets on the rising edge of bit 2")
{
    Machine m;

    m.ports.write(0xcf9, 1, 0x02);
    CHECK(m.hard_resets == 0);
    m.ports.write(0xcf9, 1, 0x06);
    CHECK(m.hard_resets == 1);
    m.ports.write(0xcf9, 1, 0x06);
    CHECK(m.hard_resets == 1);
    m.ports.write(0xcf9, 1, 0x00);
    m.ports.write(0xcf9, 1, 0x04);
    CHECK(m.soft_resets == 1);
}

TEST_CASE("i440fx: PAM0 chooses between ROM and the RAM below it")
{
    Machine m;
    CHECK(m.memory.read_int(0xf'0000, 1) == 0xbb);

    m.configure(0, 0x59, 1, 0x30); // read and write RAM
    m.memory.write_int(0xf'0000, 1, 0x77);
    CHECK(m.memory.read_int(0xf'0000, 1) == 0x77);

    m.configure(0, 0x59, 1, 0x10); // read RAM, writes go to the ROM
    m.memory.write_int(0xf'0000, 1, 0x66);
    CHECK(m.memory.read_int(0xf'0000, 1) == 0x77);

    m.configure(0, 0x59, 1, 0x00);
    CHECK(m.memory.read_int(0xf'0000, 1) == 0xbb);
}

TEST_CASE("i440fx: the write-only attribute reads ROM and writes RAM")
{
    Machine m;

    m.configure(0, 0x59, 1, 0x20);
    m.memory.write_int(0xf'0000, 2, 0x1234);

    CHECK(m.memory.read_int(0xf'0000, 1) == 0xbb);
    CHECK(m.ram.data()[0xf'0000] == 0x34);
    CHECK(m.ram.data()[0xf'0001] == 0x12);
}

TEST_CASE("i440fx: PAM1 and PAM6 hold two 16 KiB segments each")
{
    Machine m;

    m.configure(0, 0x5a, 1, 0x30); // C4000h-C7FFFh
    m.memory.write_int(0xc'4000, 1, 0x11);
    m.memory.write_int(0xc'0000, 1, 0x22);
    m.configure(0, 0x5f, 1, 0x03); // E8000h-EBFFFh
    m.memory.write_int(0xe'8000, 1, 0x33);
    m.memory.write_int(0xe'c000, 1, 0x44);

    CHECK(m.memory.read_int(0xc'4000, 1) == 0x11);
    CHECK(m.memory.read_int(0xc'0000, 1) == 0xff);
    CHECK(m.memory.read_int(0xe'8000, 1) == 0x33);
    CHECK(m.memory.read_int(0xe'c000, 1) == 0x00);
}

TEST_CASE("i440fx: SMRAM shows in SMM or while open, and can be locked")
{
    Machine m;
    m.ram.data()[0xa'0000] = 0x5a;
    CHECK(m.memory.read_int(0xa'0000, 1) == 0xff);

    m.configure(0, 0x72, 1, 0x4a);
    CHECK(m.memory.read_int(0xa'0000, 1) == 0x5a);

    m.configure(0, 0x72, 1, 0x1a);
    CHECK(m.memory.read_int(0xa'0000, 1) == 0xff);
    m.bridge.set_smm_active(true);
    CHECK(m.memory.read_int(0xa'0000, 1) == 0x5a);
    m.bridge.set_smm_active(false);

    m.configure(0, 0x72, 1, 0x4a);
    CHECK(m.memory.read_int(0xa'0000, 1) == 0xff);
    CHECK(m.config(0, 0x72, 1) == 0x1a);
}
