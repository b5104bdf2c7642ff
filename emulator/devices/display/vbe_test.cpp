#include "emulator/devices/display/pci_vga.hpp"
#include "emulator/devices/display/vga_machine.hpp"

#include <catch2/catch.hpp>

using namespace emu;
using namespace emu::devices::display;

namespace {

void set_mode(VgaMachine& m, u16 width, u16 height, u16 bits, u16 flags)
{
    m.dispi(4, 0);
    m.dispi(1, width);
    m.dispi(2, height);
    m.dispi(3, bits);
    m.dispi(4, flags | 1);
}

} // namespace

TEST_CASE("dispi: identification, memory size and capabilities")
{
    VgaMachine m;
    CHECK(m.dispi(0) == 0xb0c5);
    CHECK(m.dispi(10) == 256);

    m.dispi(0, 0xb0c0);
    CHECK(m.dispi(0) == 0xb0c0);
    m.dispi(4, 2);
    CHECK(m.dispi(1) == 4096);
    CHECK(m.dispi(3) == 32);
}

TEST_CASE("dispi: enabling clears the screen unless told not to")
{
    VgaMachine m;
    m.vram.data()[5] = 0x77;
    set_mode(m, 640, 480, 32, 0x40 | 0x80);
    CHECK(m.vram.data()[5] == 0x77);

    set_mode(m, 640, 480, 32, 0x40);
    CHECK(m.vram.data()[5] == 0x00);
    CHECK(m.dispi(6) == 640);
    CHECK(m.dispi(7) == 6553);
    CHECK(m.vga.mode_name() == "640x480x32");
}

TEST_CASE("dispi: a mode larger than the memory is not enabled")
{
    VgaMachine m;
    set_mode(m, 4096, 4096, 32, 0x40);
    CHECK((m.dispi(4) & 1) == 0);
}

TEST_CASE("dispi: pixels of 32, 16, 15, 24 and 8 bits")
{
    VgaMachine m;
    set_mode(m, 640, 480, 32, 0x40);
    m.vram.data()[4] = 0x33;
    m.vram.data()[5] = 0x22;
    m.vram.data()[6] = 0x11;
    CHECK(m.frame().pixels[1] == 0x112233);

    set_mode(m, 640, 480, 16, 0x40);
    m.vram.data()[3] = 0xf8;
    CHECK(m.frame().pixels[1] == 0xff0000);

    set_mode(m, 640, 480, 15, 0x40);
    m.vram.data()[3] = 0x7c;
    CHECK(m.frame().pixels[1] == 0xff0000);

    set_mode(m, 640, 480, 24, 0x40);
    m.vram.data()[3] = 0x56;
    CHECK(m.frame().pixels[1] == 0x000056);

    set_mode(m, 640, 480, 8, 0x40);
    m.color(7, 63, 0, 0);
    m.vram.data()[1] = 7;
    CHECK(m.frame().pixels[1] == 0xff0000);
}

TEST_CASE("dispi: an 8-bit DAC keeps all bits")
{
    VgaMachine m;
    set_mode(m, 640, 480, 8, 0x60);
    m.color(0, 0xab, 0xcd, 0xef);
    CHECK(m.frame().pixels[0] == 0xabcdef);
}

TEST_CASE("dispi: banks move the window over memory")
{
    VgaMachine m;
    set_mode(m, 1024, 768, 8, 0x00);
    CHECK(m.memory.page(0xa0000).block == &m.vram);

    m.dispi(5, 3);
    m.poke(0xa0010, 0x5a);

    CHECK(m.vram.data()[3 * 65536 + 0x10] == 0x5a);
}

TEST_CASE("dispi: virtual width and offsets scroll the picture")
{
    VgaMachine m;
    set_mode(m, 640, 480, 8, 0x40);
    m.dispi(6, 1024);
    m.dispi(8, 10);
    m.dispi(9, 2);
    m.color(1, 0, 0, 63);
    m.vram.data()[2 * 1024 + 10] = 1;
    CHECK(m.frame().pixels[0] == 0x0000ff);

    m.dispi(8, 2000);
    CHECK(m.dispi(8) == 1024 - 640);
}

TEST_CASE("pci-vga: frame buffer, registers in memory and ROM")
{
    VgaMachine m;
    RamBlock rom{"rom", 0x1'0000};
    rom.data()[0] = 0x55;
    PciVga card{{m.memory, m.ports}, m.vga, m.vram, &rom};
    card.reset();
    card.config_write(0x10, 4, 0xe000'0000);
    card.config_write(0x18, 4, 0xe200'0000);
    card.config_write(0x30, 4, 0xe300'0001);
    card.config_write(0x04, 2, 0x0003);

    m.memory.write_int(0xe012'3456, 1, 0x99);
    m.memory.write_int(0xe200'0502, 2, 800);

    CHECK(card.config_read(0x00, 4) == 0x1111'1234);
    CHECK(card.config_read(0x08, 4) == 0x0300'0002);
    CHECK(m.vram.data()[0x12'3456] == 0x99);
    CHECK(m.dispi(1) == 800);
    CHECK(m.memory.read_int(0xe200'0500, 2) == 0xb0c5);
    CHECK(m.memory.read_int(0xe300'0000, 1) == 0x55);
    m.memory.write_int(0xe200'0408, 1, 5); // port 3C8h
    CHECK(m.in(0x3c8) == 5);
}

TEST_CASE("edid: a valid block that prefers 1024x768")
{
    const auto edid = make_edid();
    unsigned sum = 0;
    for (const base::u8 byte : edid) {
        sum += byte;
    }

    CHECK(sum % 256 == 0);
    CHECK(edid[0] == 0x00);
    CHECK(edid[1] == 0xff);
    CHECK((edid[56] | (edid[58] & 0xf0) << 4) == 1024);
    CHECK((edid[59] | (edid[61] & 0xf0) << 4) == 768);
}
