#include "emulator/devices/dma/i8237.hpp"

#include <catch2/catch.hpp>

namespace {

using namespace emu;
using emu::devices::I8237Pair;

struct Harness {
    RamBlock ram{"ram", 1 << 20};
    AddressSpace memory;
    I8237Pair dma{memory};
    Harness()
    {
        memory.map_ram(0, 1 << 20, ram, 0, AddressSpace::Access::read_write);
        out(0xd4, 0x00); // open the cascade
    }
    void out(unsigned port, unsigned value) { dma.io_write(port, 1, value); }
    unsigned in(unsigned port) { return dma.io_read(port, 1); }
    void program_channel2(unsigned mode, unsigned address, unsigned count)
    {
        out(0x0a, 0x06);
        out(0x0c, 0);
        out(0x0b, mode | 2);
        out(0x04, address & 0xff);
        out(0x04, address >> 8 & 0xff);
        out(0x81, address >> 16);
        out(0x05, count & 0xff);
        out(0x05, count >> 8);
        out(0x0a, 0x02);
    }
};

} // namespace

TEST_CASE("i8237: a device's bytes land in memory up to terminal count", "[dma]")
{
    Harness h;
    h.program_channel2(0x44, 0x3'1234, 2); // three bytes
    const u8 data[] = {1, 2, 3, 4};
    const auto moved = h.dma.channel(2).to_memory(data);
    CHECK(moved.bytes == 3);
    CHECK(moved.terminal_count);
    CHECK(h.memory.read_int(0x3'1234, 4) == 0x00030201);
    CHECK(h.in(0x08) == 0x04);
    CHECK(h.in(0x08) == 0x00);
    CHECK(h.dma.channel(2).to_memory(data).bytes == 0); // masked by itself
}

TEST_CASE("i8237: memory bytes go to the device, count and address can be read", "[dma]")
{
    Harness h;
    h.memory.write_int(0x500, 4, 0xddccbbaa);
    h.program_channel2(0x48, 0x500, 511);
    u8 data[4] = {};
    CHECK(h.dma.channel(2).from_memory(data).bytes == 4);
    CHECK(data[3] == 0xdd);
    h.out(0x0c, 0);
    CHECK((h.in(0x05) | h.in(0x05) << 8) == 507);
    CHECK((h.in(0x04) | h.in(0x04) << 8) == 0x504);
}

TEST_CASE("i8237: verify counts without touching memory", "[dma]")
{
    Harness h;
    h.program_channel2(0x40, 0x600, 1);
    const u8 data[] = {9, 9};
    CHECK(h.dma.channel(2).to_memory(data).terminal_count);
    CHECK(h.memory.read_int(0x600, 2) == 0);
}

TEST_CASE("i8237: auto-initialise starts over", "[dma]")
{
    Harness h;
    h.program_channel2(0x54, 0x700, 0);
    const u8 data[] = {1};
    CHECK(h.dma.channel(2).to_memory(data).terminal_count);
    CHECK(h.dma.channel(2).to_memory(data).terminal_count);
    CHECK(h.memory.read_int(0x700, 2) == 0x0001);
}

TEST_CASE("i8237: 16-bit channels count words at even addresses", "[dma]")
{
    Harness h;
    h.out(0xd8, 0);
    h.out(0xd6, 0x45); // channel 5, write to memory
    h.out(0xc4, 0x00);
    h.out(0xc4, 0x10); // word address 1000h
    h.out(0x8b, 0x03);
    h.out(0xc6, 0x01);
    h.out(0xc6, 0x00);
    h.out(0xd4, 0x01);
    const u8 data[] = {1, 2, 3, 4, 5};
    const auto moved = h.dma.channel(5).to_memory(data);
    CHECK(moved.bytes == 4);
    CHECK(moved.terminal_count);
    CHECK(h.memory.read_int(0x2'2000, 4) == 0x04030201);
}

TEST_CASE("i8237: masked channels and a closed cascade move nothing", "[dma]")
{
    Harness h;
    const u8 data[] = {1};
    CHECK(h.dma.channel(2).to_memory(data).bytes == 0);
    h.program_channel2(0x44, 0x500, 10);
    h.out(0xd4, 0x04);
    CHECK(h.dma.channel(2).to_memory(data).bytes == 0);
    CHECK(h.dma.channel(4).to_memory(data).bytes == 0);
}
