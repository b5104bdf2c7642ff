#include "emulator/devices/dma/i8237.hpp"
#include "emulator/devices/floppy/fdc.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <vector>

namespace {

using namespace emu;
using namespace emu::devices;
using Bytes = std::vector<unsigned>;

class MemoryDisk : public img::Disk {
public:
    explicit MemoryDisk(u64 size) : data(size)
    {
        for (u64 i = 0; i < size / 512; ++i) { // each sector starts with its own number
            data[i * 512] = static_cast<u8>(i);
            data[i * 512 + 1] = static_cast<u8>(i >> 8);
        }
    }
    u64 size() const override { return data.size(); }
    bool read_only() const override { return false; }
    base::Status read(u64 offset, std::span<u8> into) override
    {
        if (broken || offset + into.size() > data.size()) {
            return base::fail(base::Errc::io, "broken");
        }
        std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
        return base::ok();
    }
    base::Status write(u64 offset, std::span<const u8> from) override
    {
        if (broken || offset + from.size() > data.size()) {
            return base::fail(base::Errc::io, "broken");
        }
        std::ranges::copy(from, data.begin() + static_cast<std::ptrdiff_t>(offset));
        return base::ok();
    }
    base::Status write_zeroes(u64, u64) override { return base::ok(); }
    base::Status flush() override { return base::ok(); }
    base::Status visit_written(const std::function<base::Status(u64, u64)>&) override
    {
        return base::ok();
    }

    std::vector<u8> data;
    bool broken = false;
};

struct Harness {
    Clock clock{1'000'000'000};
    RamBlock ram{"ram", 1 << 20};
    AddressSpace memory;
    I8237Pair dma{memory};
    bool irq = false;
    MemoryDisk disk{1'474'560};
    FloppyController fdc{
        {.clock = clock, .irq6 = Wire{[this](bool level) { irq = level; }}, .dma = dma.channel(2)},
        {true, false}};

    Harness()
    {
        memory.map_ram(0, 1 << 20, ram, 0, AddressSpace::Access::read_write);
        dma.io_write(0xd4, 1, 0);
        REQUIRE(fdc.insert(0, disk, false));
    }
    void out(unsigned port, unsigned value) { fdc.io_write(port, 1, value); }
    unsigned in(unsigned port) { return fdc.io_read(port, 1); }
    void wait()
    {
        while (!irq && clock.next_deadline_ns() != Clock::kNever) {
            clock.skip_to_ns(clock.next_deadline_ns());
            clock.run_due_timers();
        }
    }
    /// Sends a command and returns its result bytes.
    Bytes command(const Bytes& bytes)
    {
        for (const unsigned byte : bytes) {
            REQUIRE((in(0x3f4) & 0xc0) == 0x80);
            out(0x3f5, byte);
        }
        if ((in(0x3f4) & 0xd0) == 0x10) {
            wait();
        }
        return result();
    }
    Bytes result()
    {
        Bytes got;
        while ((in(0x3f4) & 0xf0) == 0xd0) {
            got.push_back(in(0x3f5));
        }
        return got;
    }
    void bring_up(unsigned specify_second = 0x02)
    {
        out(0x3f2, 0x1c);
        wait();
        for (unsigned i = 0; i < 4; ++i) {
            CHECK(command({0x08}) == Bytes{0xc0 + i, 0});
        }
        out(0x3f7, 0);
        command({0x03, 0xaf, specify_second});
    }
    void set_dma(unsigned mode, unsigned address, unsigned bytes)
    {
        const auto port = [this](unsigned p, unsigned v) { dma.io_write(p, 1, v); };
        port(0x0a, 6);
        port(0x0c, 0);
        port(0x0b, mode | 2);
        port(0x04, address & 0xff);
        port(0x04, address >> 8 & 0xff);
        port(0x81, address >> 16);
        port(0x05, (bytes - 1) & 0xff);
        port(0x05, (bytes - 1) >> 8);
        port(0x0a, 2);
    }
    void seek(unsigned track)
    {
        command({0x0f, 0, track});
        wait();
        CHECK(command({0x08}) == Bytes{0x20, track});
    }
};

constexpr unsigned kToMemory = 0x44;
constexpr unsigned kFromMemory = 0x48;

} // namespace

TEST_CASE("floppy_geometry: the size says the format, odd sizes are refused", "[floppy]")
{
    CHECK(floppy_geometry(1'474'560).value() ==
          FloppyGeometry{80, 2, 18, FloppyDensity::high_density});
    CHECK(floppy_geometry(1'474'560 + 1024).value().sectors == 18);
    CHECK(floppy_geometry(163'840).value().heads == 1);
    CHECK(floppy_geometry(737'280).value().sectors == 9);
    CHECK(floppy_geometry(1'720'320).value().sectors == 21);
    CHECK(floppy_geometry(2'949'120).value().density == FloppyDensity::extra_density);
    CHECK(floppy_geometry(512).value().sectors == 18); // cut off after the boot sector
    CHECK(floppy_geometry(1'296'384).value().sectors == 18);
    for (const u64 bad : {u64{0}, u64{1}, u64{1'000'000}, u64{8} << 20, ~u64{0}}) {
        CHECK_FALSE(floppy_geometry(bad));
    }
    CHECK(cmos_drive_type(floppy_geometry(368'640).value()) == 1);
    CHECK(cmos_drive_type(floppy_geometry(1'228'800).value()) == 2);
    CHECK(cmos_drive_type(floppy_geometry(737'280).value()) == 3);
    CHECK(cmos_drive_type(floppy_geometry(1'474'560).value()) == 4);
}

TEST_CASE("fdc: after reset it reports four drives and its version", "[floppy]")
{
    Harness h;
    CHECK(h.in(0x3f4) == 0x00);
    h.bring_up();
    CHECK(h.in(0x3f4) == 0x80);
    CHECK(h.command({0x08}) == Bytes{0x80});
    CHECK(h.command({0x10}) == Bytes{0x90});
    CHECK(h.command({0x18}) == Bytes{0x80}); // PART ID is a later chip's
}

TEST_CASE("fdc: seek and recalibrate end with an interrupt and clear the change line", "[floppy]")
{
    Harness h;
    h.bring_up();
    CHECK(h.in(0x3f7) == 0x80);
    h.seek(40);
    CHECK(h.in(0x3f7) == 0x00);
    CHECK(h.command({0x04, 0x00}) == Bytes{0x28});
    h.command({0x07, 0});
    h.wait();
    CHECK(h.command({0x08}) == Bytes{0x20, 0});
    CHECK(h.command({0x04, 0x00}) == Bytes{0x38});
    h.command({0x07, 1}); // no drive there
    h.wait();
    CHECK(h.command({0x08}) == Bytes{0x71, 0});
}

TEST_CASE("fdc: sectors are read by DMA up to terminal count", "[floppy]")
{
    Harness h;
    h.bring_up();
    h.seek(3);
    h.set_dma(kToMemory, 0x8000, 1024);
    CHECK(h.command({0xe6, 0x04, 3, 1, 5, 2, 18, 0x1b, 0xff}) == Bytes{0x04, 0, 0, 3, 1, 7, 2});
    CHECK(h.memory.read_int(0x8000, 2) == 3 * 36 + 18 + 4);
    CHECK(h.memory.read_int(0x8200, 2) == 3 * 36 + 18 + 5);
}

TEST_CASE("fdc: multi-track reads go on with the other head", "[floppy]")
{
    Harness h;
    h.bring_up();
    h.set_dma(kToMemory, 0x8000, 1024);
    CHECK(h.command({0xe6, 0x00, 0, 0, 18, 2, 18, 0x1b, 0xff}) == Bytes{0x04, 0, 0, 0, 1, 2, 2});
    CHECK(h.memory.read_int(0x8200, 2) == 18);
    h.set_dma(kToMemory, 0x8000, 2048);
    CHECK(h.command({0x46, 0x00, 0, 0, 18, 2, 18, 0x1b, 0xff}) ==
          Bytes{0x40, 0x80, 0, 1, 0, 1, 2}); // EOT without TC
}

TEST_CASE("fdc: EOT beyond the track goes on over heads and cylinders", "[floppy]")
{
    Harness h;
    h.bring_up();
    h.set_dma(kToMemory, 0x1'0000, 72 * 512);
    CHECK(h.command({0xe6, 0, 0, 0, 1, 2, 72, 0x1b, 0xff}) == Bytes{0, 0, 0, 2, 0, 1, 2});
    CHECK(h.memory.read_int(0x1'0000, 2) == 0);
    CHECK(h.memory.read_int(0x1'0000 + 18 * 512, 2) == 18);
    CHECK(h.memory.read_int(0x1'0000 + 36 * 512, 2) == 36);
    CHECK(h.memory.read_int(0x1'0000 + 71 * 512, 2) == 71);
    CHECK(h.command({0x0f, 0, 0}).empty()); // the head has moved
    h.wait();
    CHECK(h.command({0x08}) == Bytes{0x20, 0});

    h.memory.write_int(0x1'0000 + 26 * 512, 4, 0x12345678);
    h.set_dma(kFromMemory, 0x1'0000, 40 * 512);
    CHECK(h.command({0xc5, 4, 0, 1, 11, 2, 50, 0x1b, 0xff}) == Bytes{4, 0, 0, 1, 1, 15, 2});
    CHECK(h.disk.data[(28 + 26) * 512] == 0x78);
    CHECK(h.disk.data[(28 + 40) * 512] == 68);
}

TEST_CASE("fdc: EOT beyond the track ends after as many sectors as it means", "[floppy]")
{
    Harness h;
    h.bring_up(0x03); // without DMA there is no terminal count
    for (const unsigned byte : {0xc6, 0, 0, 0, 18, 2, 19, 0x1b, 0xff}) {
        h.out(0x3f5, byte);
    }
    h.wait();
    CHECK(h.in(0x3f5) == 17);
    for (int i = 1; i < 512; ++i) {
        h.in(0x3f5);
    }
    h.wait();
    CHECK(h.in(0x3f5) == 18);
    for (int i = 1; i < 512; ++i) {
        h.in(0x3f5);
    }
    CHECK(h.result() == Bytes{0x44, 0x80, 0, 0, 1, 2, 2});
}

TEST_CASE("fdc: EOT beyond the track ends at the disk's last cylinder", "[floppy]")
{
    Harness h;
    h.bring_up();
    h.seek(79);
    h.set_dma(kToMemory, 0x8000, 1024);
    CHECK(h.command({0xe6, 4, 79, 1, 18, 2, 19, 0x1b, 0xff}) == Bytes{0x40, 0x80, 0, 80, 0, 1, 2});
    CHECK(h.memory.read_int(0x8000, 2) == 2879);
}

TEST_CASE("fdc: EOT beyond the track of a single-sided disk goes on at the next cylinder",
          "[floppy]")
{
    Harness h;
    MemoryDisk disk{184'320};
    REQUIRE(h.fdc.insert(0, disk, false));
    h.bring_up();
    h.out(0x3f7, 2);
    h.set_dma(kToMemory, 0x8000, 1024);
    CHECK(h.command({0xe6, 0, 0, 0, 9, 2, 10, 0x2a, 0xff}) == Bytes{0, 0, 0, 1, 0, 2, 2});
    CHECK(h.memory.read_int(0x8200, 2) == 9);
}

TEST_CASE("fdc: what a short image lacks reads as zeros and cannot be written", "[floppy]")
{
    Harness h;
    h.disk.data.resize(1024); // two sectors
    REQUIRE(h.fdc.insert(0, h.disk, false));
    h.bring_up();
    h.memory.write_int(0x8200, 4, 0x12345678);
    h.set_dma(kToMemory, 0x8000, 1024);
    CHECK(h.command({0xe6, 0x00, 0, 0, 2, 2, 18, 0x1b, 0xff}) == Bytes{0, 0, 0, 0, 0, 4, 2});
    CHECK(h.memory.read_int(0x8000, 2) == 1);
    CHECK(h.memory.read_int(0x8200, 4) == 0);
    h.set_dma(kFromMemory, 0x8000, 512);
    CHECK(h.command({0xc5, 0x00, 0, 0, 3, 2, 18, 0x1b, 0xff}) ==
          Bytes{0x40, 0x20, 0x20, 0, 0, 3, 2});
}

TEST_CASE("fdc: sectors are written by DMA, protected disks are not", "[floppy]")
{
    Harness h;
    h.bring_up();
    h.memory.write_int(0x8000, 4, 0x12345678);
    h.set_dma(kFromMemory, 0x8000, 512);
    CHECK(h.command({0xc5, 0x00, 0, 0, 2, 2, 18, 0x1b, 0xff}) == Bytes{0, 0, 0, 0, 0, 3, 2});
    CHECK(h.disk.data[512] == 0x78);
    REQUIRE(h.fdc.insert(0, h.disk, true));
    CHECK(h.command({0xc5, 0x00, 0, 0, 2, 2, 18, 0x1b, 0xff}) == Bytes{0x40, 2, 0, 0, 0, 2, 2});
    CHECK(h.command({0x04, 0x00}) == Bytes{0x78});
}

TEST_CASE("fdc: what the disk does not have is an error, not a crash", "[floppy]")
{
    Harness h;
    h.bring_up();
    h.set_dma(kToMemory, 0x8000, 512);
    CHECK(h.command({0x46, 0, 0, 0, 19, 2, 19, 0x1b, 0xff}) == Bytes{0x40, 4, 0, 0, 0, 19, 2});
    CHECK(h.command({0x46, 0, 5, 0, 1, 2, 18, 0x1b, 0xff}) == Bytes{0x40, 4, 0x10, 5, 0, 1, 2});
    h.out(0x3f7, 2); // 250 kbit/s does not fit a high-density disk
    CHECK(h.command({0x4a, 0})[1] == 0x01);
    h.out(0x3f7, 0);
    h.disk.broken = true;
    CHECK(h.command({0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff}) == Bytes{0x40, 0x20, 0x20, 0, 0, 1, 2});
    h.fdc.eject(0);
    CHECK(h.command({0x4a, 0})[1] == 0x01);
    CHECK(h.in(0x3f7) == 0x80);
    MemoryDisk tiny{100};
    CHECK_FALSE(h.fdc.insert(0, tiny, false));
    CHECK_FALSE(h.fdc.insert(1, h.disk, false));
}

TEST_CASE("fdc: without DMA each byte goes through the data port", "[floppy]")
{
    Harness h;
    h.bring_up(0x03);
    for (const unsigned byte : {0x46, 0, 0, 0, 7, 2, 7, 0x1b, 0xff}) {
        h.out(0x3f5, byte);
    }
    h.wait();
    CHECK(h.in(0x3f4) == 0xf0);
    CHECK(h.in(0x3f5) == 6);
    for (int i = 1; i < 512; ++i) {
        CHECK(h.irq);
        h.in(0x3f5);
    }
    CHECK(h.result() == Bytes{0x40, 0x80, 0, 1, 0, 1, 2});

    for (const unsigned byte : {0x45, 0, 0, 0, 7, 2, 7, 0x1b, 0xff}) {
        h.out(0x3f5, byte);
    }
    h.wait();
    CHECK(h.in(0x3f4) == 0xb0);
    for (int i = 0; i < 512; ++i) {
        h.out(0x3f5, 0x5a);
    }
    h.wait();
    CHECK(h.result() == Bytes{0x40, 0x80, 0, 1, 0, 1, 2});
    CHECK(h.disk.data[6 * 512] == 0x5a);
}

TEST_CASE("fdc: formatting fills the track", "[floppy]")
{
    Harness h;
    h.bring_up();
    h.seek(1);
    for (unsigned i = 0; i < 18; ++i) {
        h.memory.write_int(0x8000 + 4 * i, 4, 0x0200'0001 | (i + 1) << 16);
    }
    h.set_dma(kFromMemory, 0x8000, 72);
    CHECK(h.command({0x4d, 0, 2, 18, 0x50, 0xf6})[0] == 0x00);
    CHECK(h.disk.data[36 * 512] == 0xf6);
    CHECK(h.disk.data[53 * 512 + 511] == 0xf6);
    CHECK(h.disk.data[54 * 512] == 54);
}

TEST_CASE("fdc: LOCK keeps the configuration through a software reset", "[floppy]")
{
    Harness h;
    h.bring_up();
    h.command({0x13, 0, 0x57, 9});
    CHECK(h.command({0x94}) == Bytes{0x10});
    h.out(0x3f4, 0x80);
    h.wait();
    CHECK(h.command({0x0e}) == Bytes{0, 0, 0, 0, 0xaf, 0x02, 0, 0x80, 0x57, 9});
    CHECK(h.command({0x14}) == Bytes{0x00});
}

TEST_CASE("fdc: a configured implied seek moves the head", "[floppy]")
{
    Harness h;
    h.bring_up();
    h.command({0x13, 0, 0x40, 0});
    h.set_dma(kToMemory, 0x8000, 512);
    CHECK(h.command({0x46, 0, 9, 0, 1, 2, 18, 0x1b, 0xff}) == Bytes{0, 0, 0, 9, 0, 2, 2});
    CHECK(h.memory.read_int(0x8000, 2) == 9 * 36);
}
