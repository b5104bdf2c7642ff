#include "emulator/memory/address_space.hpp"

#include <catch2/catch.hpp>

using namespace emu;

namespace {

struct Recorder : MmioHandler {
    u64 last_offset = 0;
    u64 last_value = 0;
    u64 mmio_read(u64 offset, unsigned) override { return 0x40 + offset; }
    void mmio_write(u64 offset, unsigned, u64 value) override
    {
        last_offset = offset;
        last_value = value;
    }
};

} // namespace

TEST_CASE("address space: unmapped memory reads as ones and drops writes")
{
    AddressSpace space;

    space.write_int(0x1000, 4, 0x1234);

    CHECK(space.read_int(0x1000, 4) == 0xffffffff);
}

TEST_CASE("address space: a region of higher priority hides RAM until it is disabled")
{
    AddressSpace space;
    RamBlock ram{"ram", 0x10000};
    Recorder device;
    space.map_ram(0, 0x10000, ram, 0, AddressSpace::Access::read_write);
    const auto id = space.map_mmio(0x2000, 0x1000, device, "dev", 1);
    space.write_int(0x1ffc, 4, 0x11223344);

    CHECK(space.read_int(0x2004, 1) == 0x44);
    space.set_enabled(id, false);
    CHECK(space.read_int(0x2004, 1) == 0);
    CHECK(space.read_int(0x1ffe, 2) == 0x1122);
}

TEST_CASE("address space: ROM ignores writes until it is made writable")
{
    AddressSpace space;
    RamBlock rom{"rom", 0x1000};
    rom.bytes()[5] = 0xaa;
    const auto id = space.map_ram(0xf000, 0x1000, rom, 0, AddressSpace::Access::read_only);

    space.write_int(0xf005, 1, 0x55);
    CHECK(space.read_int(0xf005, 1) == 0xaa);

    space.set_access(id, AddressSpace::Access::read_write);
    space.write_int(0xf005, 1, 0x55);
    CHECK(space.read_int(0xf005, 1) == 0x55);
}

TEST_CASE("address space: a closed A20 gate folds the second megabyte onto the first")
{
    AddressSpace space;
    RamBlock ram{"ram", 0x200000};
    space.map_ram(0, 0x200000, ram, 0, AddressSpace::Access::read_write);
    space.write_int(0x000500, 1, 0x77);

    space.set_a20(false);

    CHECK(space.read_int(0x100500, 1) == 0x77);
}

TEST_CASE("address space: a write that crosses from RAM into a device reaches both")
{
    AddressSpace space;
    RamBlock ram{"ram", 0x1000};
    Recorder device;
    space.map_ram(0, 0x1000, ram, 0, AddressSpace::Access::read_write);
    space.map_mmio(0x1000, 0x1000, device, "dev");

    space.write_int(0xffe, 4, 0x44332211);

    CHECK(ram.bytes()[0xffe] == 0x11);
    CHECK(ram.bytes()[0xfff] == 0x22);
    CHECK(device.last_offset == 1);
    CHECK(device.last_value == 0x44);
}
