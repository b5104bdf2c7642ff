#include "emulator/devices/firmware/fw_cfg.hpp"

#include <catch2/catch.hpp>

namespace {

using namespace emu;
using namespace emu::devices;

struct Harness {
    RamBlock ram{"ram", 1 << 20};
    AddressSpace memory;
    FwCfg fw{memory};
    Harness() { memory.map_ram(0, 1 << 20, ram, 0, AddressSpace::Access::read_write); }

    std::string read(unsigned key, unsigned count)
    {
        fw.io_write(0x510, 2, key);
        std::string bytes;
        for (unsigned i = 0; i < count; ++i) {
            bytes += static_cast<char>(fw.io_read(0x511, 1));
        }
        return bytes;
    }
    /// Returns the control word the device leaves.
    u64 dma(u32 control, u32 length, u64 address)
    {
        memory.write_int(0x1000, 4, __builtin_bswap32(control));
        memory.write_int(0x1004, 4, __builtin_bswap32(length));
        memory.write_int(0x1008, 8, __builtin_bswap64(address));
        fw.io_write(0x514, 4, 0);
        fw.io_write(0x518, 4, __builtin_bswap32(0x1000));
        return memory.read_int(0x1000, 4);
    }
};

} // namespace

TEST_CASE("fw_cfg: the signature, version and DMA signature announce the device", "[firmware]")
{
    Harness h;
    CHECK(h.read(0, 6) == std::string("QEMU\0\0", 6));
    CHECK(h.read(1, 4) == std::string("\3\0\0\0", 4));
    CHECK(h.fw.io_read(0x514, 4) == __builtin_bswap32(0x51454d55));
    CHECK(h.fw.io_read(0x518, 4) == __builtin_bswap32(0x20434647));
}

TEST_CASE("fw_cfg: files are listed with size, key and name", "[firmware]")
{
    Harness h;
    REQUIRE(h.fw.add_file("etc/one", {1, 2, 3}));
    REQUIRE(h.fw.add_file("etc/two", {4}));
    CHECK(h.read(0x19, 20) == std::string("\0\0\0\2\0\0\0\3\0\x20\0\0etc/one\0", 20));
    CHECK(h.read(0x21, 1) == "\4");
    CHECK_FALSE(h.fw.add_file("etc/two", {}));
    CHECK_FALSE(h.fw.add_file(std::string(56, 'x'), {}));
}

TEST_CASE("fw_cfg: DMA selects, skips and reads, with zeroes past the end", "[firmware]")
{
    Harness h;
    REQUIRE(h.fw.add_file("etc/data", {1, 2, 3, 4}));
    h.memory.write_int(0x2000, 8, ~u64{0});
    CHECK(h.dma(0x0020'000c, 1, 0) == 0); // select and skip one
    CHECK(h.dma(0x0000'0002, 5, 0x2000) == 0);
    CHECK(h.memory.read_int(0x2000, 8) == 0xffffff0000040302);
    CHECK(h.dma(0x0000'0010, 1, 0x2000) == __builtin_bswap32(1)); // writing is refused
}

TEST_CASE("fw_cfg: a PC's items are what was configured", "[firmware]")
{
    Harness h;
    REQUIRE(fill_pc_firmware(h.fw, {.ram_below_4g = 0x800'0000,
                                    .ram_above_4g = 0,
                                    .cpus = 1,
                                    .irq0_to_pin2 = true,
                                    .show_boot_menu = false,
                                    .boot_menu_wait_ms = 0,
                                    .reserved = {},
                                    .boot_order = {"/a", "/b"}}));
    CHECK(h.read(0x03, 8) == std::string("\0\0\0\x08\0\0\0\0", 8));
    CHECK(h.read(0x05, 2) == std::string("\1\0", 2));
    CHECK(h.read(0x8002, 1) == "\1");
    REQUIRE(h.fw.file("etc/e820") != nullptr);
    CHECK(h.fw.file("etc/e820")->size() == 20);
    const auto* order = h.fw.file("bootorder");
    REQUIRE(order != nullptr);
    CHECK(std::string(order->begin(), order->end()) == std::string("/a\n/b\n\0", 7));
}
