#include "emulator/devices/debugport/system_ports.hpp"

#include <catch2/catch.hpp>

#include <string>

namespace {

using namespace emu;
using namespace emu::devices;

struct Text : CharSink {
    void put(u8 byte) override { text += static_cast<char>(byte); }
    std::string text;
};

} // namespace

TEST_CASE("debug console: bytes go to the sink and the port reads E9", "[debugport]")
{
    Text text;
    DebugConsole console{&text};
    console.io_write(0xe9, 1, 'h');
    console.io_write(0xe9, 2, 'i' | '!' << 8);
    CHECK(text.text == "hi!");
    CHECK(console.io_read(0xe9, 1) == 0xe9);
    DebugConsole{nullptr}.io_write(0x402, 1, 'x');
}

TEST_CASE("checkpoint: port 80h keeps the last value", "[debugport]")
{
    CheckpointPort port;
    port.io_write(0x80, 1, 0x42);
    CHECK(port.io_read(0x80, 1) == 0x42);
    CHECK(port.last() == 0x42);
}

TEST_CASE("a20: the later write of either source wins", "[debugport]")
{
    AddressSpace memory;
    A20Gate gate{memory};
    gate.reset();
    CHECK(memory.a20());
    const Wire keyboard = gate.input();
    const Wire fast = gate.input();
    fast.set(true);
    keyboard.set(false);
    CHECK_FALSE(memory.a20());
    fast.set(true);
    CHECK(memory.a20());
    fast.set(false);
    CHECK_FALSE(memory.a20());
    CHECK_FALSE(gate.open());
}

TEST_CASE("port 92h: bit 1 reads as A20 is, whoever set it", "[debugport]")
{
    AddressSpace memory;
    A20Gate gate{memory};
    SystemControlA port{
        {.a20 = gate.input(), .reset = {}, .a20_now = [&gate] { return gate.open(); }}};
    gate.reset();
    port.reset();
    CHECK(memory.a20());
    CHECK(port.io_read(0x92, 1) == 0x02);
    gate.input().set(false);
    CHECK(port.io_read(0x92, 1) == 0x00);
    port.io_write(0x92, 1, 0x02);
    CHECK(memory.a20());
}

TEST_CASE("port 92h: A20 follows bit 1, a rising bit 0 resets", "[debugport]")
{
    bool a20 = false;
    int resets = 0;
    SystemControlA port{{.a20 = Wire{[&](bool level) { a20 = level; }},
                         .reset = Wire{[&](bool level) { resets += level ? 1 : 0; }},
                         .a20_now = {}}};
    port.io_write(0x92, 1, 0x02);
    CHECK(a20);
    CHECK(resets == 0);
    port.io_write(0x92, 1, 0x03);
    port.io_write(0x92, 1, 0x03);
    CHECK(resets == 1);
    CHECK(port.io_read(0x92, 1) == 0x03);
}

TEST_CASE("port 61h: refresh toggles every 15085 ns, bit 5 is timer 2's output", "[debugport]")
{
    Clock clock{1'000'000'000};
    bool gate = false;
    bool output = true;
    SystemControlB port{{.clock = clock,
                         .gate2 = Wire{[&](bool level) { gate = level; }},
                         .output2 = [&] { return output; }}};
    CHECK(port.io_read(0x61, 1) == 0x20);
    clock.skip_to_ns(15'085);
    CHECK(port.io_read(0x61, 1) == 0x30);
    output = false;
    port.io_write(0x61, 1, 0xff);
    CHECK(gate);
    CHECK(port.speaker_enabled());
    CHECK(port.io_read(0x61, 1) == 0x1f);
}
