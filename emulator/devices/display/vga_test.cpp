#include "emulator/devices/display/vga_machine.hpp"

#include <catch2/catch.hpp>

using namespace emu;
using namespace emu::devices::display;

TEST_CASE("vga: registers read back through index and data ports")
{
    VgaMachine m;
    m.index(0x3c4, 2, 0x0f);
    m.out(0x3c4, 2);
    CHECK(m.in(0x3c5) == 0x0f);

    m.index(0x3ce, 8, 0xa5);
    m.out(0x3ce, 8);
    CHECK(m.in(0x3cf) == 0xa5);
}

TEST_CASE("vga: the CRTC answers at the ports that the misc output register chose")
{
    VgaMachine m;
    m.out(0x3c2, 0x01);
    m.index(0x3d4, 0x0e, 0x12);
    m.out(0x3d4, 0x0e);
    CHECK(m.in(0x3d5) == 0x12);
    CHECK(m.in(0x3b5) == 0xff);

    m.out(0x3c2, 0x00);
    CHECK(m.in(0x3b5) == 0x12);
    CHECK(m.in(0x3d5) == 0xff);
}

TEST_CASE("vga: the protect bit locks CRTC 0-7 but for the line compare bit")
{
    VgaMachine m;
    m.out(0x3c2, 0x01);
    m.index(0x3d4, 0x00, 0x5f);
    m.index(0x3d4, 0x07, 0x00);
    m.index(0x3d4, 0x11, 0x80);

    m.index(0x3d4, 0x00, 0x11);
    m.index(0x3d4, 0x07, 0xff);

    m.out(0x3d4, 0x00);
    CHECK(m.in(0x3d5) == 0x5f);
    m.out(0x3d4, 0x07);
    CHECK(m.in(0x3d5) == 0x10);
}

TEST_CASE("vga: the palette is written and read in threes")
{
    VgaMachine m;
    m.color(7, 10, 20, 30);
    m.out(0x3c7, 7);

    CHECK(m.in(0x3c9) == 10);
    CHECK(m.in(0x3c9) == 20);
    CHECK(m.in(0x3c9) == 30);
}

TEST_CASE("vga: text mode puts even bytes into plane 0 and odd ones into plane 1")
{
    VgaMachine m;
    m.text_mode();
    m.poke(0xb8000, 'A');
    m.poke(0xb8001, 0x1f);
    m.poke(0xb8002, 'B');

    CHECK(m.vram.data()[0] == 'A');
    CHECK(m.vram.data()[1] == 0x1f);
    CHECK(m.vram.data()[4] == 'B');
    CHECK(m.peek(0xb8000) == 'A');
    CHECK(m.peek(0xb8001) == 0x1f);
    CHECK(m.peek(0xa0000) == 0xff);
}

TEST_CASE("vga: odd/even needs both of its bits, with one of them addresses are taken as they are")
{
    VgaMachine m;
    m.index(0x3c4, 2, 0x04); // plane 2
    m.index(0x3c4, 4, 0x00); // odd/even
    m.index(0x3ce, 4, 0x02);
    m.index(0x3ce, 5, 0x00); // not odd/even
    m.index(0x3ce, 6, 0x00);
    m.index(0x3ce, 8, 0xff);
    m.poke(0xa0020, 0x11);
    m.poke(0xa0021, 0x22);

    CHECK(m.vram.data()[0x20 * 4 + 2] == 0x11);
    CHECK(m.vram.data()[0x21 * 4 + 2] == 0x22);
    CHECK(m.peek(0xa0021) == 0x22);
}

TEST_CASE("vga: a screen of which only the size is set has that size")
{
    VgaMachine m;
    m.out(0x3c2, 0x63);
    m.index(0x3c4, 1, 0x01);
    m.index(0x3d4, 0x01, 0x4f);
    m.index(0x3d4, 0x07, 0x02);
    m.index(0x3d4, 0x12, 0x8f);

    CHECK(m.frame().width == 640);
    CHECK(m.frame().height == 400);
}

TEST_CASE("vga: the text screen has the characters, attributes and cursor")
{
    VgaMachine m;
    m.text_mode();
    m.poke(0xb8000 + 160, 'x');
    m.poke(0xb8000 + 161, 0x1e);
    m.index(0x3d4, 0x0a, 0x0d);
    m.index(0x3d4, 0x0b, 0x0e);
    m.index(0x3d4, 0x0e, 0x00);
    m.index(0x3d4, 0x0f, 83);

    const auto screen = m.vga.text();

    REQUIRE(screen);
    CHECK(screen->columns == 80);
    CHECK(screen->rows == 25);
    CHECK(screen->characters[80] == 'x');
    CHECK(screen->attributes[80] == 0x1e);
    CHECK(screen->cursor_visible);
    CHECK(screen->cursor_column == 3);
    CHECK(screen->cursor_row == 1);
    CHECK(m.vga.mode_name() == "720x400 text 80x25");
}

TEST_CASE("vga: text is drawn from the font in plane 2 in nine dots")
{
    VgaMachine m;
    m.text_mode();
    m.color(15, 63, 63, 63);
    m.color(1, 0, 0, 63);
    m.poke(0xb8000, 0x41);
    m.poke(0xb8001, 0x1f);
    m.poke(0xb8002, 0xc4); // a line drawing character
    m.poke(0xb8003, 0x1f);
    m.index(0x3c4, 2, 0x04);
    m.index(0x3c4, 4, 0x06);
    m.index(0x3ce, 5, 0x00);
    m.index(0x3ce, 6, 0x04);
    m.poke(0xa0000 + 0x41 * 32, 0x81);
    m.poke(0xa0000 + 0xc4 * 32, 0xff);
    m.index(0x3c4, 4, 0x02);
    m.index(0x3ce, 5, 0x10);
    m.index(0x3ce, 6, 0x0e);

    const Frame f = m.frame();

    CHECK(f.width == 720);
    CHECK(f.height == 400);
    CHECK(f.pixels[0] == 0xffffff);
    CHECK(f.pixels[1] == 0x0000ff);
    CHECK(f.pixels[7] == 0xffffff);
    CHECK(f.pixels[8] == 0x0000ff);
    CHECK(f.pixels[17] == 0xffffff); // the ninth dot repeats the eighth
    CHECK(f.pixels[720] == 0x0000ff);
}

TEST_CASE("vga: write mode 0 replicates, masks bits with the latches and obeys the map mask")
{
    VgaMachine m;
    m.planar_mode();
    m.poke(0xa0000, 0xff);
    m.index(0x3c4, 2, 0x05);
    m.index(0x3ce, 8, 0xf0);
    m.peek(0xa0000);

    m.poke(0xa0000, 0x00);

    CHECK(m.vram.data()[0] == 0x0f);
    CHECK(m.vram.data()[1] == 0xff);
    CHECK(m.vram.data()[2] == 0x0f);
    CHECK(m.vram.data()[3] == 0xff);
}

TEST_CASE("vga: set/reset overrides the CPU's byte in the planes where it is enabled")
{
    VgaMachine m;
    m.planar_mode();
    m.index(0x3ce, 0, 0x0a);
    m.index(0x3ce, 1, 0x0e);

    m.poke(0xa0001, 0x55);

    CHECK(m.vram.data()[4] == 0x55);
    CHECK(m.vram.data()[5] == 0xff);
    CHECK(m.vram.data()[6] == 0x00);
    CHECK(m.vram.data()[7] == 0xff);
}

TEST_CASE("vga: rotate and the logical functions work on the latches")
{
    VgaMachine m;
    m.planar_mode();
    m.poke(0xa0000, 0x0f);
    m.peek(0xa0000);
    m.index(0x3ce, 3, 0x18 | 4); // XOR, rotate right by 4

    m.poke(0xa0000, 0x1e);

    CHECK(m.vram.data()[0] == (0xe1 ^ 0x0f));
}

TEST_CASE("vga: write mode 1 copies the latches")
{
    VgaMachine m;
    m.planar_mode();
    m.index(0x3c4, 2, 0x01);
    m.poke(0xa0000, 0x11);
    m.index(0x3c4, 2, 0x08);
    m.poke(0xa0000, 0x88);
    m.index(0x3c4, 2, 0x0f);
    m.index(0x3ce, 5, 0x01);
    m.peek(0xa0000);

    m.poke(0xa0010, 0x00);

    CHECK(m.vram.data()[0x40] == 0x11);
    CHECK(m.vram.data()[0x43] == 0x88);
}

TEST_CASE("vga: write mode 2 writes a colour, write mode 3 the set/reset colour")
{
    VgaMachine m;
    m.planar_mode();
    m.index(0x3ce, 5, 0x02);
    m.poke(0xa0000, 0x06);
    CHECK(m.vram.data()[0] == 0x00);
    CHECK(m.vram.data()[1] == 0xff);
    CHECK(m.vram.data()[2] == 0xff);

    m.index(0x3ce, 5, 0x03);
    m.index(0x3ce, 0, 0x01);
    m.peek(0xa0000);
    m.poke(0xa0000, 0xf0);
    CHECK(m.vram.data()[0] == 0xf0);
    CHECK(m.vram.data()[1] == 0x0f);
}

TEST_CASE("vga: read mode 0 chooses a plane, read mode 1 compares colours")
{
    VgaMachine m;
    m.planar_mode();
    m.index(0x3c4, 2, 0x02);
    m.poke(0xa0000, 0xc3);
    m.index(0x3ce, 4, 0x01);
    CHECK(m.peek(0xa0000) == 0xc3);
    m.index(0x3ce, 4, 0x00);
    CHECK(m.peek(0xa0000) == 0x00);

    m.index(0x3ce, 5, 0x08);
    m.index(0x3ce, 2, 0x02);
    m.index(0x3ce, 7, 0x0f);
    CHECK(m.peek(0xa0000) == 0xc3);
    m.index(0x3ce, 7, 0x0d); // plane 1 is not cared for
    CHECK(m.peek(0xa0000) == 0x3c + 0xc3 - 0x00);
}

TEST_CASE("vga: wide accesses are bytes at successive addresses")
{
    VgaMachine m;
    m.planar_mode();
    m.memory.write_int(0xa0000, 4, 0x4433'2211);

    CHECK(m.vram.data()[0] == 0x11);
    CHECK(m.vram.data()[13] == 0x44);
    CHECK(m.memory.read_int(0xa0000, 4) == 0x4433'2211);
}

TEST_CASE("vga: 16 colours at 640x480, with panning and split screen")
{
    VgaMachine m;
    m.planar_mode();
    m.color(15, 63, 63, 63);
    m.poke(0xa0000, 0x80);
    CHECK(m.frame().width == 640);
    CHECK(m.frame().height == 480);
    CHECK(m.frame().pixels[0] == 0xffffff);
    CHECK(m.vga.mode_name() == "640x480x4");

    m.poke(0xa0000, 0x10);
    m.attribute(0x13, 3);
    CHECK(m.frame().pixels[0] == 0xffffff);

    m.attribute(0x13, 0);
    m.index(0x3d4, 0x0c, 0x10); // start at 1000h: the upper part is black
    m.index(0x3d4, 0x07, 0x2e); // line compare 99
    m.index(0x3d4, 0x11, 0x0c);
    m.index(0x3d4, 0x07, 0x2e);
    m.index(0x3d4, 0x09, 0x00);
    m.index(0x3d4, 0x18, 99);
    const Frame f = m.frame();
    CHECK(f.pixels[3] == 0);
    CHECK(f.pixels[100 * 640 + 3] == 0xffffff);
}

TEST_CASE("vga: mode 13h is memory that the CPU reaches directly")
{
    VgaMachine m;
    m.mode_13h();
    m.color(200, 63, 0, 0);
    CHECK(m.memory.page(0xa0000).block == &m.vram);
    m.poke(0xa0000 + 321, 200);

    const Frame f = m.frame();

    CHECK(f.width == 640);
    CHECK(f.height == 400);
    CHECK(f.pixels[2 * 640 + 2] == 0xff0000);
    CHECK(f.pixels[3 * 640 + 3] == 0xff0000);
    CHECK(f.pixels[2 * 640 + 4] == 0);

    m.index(0x3c4, 2, 0x01); // a mask: back to the handler
    CHECK(m.memory.page(0xa0000).handler == &m.vga);
}

TEST_CASE("vga: mode X writes four pixels apart")
{
    VgaMachine m;
    m.mode_13h();
    m.index(0x3c4, 4, 0x06);
    m.color(9, 0, 63, 0);
    m.index(0x3c4, 2, 0x04);
    m.poke(0xa0001, 9);

    CHECK(m.frame().pixels[12] == 0x00ff00); // pixel 6
    CHECK(m.frame().pixels[10] == 0);
}

TEST_CASE("vga: CGA graphics interleave odd and even rows")
{
    VgaMachine m;
    m.timing(false);
    m.index(0x3d4, 0x11, 0x0e);
    m.index(0x3d4, 0x01, 0x27);
    m.index(0x3d4, 0x13, 0x14);
    m.index(0x3c4, 1, 0x09);
    m.index(0x3c4, 2, 0x03);
    m.index(0x3c4, 4, 0x02);
    m.index(0x3ce, 5, 0x30);
    m.index(0x3ce, 6, 0x0f);
    m.index(0x3ce, 8, 0xff);
    m.index(0x3d4, 0x09, 0xc1);
    m.index(0x3d4, 0x17, 0xa2);
    m.attribute(0x10, 0x01);
    m.attribute(0x12, 0x03);
    m.color(3, 63, 63, 63);
    m.color(2, 0, 63, 0);
    m.poke(0xb8000, 0xc0); // row 0, pixel 0: 3
    m.poke(0xba000, 0x20); // row 1, pixel 1: 2

    const Frame f = m.frame();

    CHECK(f.width == 640);
    CHECK(f.pixels[0] == 0xffffff);
    CHECK(f.pixels[1] == 0xffffff);
    CHECK(f.pixels[2] == 0);
    CHECK(f.pixels[2 * 640 + 2] == 0x00ff00);
}

TEST_CASE("vga: retrace comes and goes with the virtual clock")
{
    VgaMachine m;
    m.timing(true);
    m.index(0x3c4, 1, 0x01);
    CHECK((m.in(0x3da) & 0x09) == 0x00);

    m.clock.skip_to_ns(15'580'000); // line 490 of 525 at 31.78 us a line
    CHECK((m.in(0x3da) & 0x09) == 0x09);

    m.clock.skip_to_ns(16'700'000); // the next frame
    CHECK((m.in(0x3da) & 0x08) == 0x00);
}

TEST_CASE("vga: a screen without palette address source is black")
{
    VgaMachine m;
    m.planar_mode();
    m.color(15, 63, 63, 63);
    m.poke(0xa0000, 0xff);

    m.in(0x3da);
    m.out(0x3c0, 0x00);

    CHECK(m.frame().pixels[0] == 0);
}
