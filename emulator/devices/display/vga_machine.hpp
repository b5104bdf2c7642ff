// A VGA with memory and ports around it, and the mode settings the tests share.
#pragma once

#include "emulator/devices/display/vga.hpp"

namespace emu::devices::display {

struct VgaMachine {
    Clock clock{1'000'000'000};
    AddressSpace memory;
    PortSpace ports;
    RamBlock vram{"vram", 16 << 20};
    Vga vga{{clock, memory, ports, PortBus::pci}, vram};

    void out(u16 port, u32 value) { ports.write(port, 1, value); }
    u32 in(u16 port) { return ports.read(port, 1); }
    void index(u16 port, u8 index, u8 value) { ports.write(port, 2, index | value << 8); }
    void attribute(u8 index, u8 value)
    {
        in(0x3da);
        out(0x3c0, index);
        out(0x3c0, value);
        out(0x3c0, 0x20);
    }
    void poke(u32 address, u8 value) { memory.write_int(address, 1, value); }
    u8 peek(u32 address) { return static_cast<u8>(memory.read_int(address, 1)); }
    void dispi(u16 index, u16 value)
    {
        ports.write(0x1ce, 2, index);
        ports.write(0x1cf, 2, value);
    }
    u16 dispi(u16 index)
    {
        ports.write(0x1ce, 2, index);
        return static_cast<u16>(ports.read(0x1cf, 2));
    }
    void color(u8 at, u8 red, u8 green, u8 blue)
    {
        out(0x3c8, at);
        out(0x3c9, red);
        out(0x3c9, green);
        out(0x3c9, blue);
    }

    /// CRTC timings of the IBM BIOS: 400 or 480 lines of 80 characters.
    void timing(bool lines_480)
    {
        out(0x3c2, lines_480 ? 0xe3 : 0x63);
        index(0x3d4, 0x11, 0x0e);
        index(0x3d4, 0x00, 0x5f);
        index(0x3d4, 0x01, 0x4f);
        index(0x3d4, 0x06, lines_480 ? 0x0b : 0xbf);
        index(0x3d4, 0x07, lines_480 ? 0x3e : 0x1f);
        index(0x3d4, 0x10, lines_480 ? 0xea : 0x9c);
        index(0x3d4, 0x11, lines_480 ? 0x8c : 0x8e);
        index(0x3d4, 0x12, lines_480 ? 0xdf : 0x8f);
        index(0x3d4, 0x13, 0x28);
        index(0x3d4, 0x18, 0xff);
        for (u8 i = 0; i < 16; ++i) {
            attribute(i, i);
        }
        attribute(0x12, 0x0f);
    }
    void text_mode()
    {
        timing(false);
        out(0x3c2, 0x67);
        index(0x3c4, 1, 0x00); // nine dots
        index(0x3c4, 2, 0x03);
        index(0x3c4, 4, 0x02);
        index(0x3ce, 5, 0x10);
        index(0x3ce, 6, 0x0e);
        index(0x3d4, 0x09, 0x4f);
        index(0x3d4, 0x17, 0xa3);
        index(0x3d4, 0x0a, 0x20); // no cursor
        attribute(0x10, 0x0c);
        attribute(0x13, 0x08);
        index(0x3ce, 8, 0xff);
    }
    void planar_mode()
    {
        timing(true);
        index(0x3c4, 1, 0x01);
        index(0x3c4, 2, 0x0f);
        index(0x3c4, 4, 0x06);
        index(0x3ce, 5, 0x00);
        index(0x3ce, 6, 0x05);
        index(0x3ce, 8, 0xff);
        index(0x3d4, 0x09, 0x40);
        index(0x3d4, 0x17, 0xe3);
        attribute(0x10, 0x01);
    }
    void mode_13h()
    {
        timing(false);
        index(0x3c4, 1, 0x01);
        index(0x3c4, 2, 0x0f);
        index(0x3c4, 4, 0x0e);
        index(0x3ce, 5, 0x40);
        index(0x3ce, 6, 0x05);
        index(0x3ce, 8, 0xff);
        index(0x3d4, 0x09, 0x41);
        index(0x3d4, 0x14, 0x40);
        index(0x3d4, 0x17, 0xa3);
        attribute(0x10, 0x41);
    }
    Frame frame()
    {
        Frame f;
        vga.render(f);
        return f;
    }
};

} // namespace emu::devices::display
