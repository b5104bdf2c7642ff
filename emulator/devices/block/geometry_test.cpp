#include "emulator/devices/block/geometry.hpp"

#include "emulator/devices/block/memory_disk.hpp"

#include <catch2/catch.hpp>

using namespace emu::devices::block;

namespace {

void put_partition(MemoryDisk& disk, u8 end_head, u8 end_sector)
{
    disk.bytes[446 + 5] = end_head;
    disk.bytes[446 + 6] = end_sector;
    disk.bytes[446 + 12] = 0x10; // sectors
    disk.bytes[510] = 0x55;
    disk.bytes[511] = 0xaa;
}

} // namespace

TEST_CASE("geometry: without a partition table there are 16 heads of 63 sectors")
{
    MemoryDisk disk{20160};

    const DiskGeometry chosen = choose_geometry(disk);

    CHECK(chosen.physical == Geometry{20, 16, 63});
    CHECK(chosen.translation == Translation::none);
}

TEST_CASE("geometry: more than 1024 cylinders need LBA translation")
{
    CHECK(default_geometry(1'048'576) == Geometry{1040, 16, 63});
    CHECK(default_geometry(1'000'000'000) == Geometry{16383, 16, 63});
}

TEST_CASE("geometry: a partition that ends on head 3, sector 17 means 4 heads of 17 sectors")
{
    MemoryDisk disk{41'616};
    put_partition(disk, 3, 17);

    const DiskGeometry chosen = choose_geometry(disk);

    CHECK(chosen.physical == Geometry{612, 4, 17});
    CHECK(chosen.translation == Translation::none);
}

TEST_CASE("geometry: 64 heads in the table mean that the firmware translates")
{
    MemoryDisk disk{41'616};
    put_partition(disk, 63, 32);

    const DiskGeometry chosen = choose_geometry(disk);

    CHECK(chosen.physical == Geometry{41, 16, 63});
    CHECK(chosen.translation == Translation::large);
}
