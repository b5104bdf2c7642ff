#include "emulator/devices/block/ata_disk.hpp"
#include "emulator/devices/block/memory_disk.hpp"
#include "emulator/devices/block/piix3_ide.hpp"

#include <catch2/catch.hpp>

using namespace emu;
using namespace emu::devices::block;

namespace {

/// The PCI controller with one disk, decoded and with its bus master at C000h.
struct Machine {
    Clock clock{1'000'000'000};
    AddressSpace memory;
    PortSpace ports;
    RamBlock ram{"ram", 1 << 20};
    MemoryDisk disk{20160};
    int irq = 0;
    int rises = 0;
    Piix3Ide ide{{memory, ports}, wiring()};

    Machine()
    {
        memory.map_ram(0, ram.size(), ram, 0, AddressSpace::Access::read_write);
        IdeChannel& channel = ide.channel(0);
        channel.attach(0, std::make_unique<AtaDisk>("ide0-hd0", channel.drive_wiring(0),
                                                    AtaDisk::Config{disk, {20, 16, 63}}));
        ide.reset();
        ide.config_write(0x40, 4, 0x8000'8000);
        ide.config_write(0x20, 4, 0xc000);
        ide.config_write(0x04, 2, 0x0005);
    }
    Piix3Ide::Wiring wiring()
    {
        Piix3Ide::Wiring w{.clock = clock, .irqs = {}};
        w.irqs[0] = Wire{[this](bool level) {
            irq = level ? 1 : 0;
            rises += irq;
        }};
        return w;
    }
    void out(u16 port, u32 value) { ports.write(port, 1, value); }
    u32 in(u16 port) { return ports.read(port, 1); }
    void wait()
    {
        if (clock.next_deadline_ns() != Clock::kNever) {
            clock.skip_to_ns(clock.next_deadline_ns());
            clock.run_due_timers();
        }
    }
    void command(u8 opcode, u32 lba, u8 count)
    {
        out(0x1f2, count);
        out(0x1f3, lba & 0xff);
        out(0x1f4, (lba >> 8) & 0xff);
        out(0x1f5, (lba >> 16) & 0xff);
        out(0x1f6, 0xe0 | (lba >> 24));
        out(0x1f7, opcode);
    }
    u16 data() { return static_cast<u16>(ports.read(0x1f0, 2)); }
    std::vector<u16> sector()
    {
        std::vector<u16> words(256);
        for (u16& word : words) {
            word = data();
        }
        return words;
    }
    void prd(u32 at, u32 address, u32 size, bool last)
    {
        memory.write_int(at, 4, address);
        memory.write_int(at + 4, 4, size | (last ? 0x8000'0000u : 0u));
    }
};

} // namespace

TEST_CASE("ata: after reset the drive is ready and shows the signature of a disk")
{
    Machine m;

    CHECK(m.in(0x1f7) == 0x50);
    CHECK(m.in(0x1f2) == 0x01);
    CHECK(m.in(0x1f3) == 0x01);
    CHECK(m.in(0x1f4) == 0x00);
    CHECK(m.in(0x1f5) == 0x00);
}

TEST_CASE("ata: a command is busy until its virtual time has come")
{
    Machine m;

    m.command(0xec, 0, 0);
    CHECK(m.in(0x1f7) == 0x80);
    CHECK(m.irq == 0);

    m.wait();
    CHECK(m.irq == 1);
    CHECK(m.in(0x3f6) == 0x58);
    CHECK(m.irq == 1);
    CHECK(m.in(0x1f7) == 0x58);
    CHECK(m.irq == 0);
}

TEST_CASE("ata: IDENTIFY DEVICE tells geometry, capacity and name")
{
    Machine m;
    m.command(0xec, 0, 0);
    m.wait();

    const auto words = m.sector();

    CHECK(words[0] == 0x0040);
    CHECK(words[1] == 20);
    CHECK(words[3] == 16);
    CHECK(words[6] == 63);
    CHECK(words[27] == ('M' << 8 | 'E'));
    CHECK(words[49] == 0x0b00);
    CHECK(words[60] == 20160);
    CHECK(words[61] == 0);
    CHECK(words[83] == 0x7400);
    CHECK(words[100] == 20160);
    CHECK(m.in(0x1f7) == 0x50);
}

TEST_CASE("ata: READ SECTORS gives an interrupt for each sector and ends at the last address")
{
    Machine m;
    m.command(0x20, 0x123, 2);
    m.wait();

    CHECK(m.sector()[0] == 0x0123);
    CHECK(m.in(0x1f7) == 0x80);
    m.wait();
    CHECK(m.sector()[0] == 0x0124);

    CHECK(m.in(0x1f7) == 0x50);
    CHECK(m.in(0x1f3) == 0x24);
    CHECK(m.rises == 2);
}

TEST_CASE("ata: 32-bit data port accesses move two words")
{
    Machine m;
    m.command(0x20, 5, 1);
    m.wait();

    CHECK(m.ports.read(0x1f0, 4) == 0x0000'0005);
}

TEST_CASE("ata: CHS addresses use the drive's translation")
{
    Machine m;
    m.out(0x1f2, 1);
    m.out(0x1f3, 2); // sector
    m.out(0x1f4, 1); // cylinder
    m.out(0x1f5, 0);
    m.out(0x1f6, 0xa3); // head 3
    m.out(0x1f7, 0x20);
    m.wait();

    CHECK(m.data() == (1 * 16 + 3) * 63 + 1);
}

TEST_CASE("ata: INITIALIZE DEVICE PARAMETERS changes the translation until reset")
{
    Machine m;
    m.out(0x1f2, 17);
    m.out(0x1f6, 0xa3); // 4 heads
    m.out(0x1f7, 0x91);
    m.wait();
    CHECK(m.in(0x1f7) == 0x50);

    m.out(0x1f2, 1);
    m.out(0x1f3, 1);
    m.out(0x1f4, 2);
    m.out(0x1f5, 0);
    m.out(0x1f6, 0xa1);
    m.out(0x1f7, 0x20);
    m.wait();

    CHECK(m.data() == (2 * 4 + 1) * 17);
}

TEST_CASE("ata: an address past the end is IDNF, sector 0 in CHS too")
{
    Machine m;
    m.command(0x20, 20160, 1);
    m.wait();
    CHECK(m.in(0x1f7) == 0x51);
    CHECK(m.in(0x1f1) == 0x10);

    m.command(0x20, 20159, 2);
    m.wait();
    CHECK(m.in(0x1f1) == 0x10);

    m.out(0x1f3, 0);
    m.out(0x1f6, 0xa0);
    m.out(0x1f7, 0x20);
    m.wait();
    CHECK(m.in(0x1f1) == 0x10);
}

TEST_CASE("ata: writes ask for their first data at once and without an interrupt")
{
    const u8 opcode = GENERATE(as<u8>{}, 0x30, 0x31, 0x34, 0x39, 0x3c, 0xc5);
    CAPTURE(opcode);
    Machine m;
    for (const u16 port : {0x1f2, 0x1f3, 0x1f4, 0x1f5}) {
        m.out(port, 0); // the high bytes of 48-bit commands
    }
    m.command(opcode, 7, 1);
    CHECK(m.irq == 0);
    CHECK(m.in(0x1f7) == 0x58);

    for (int i = 0; i < 256; ++i) {
        m.ports.write(0x1f0, 2, 0xbeef);
    }
    CHECK(m.in(0x1f7) == 0x80);
    m.wait();

    CHECK(m.irq == 1);
    CHECK(m.in(0x1f7) == 0x50);
    CHECK(m.disk.bytes[7 * 512] == 0xef);
    CHECK(m.disk.bytes[7 * 512 + 511] == 0xbe);
    CHECK(m.disk.bytes[8 * 512] == 8);
}

TEST_CASE("ata: the blocks of a write after the first are asked for when the drive has room")
{
    Machine m;
    m.command(0x30, 7, 2);
    for (int i = 0; i < 256; ++i) {
        m.ports.write(0x1f0, 2, 0x1111);
    }
    CHECK(m.in(0x1f7) == 0x80);
    m.wait();
    CHECK(m.irq == 1);
    CHECK(m.in(0x1f7) == 0x58);
    for (int i = 0; i < 256; ++i) {
        m.ports.write(0x1f0, 2, 0x2222);
    }
    m.wait();

    CHECK(m.in(0x1f7) == 0x50);
    CHECK(m.rises == 2);
    CHECK(m.disk.bytes[8 * 512 - 1] == 0x11);
    CHECK(m.disk.bytes[8 * 512] == 0x22);
}

TEST_CASE("ata: READ MULTIPLE moves blocks of the size that SET MULTIPLE chose")
{
    Machine m;
    m.command(0xc6, 0, 4);
    m.wait();
    CHECK(m.in(0x1f7) == 0x50);
    m.rises = 0;

    m.command(0xc4, 10, 6);
    m.wait();
    CHECK(m.in(0x1f7) == 0x58);
    CHECK(m.sector()[0] == 10);
    CHECK(m.sector()[0] == 11);
    CHECK(m.sector()[0] == 12);
    CHECK(m.sector()[0] == 13);
    m.wait();
    CHECK(m.sector()[0] == 14);
    CHECK(m.sector()[0] == 15);

    CHECK(m.rises == 2);
    CHECK(m.in(0x1f7) == 0x50);
}

TEST_CASE("ata: SET MULTIPLE refuses what is no power of two, and then MULTIPLE is aborted")
{
    Machine m;
    m.command(0xc6, 0, 3);
    m.wait();
    CHECK(m.in(0x1f1) == 0x04);

    const u8 opcode = GENERATE(as<u8>{}, 0xc4, 0xc5);
    m.command(opcode, 0, 1);
    CHECK(m.in(0x1f7) == 0x80);
    m.wait();
    CHECK(m.in(0x1f7) == 0x51);
}

TEST_CASE("ata: a write past the end takes no data")
{
    Machine m;
    m.command(0x30, 20159, 2);
    CHECK(m.in(0x1f7) == 0x80);
    m.wait();

    CHECK(m.in(0x1f7) == 0x51);
    CHECK(m.in(0x1f1) == 0x10);
}

TEST_CASE("ata: READ SECTORS EXT takes the high bytes written first")
{
    Machine m;
    for (const u8 high : {0, 1}) { // high-order bytes, then low-order bytes
        m.out(0x1f2, high);
        m.out(0x1f3, high == 0 ? 0 : 0x34);
        m.out(0x1f4, high == 0 ? 0 : 0x12);
        m.out(0x1f5, 0);
    }
    m.out(0x1f6, 0x40);
    m.out(0x1f7, 0x24);
    m.wait();

    CHECK(m.data() == 0x1234);
}

TEST_CASE("ata: the HOB bit reads back the bytes written before")
{
    Machine m;
    m.out(0x1f2, 0x12);
    m.out(0x1f2, 0x34);

    m.out(0x3f6, 0x80);
    CHECK(m.in(0x1f2) == 0x12);
    m.out(0x3f6, 0x00);
    CHECK(m.in(0x1f2) == 0x34);
}

TEST_CASE("ata: unsupported commands are aborted")
{
    Machine m;
    m.command(0xb0, 0, 0); // SMART
    m.wait();
    CHECK(m.in(0x1f7) == 0x51);
    CHECK(m.in(0x1f1) == 0x04);
}

TEST_CASE("ata: a failing image is an uncorrectable error at its address")
{
    Machine m;
    m.disk.failing = true;
    m.command(0x20, 9, 1);
    m.wait();

    CHECK(m.in(0x1f7) == 0x51);
    CHECK(m.in(0x1f1) == 0x40);
    CHECK(m.in(0x1f3) == 9);
}

TEST_CASE("ata: a read-only image refuses writes")
{
    Machine m;
    m.disk.write_protected = true;
    m.command(0x30, 9, 1);
    m.wait();

    CHECK(m.in(0x1f7) == 0x51);
    CHECK(m.in(0x1f1) == 0x04);
}

TEST_CASE("ata: FLUSH CACHE reaches the image")
{
    Machine m;
    m.command(0xe7, 0, 0);
    m.wait();

    CHECK(m.disk.flushes == 1);
    CHECK(m.in(0x1f7) == 0x50);
}

TEST_CASE("ata: READ NATIVE MAX ADDRESS gives the last sector")
{
    Machine m;
    m.command(0xf8, 0, 0);
    m.wait();

    CHECK(m.in(0x1f3) == 0xbf); // 20159 = 4EBFh
    CHECK(m.in(0x1f4) == 0x4e);
}

TEST_CASE("ata: soft reset is busy while asserted and selects device 0")
{
    Machine m;
    m.out(0x1f6, 0xb0);

    m.out(0x3f6, 0x04);
    CHECK(m.in(0x1f7) == 0x80);
    m.out(0x3f6, 0x00);
    CHECK(m.in(0x1f7) == 0x80);
    m.wait();

    CHECK(m.in(0x1f7) == 0x50);
    CHECK(m.in(0x1f1) == 0x01);
    CHECK((m.in(0x1f6) & 0x10) == 0);
}

TEST_CASE("ata: an absent device 1 has status zero, an empty channel too")
{
    Machine m;
    m.out(0x1f6, 0xb0);
    CHECK(m.in(0x1f7) == 0);
    CHECK(m.in(0x177) == 0);
}

TEST_CASE("ata: nIEN keeps the interrupt off the wire")
{
    Machine m;
    m.out(0x3f6, 0x02);
    m.command(0xec, 0, 0);
    m.wait();
    CHECK(m.irq == 0);

    m.out(0x3f6, 0x00);
    CHECK(m.irq == 1);
}

TEST_CASE("bmide: READ DMA scatters over the regions and ends with the interrupt bit")
{
    Machine m;
    m.prd(0x1000, 0x2000, 512, false);
    m.prd(0x1008, 0x8000, 512, true);
    m.ports.write(0xc004, 4, 0x1000);
    m.command(0xc8, 100, 2);
    m.out(0xc000, 0x09);
    CHECK(m.in(0xc002) == 0x01);
    m.wait();
    m.wait();

    CHECK(m.ram.data()[0x2000] == 100);
    CHECK(m.ram.data()[0x8000] == 101);
    CHECK(m.irq == 1);
    CHECK(m.in(0xc002) == 0x04);
    CHECK(m.in(0x1f7) == 0x50);
    m.out(0xc002, 0x04);
    CHECK(m.in(0xc002) == 0x00);
}

TEST_CASE("bmide: WRITE DMA gathers, and may be started after the command")
{
    Machine m;
    m.ram.data()[0x2000] = 0xaa;
    m.prd(0x1000, 0x2000, 512, true);
    m.ports.write(0xc004, 4, 0x1000);
    m.command(0xca, 55, 1);
    m.wait();
    m.wait();
    CHECK(m.irq == 0);

    m.out(0xc000, 0x01);
    m.wait();

    CHECK(m.disk.bytes[55 * 512] == 0xaa);
    CHECK(m.irq == 1);
}

TEST_CASE("bmide: a table larger than the transfer leaves the engine active")
{
    Machine m;
    m.prd(0x1000, 0x2000, 4096, true);
    m.ports.write(0xc004, 4, 0x1000);
    m.command(0xc8, 0, 1);
    m.out(0xc000, 0x09);
    m.wait();
    m.wait();

    CHECK(m.in(0xc002) == 0x05);
}

TEST_CASE("bmide: a table shorter than the transfer stops without an interrupt")
{
    Machine m;
    m.prd(0x1000, 0x2000, 512, true);
    m.ports.write(0xc004, 4, 0x1000);
    m.command(0xc8, 0, 2);
    m.out(0xc000, 0x09);
    m.wait();
    m.wait();

    CHECK(m.in(0xc002) == 0x00);
    CHECK(m.irq == 0);
    CHECK((m.in(0x1f7) & 0x08) == 0x08);
}

TEST_CASE("piix3-ide: a channel answers only when its timing register enables it")
{
    Machine m;
    m.ide.config_write(0x40, 2, 0x0000);

    CHECK(m.in(0x1f7) == 0xff);
    CHECK(m.in(0x177) == 0x00);
}

TEST_CASE("isa-ide: works without PCI and has no DMA")
{
    Clock clock{1'000'000'000};
    PortSpace ports;
    MemoryDisk disk{20160};
    IsaIde ide{ports, {.clock = clock, .irqs = {}}};
    ide.channel(1).attach(0, std::make_unique<AtaDisk>("ide1-hd0", ide.channel(1).drive_wiring(0),
                                                       AtaDisk::Config{disk, {20, 16, 63}}));
    CHECK(ports.read(0x177, 1) == 0x50);

    ports.write(0x172, 1, 1);
    ports.write(0x176, 1, 0xe0);
    ports.write(0x177, 1, 0xc8);
    clock.skip_to_ns(clock.next_deadline_ns());
    clock.run_due_timers();

    CHECK(ports.read(0x177, 1) == 0x51);
}
