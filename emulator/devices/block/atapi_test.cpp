#include "emulator/devices/block/atapi_cdrom.hpp"
#include "emulator/devices/block/memory_disk.hpp"
#include "emulator/devices/block/piix3_ide.hpp"

#include <catch2/catch.hpp>

using namespace emu;
using namespace emu::devices::block;

namespace {

/// A CD-ROM drive alone on the secondary channel.
struct Machine {
    Clock clock{1'000'000'000};
    AddressSpace memory;
    PortSpace ports;
    RamBlock ram{"ram", 1 << 20};
    int irq = 0;
    Piix3Ide ide{{memory, ports}, wiring()};
    AtapiCdrom* drive = nullptr;

    Machine()
    {
        memory.map_ram(0, ram.size(), ram, 0, AddressSpace::Access::read_write);
        IdeChannel& channel = ide.channel(1);
        auto owned = std::make_unique<AtapiCdrom>("ide1-cd0", channel.drive_wiring(0));
        drive = owned.get();
        channel.attach(0, std::move(owned));
        ide.reset();
        ide.config_write(0x40, 4, 0x8000'8000);
        ide.config_write(0x20, 4, 0xc000);
        ide.config_write(0x04, 2, 0x0005);
    }
    Piix3Ide::Wiring wiring()
    {
        Piix3Ide::Wiring w{.clock = clock, .irqs = {}};
        w.irqs[1] = Wire{[this](bool level) { irq = level ? 1 : 0; }};
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
    void packet(std::vector<u8> bytes, u16 limit = 0xfffe, u8 features = 0)
    {
        bytes.resize(12, 0);
        out(0x171, features);
        out(0x174, limit & 0xff);
        out(0x175, limit >> 8);
        out(0x176, 0xa0);
        out(0x177, 0xa0);
        for (std::size_t i = 0; i < 12; i += 2) {
            ports.write(0x170, 2, bytes[i] | bytes[i + 1] << 8);
        }
        wait();
        if (in(0x376) == 0x80) {
            wait(); // a read of the disc takes one more step
        }
    }
    u32 byte_count() { return in(0x174) | in(0x175) << 8; }
    std::vector<u8> data()
    {
        std::vector<u8> bytes(byte_count());
        for (std::size_t i = 0; i < bytes.size(); i += 2) {
            const u32 word = ports.read(0x170, 2);
            bytes[i] = static_cast<u8>(word);
            if (i + 1 < bytes.size()) {
                bytes[i + 1] = static_cast<u8>(word >> 8);
            }
        }
        wait();
        return bytes;
    }
    std::vector<u8> sense()
    {
        packet({0x03, 0, 0, 0, 18});
        return data();
    }
    void insert(u64 blocks)
    {
        drive->insert(std::make_unique<MemoryDisk>(blocks, 2048));
        packet({0x00}); // takes the unit attention
    }
};

} // namespace

TEST_CASE("atapi: the signature tells a packet device and IDENTIFY DEVICE is aborted")
{
    Machine m;
    CHECK(m.in(0x174) == 0x14);
    CHECK(m.in(0x175) == 0xeb);
    CHECK(m.in(0x177) == 0x00);

    m.out(0x177, 0xec);
    m.wait();

    CHECK(m.in(0x177) == 0x51);
    CHECK(m.in(0x171) == 0x04);
    CHECK(m.in(0x174) == 0x14);
}

TEST_CASE("atapi: PACKET asks for the packet at once and without an interrupt")
{
    Machine m;
    m.out(0x177, 0xa0);

    CHECK(m.in(0x177) == 0x58);
    CHECK(m.in(0x172) == 0x01);
    CHECK(m.irq == 0);
}

TEST_CASE("atapi: a drive that was switched on empty has its tray closed")
{
    Machine m;
    m.packet({0x00});
    CHECK(m.in(0x177) == 0x51);
    CHECK(m.in(0x171) == 0x20);
    const auto sense = m.sense();
    CHECK(sense[2] == 2);
    CHECK(sense[12] == 0x3a);
    CHECK(sense[13] == 1);
    m.packet({0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8});
    const auto event = m.data();
    CHECK(event[4] == 0); // nothing has happened
    CHECK(event[5] == 0); // no medium, tray closed
    m.packet({0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8});
    CHECK(m.data()[1] == 0);
}

TEST_CASE("atapi: a disc that was in the drive at power-on is ready for the first command")
{
    Machine m;
    m.drive->insert(std::make_unique<MemoryDisk>(50, 2048));
    m.ide.channel(1).reset();

    m.packet({0x25});

    CHECK(m.data() == std::vector<u8>{0, 0, 0, 49, 0, 0, 8, 0});
    m.packet({0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8});
    CHECK(m.data()[4] == 0);
}

TEST_CASE("atapi: a new disc is announced once")
{
    Machine m;
    m.insert(1000);
    m.packet({0x00});
    CHECK(m.in(0x177) == 0x50);

    m.drive->insert(std::make_unique<MemoryDisk>(50, 2048));
    m.packet({0x00});
    CHECK(m.in(0x177) == 0x51);
    const auto sense = m.sense();
    CHECK(sense[2] == 6);
    CHECK(sense[12] == 0x28);

    m.packet({0x25});
    CHECK(m.data() == std::vector<u8>{0, 0, 0, 49, 0, 0, 8, 0});
}

TEST_CASE("atapi: READ(10) offers what the byte count limit allows")
{
    Machine m;
    m.insert(1000);

    m.packet({0x28, 0, 0, 0, 0x01, 0x02, 0, 0, 2}, 2048);
    CHECK(m.byte_count() == 2048);
    CHECK(m.in(0x172) == 0x02);
    CHECK(m.data()[0] == 0x02);
    CHECK(m.byte_count() == 2048);
    CHECK(m.data()[0] == 0x03);

    CHECK(m.in(0x172) == 0x03);
    CHECK(m.in(0x177) == 0x50);
}

TEST_CASE("atapi: READ(12) of many blocks arrives whole")
{
    Machine m;
    m.insert(1000);

    m.packet({0xa8, 0, 0, 0, 0, 10, 0, 0, 0, 40}, 32768);
    std::vector<u8> all;
    for (int i = 0; i < 3; ++i) {
        const auto part = m.data();
        all.insert(all.end(), part.begin(), part.end());
    }

    CHECK(all.size() == 40 * 2048);
    CHECK(all[0] == 10);
    CHECK(all[39 * 2048] == 49);
    CHECK(m.in(0x177) == 0x50);
}

TEST_CASE("atapi: reading past the end is an illegal request")
{
    Machine m;
    m.insert(10);

    m.packet({0x28, 0, 0, 0, 0, 9, 0, 0, 2});

    CHECK(m.in(0x177) == 0x51);
    CHECK(m.in(0x171) == 0x54);
    CHECK(m.sense()[12] == 0x21);
}

TEST_CASE("atapi: a disc that fails is a medium error")
{
    Machine m;
    auto disc = std::make_unique<MemoryDisk>(10, 2048);
    disc->failing = true;
    m.drive->insert(std::move(disc));
    m.packet({0x00});

    m.packet({0x28, 0, 0, 0, 0, 0, 0, 0, 1});

    CHECK(m.in(0x171) == 0x30);
    CHECK(m.sense()[12] == 0x11);
}

TEST_CASE("atapi: READ by DMA")
{
    Machine m;
    m.insert(100);
    m.memory.write_int(0x1000, 4, 0x4000);
    m.memory.write_int(0x1004, 4, 0x8000'1000);
    m.ports.write(0xc00c, 4, 0x1000);

    m.packet({0x28, 0, 0, 0, 0, 7, 0, 0, 2}, 0, 1);
    m.out(0xc008, 0x09);
    m.wait();

    CHECK(m.ram.data()[0x4000] == 7);
    CHECK(m.ram.data()[0x4800] == 8);
    CHECK(m.in(0xc00a) == 0x04);
    CHECK(m.in(0x177) == 0x50);
}

TEST_CASE("atapi: READ TOC names one data track and the lead-out")
{
    Machine m;
    m.insert(1000);

    m.packet({0x43, 0, 0, 0, 0, 0, 0, 0, 100});
    const auto toc = m.data();

    REQUIRE(toc.size() == 20);
    CHECK(toc[1] == 18);
    CHECK(toc[5] == 0x14);
    CHECK(toc[6] == 1);
    CHECK(toc[14] == 0xaa);
    CHECK(toc[18] == 0x03);
    CHECK(toc[19] == 0xe8);
}

TEST_CASE("atapi: the lead-out in minutes, seconds and frames")
{
    Machine m;
    m.insert(4500); // one minute and two seconds of lead-in

    m.packet({0x43, 2, 0, 0, 0, 0, 0xaa, 0, 100});
    const auto toc = m.data();

    REQUIRE(toc.size() == 12);
    CHECK(toc[9] == 1);
    CHECK(toc[10] == 2);
    CHECK(toc[11] == 0);
}

TEST_CASE("atapi: INQUIRY is cut to the allocation length and ignores unit attention")
{
    Machine m;
    m.drive->insert(std::make_unique<MemoryDisk>(50, 2048));
    m.packet({0x12, 0, 0, 0, 5});
    const auto data = m.data();

    CHECK(data == std::vector<u8>{0x05, 0x80, 0x00, 0x21, 31});
}

TEST_CASE("atapi: an unknown command and an unknown mode page are illegal requests")
{
    Machine m;
    m.packet({0x00});

    m.packet({0xff});
    CHECK(m.sense()[12] == 0x20);
    m.packet({0x5a, 0, 0x09, 0, 0, 0, 0, 0, 100});
    CHECK(m.sense()[12] == 0x24);
}

TEST_CASE("atapi: a locked tray refuses the button until it is forced")
{
    Machine m;
    m.insert(10);
    m.packet({0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8});
    CHECK(m.data()[4] == 2); // new medium
    m.packet({0x1e, 0, 0, 0, 1});

    CHECK_FALSE(m.drive->eject(false));
    CHECK(m.drive->has_disc());
    m.packet({0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8});
    CHECK(m.data()[4] == 1); // eject request

    CHECK(m.drive->eject(true));
    CHECK_FALSE(m.drive->has_disc());
}

TEST_CASE("atapi: START STOP UNIT ejects")
{
    Machine m;
    m.insert(10);

    m.packet({0x1b, 0, 0, 0, 2});

    CHECK(m.in(0x177) == 0x50);
    CHECK_FALSE(m.drive->has_disc());
    m.packet({0x00});
    CHECK(m.sense()[13] == 2); // tray open
}
