#include "emulator/devices/input/i8042.hpp"
#include "emulator/devices/input/key_codes.hpp"
#include "emulator/devices/input/ps2_keyboard.hpp"
#include "emulator/devices/input/ps2_mouse.hpp"

#include <catch2/catch.hpp>

#include <vector>

namespace {

using namespace emu;
using namespace emu::devices;
using Bytes = std::vector<unsigned>;

struct Harness {
    Clock clock{1'000'000'000};
    bool irq1 = false;
    bool irq12 = false;
    bool a20 = false;
    int resets = 0;
    Ps2Keyboard keyboard;
    Ps2Mouse mouse;
    I8042 controller{{.clock = clock,
                      .irq1 = Wire{[this](bool level) { irq1 = level; }},
                      .irq12 = Wire{[this](bool level) { irq12 = level; }},
                      .a20 = Wire{[this](bool level) { a20 = level; }},
                      .reset = Wire{[this](bool level) { resets += level ? 1 : 0; }},
                      .keyboard = &keyboard,
                      .mouse = &mouse}};

    Harness() { controller.reset(); }

    void command(unsigned value) { controller.io_write(0x64, 1, value); }
    void data(unsigned value) { controller.io_write(0x60, 1, value); }
    unsigned status() { return controller.io_read(0x64, 1); }
    unsigned read() { return controller.io_read(0x60, 1); }
    void set_command_byte(unsigned value)
    {
        command(0x60);
        data(value);
    }
    /// Everything that comes until the devices are silent.
    Bytes drain()
    {
        Bytes bytes;
        for (;;) {
            if ((status() & 1) != 0) {
                bytes.push_back(read());
            } else if (clock.next_deadline_ns() != Clock::kNever) {
                clock.skip_to_ns(clock.next_deadline_ns());
                clock.run_due_timers();
            } else {
                return bytes;
            }
        }
    }
    Bytes to_keyboard(unsigned value)
    {
        data(value);
        return drain();
    }
    Bytes to_mouse(unsigned value)
    {
        command(0xd4);
        data(value);
        return drain();
    }
    void key(std::string_view name, bool pressed)
    {
        keyboard.deliver(keyboard_payload(*key_by_name(name), pressed));
    }
};

} // namespace

TEST_CASE("key_codes: set 2 translates to set 1 for every key", "[input]")
{
    for (const KeyInfo& key : all_keys()) {
        if (key.code != kKeyPause) {
            INFO(key.name);
            CHECK(translate_to_set1(key.set2) == (key.code & 0x7f));
        }
    }
    CHECK(translate_to_set1(0xaa) == 0xaa);
}

TEST_CASE("key_codes: chords and characters", "[input]")
{
    CHECK(parse_chord("ctrl-alt-delete") == std::vector<KeyCode>{0x1d, 0x38, 0xd3});
    CHECK_FALSE(parse_chord("ctrl-"));
    CHECK_FALSE(parse_chord("nosuchkey"));
    CHECK(key_for_character('A')->code == 0x1e);
    CHECK(key_for_character('A')->shift);
    CHECK(key_for_character('\n')->code == 0x1c);
    CHECK(key_for_character('?')->code == 0x35);
    CHECK_FALSE(key_for_character('\xe9'));
    for (char c = ' '; c <= '~'; ++c) {
        INFO(c);
        CHECK(key_for_character(c));
    }
}

TEST_CASE("i8042: self-test, command byte and interface tests", "[input]")
{
    Harness h;
    h.command(0xaa);
    CHECK(h.drain() == Bytes{0x55});
    CHECK((h.status() & 0x04) != 0);
    h.set_command_byte(0x61);
    h.command(0x20);
    CHECK(h.drain() == Bytes{0x61});
    h.command(0xab);
    CHECK(h.drain() == Bytes{0x00});
    h.command(0xa9);
    CHECK(h.drain() == Bytes{0x00});
}

TEST_CASE("i8042: output port drives A20 and reset", "[input]")
{
    Harness h;
    CHECK(h.a20);
    h.command(0xd1);
    h.data(0xdd);
    CHECK_FALSE(h.a20);
    h.command(0xd1);
    h.data(0xdf);
    CHECK(h.a20);
    CHECK(h.resets == 0);
    h.command(0xfe);
    CHECK(h.resets == 1);
}

TEST_CASE("i8042: keys arrive translated with IRQ 1", "[input]")
{
    Harness h;
    h.set_command_byte(0x65);
    h.key("a", true);
    CHECK((h.status() & 1) == 0); // the link takes its time
    h.clock.skip_to_ns(h.clock.next_deadline_ns());
    h.clock.run_due_timers();
    CHECK(h.irq1);
    CHECK(h.drain() == Bytes{0x1e});
    CHECK_FALSE(h.irq1);
    CHECK(h.keyboard.can_accept());
    h.key("a", false);
    CHECK_FALSE(h.keyboard.can_accept());
    CHECK(h.drain() == Bytes{0x9e});
    h.key("up", true);
    h.key("up", false);
    CHECK(h.drain() == Bytes{0xe0, 0x48, 0xe0, 0xc8});
    h.key("pause", true);
    CHECK(h.drain() == Bytes{0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5});
    h.key("print", true);
    CHECK(h.drain() == Bytes{0xe0, 0x2a, 0xe0, 0x37});
}

TEST_CASE("i8042: a disabled keyboard keeps its keys", "[input]")
{
    Harness h;
    h.set_command_byte(0x65);
    h.command(0xad);
    h.key("b", true);
    CHECK(h.drain() == Bytes{});
    h.command(0xae);
    CHECK(h.drain() == Bytes{0x30});
}

TEST_CASE("ps2_keyboard: reset, identity, echo and LEDs", "[input]")
{
    Harness h;
    h.set_command_byte(0x04); // no translation
    CHECK(h.to_keyboard(0xff) == Bytes{0xfa, 0xaa});
    CHECK(h.to_keyboard(0xf2) == Bytes{0xfa, 0xab, 0x83});
    CHECK(h.to_keyboard(0xee) == Bytes{0xee});
    CHECK(h.to_keyboard(0xed) == Bytes{0xfa});
    CHECK(h.to_keyboard(0x05) == Bytes{0xfa});
    CHECK(h.keyboard.leds() == 5);
    CHECK(h.to_keyboard(0xe3) == Bytes{0xfe});
}

TEST_CASE("ps2_keyboard: scan code sets 2, 1 and 3", "[input]")
{
    Harness h;
    h.set_command_byte(0x04);
    h.key("f7", true);
    h.key("f7", false);
    CHECK(h.drain() == Bytes{0x83, 0xf0, 0x83});
    h.to_keyboard(0xf0);
    CHECK(h.to_keyboard(1) == Bytes{0xfa});
    h.key("delete", false);
    CHECK(h.drain() == Bytes{0xe0, 0xd3});
    h.to_keyboard(0xf0);
    h.to_keyboard(3);
    h.to_keyboard(0xf0);
    CHECK(h.to_keyboard(0) == Bytes{0xfa, 3});
    h.key("delete", true);
    h.key("delete", false); // make-only by default
    h.key("ctrl", false);
    CHECK(h.drain() == Bytes{0x64, 0xf0, 0x11});
    CHECK(h.to_keyboard(0xf8) == Bytes{0xfa});
    h.key("delete", false);
    CHECK(h.drain() == Bytes{0xf0, 0x64});
}

TEST_CASE("ps2_keyboard: a full buffer loses keys and says so once", "[input]")
{
    Harness h;
    h.set_command_byte(0x14); // keyboard disabled: nothing is taken
    for (int i = 0; i < 20; ++i) {
        h.key("x", true);
    }
    h.set_command_byte(0x04);
    Bytes expected(16, 0x22);
    expected.push_back(0x00);
    CHECK(h.drain() == expected);
}

TEST_CASE("ps2_mouse: reset, identity and the knocks", "[input]")
{
    Harness h;
    h.set_command_byte(0x46);
    CHECK(h.to_mouse(0xff) == Bytes{0xfa, 0xaa, 0x00});
    for (const unsigned rate : {200, 100, 80}) {
        CHECK(h.to_mouse(0xf3) == Bytes{0xfa});
        CHECK(h.to_mouse(rate) == Bytes{0xfa});
    }
    CHECK(h.to_mouse(0xf2) == Bytes{0xfa, 0x03});
    for (const unsigned rate : {200, 200, 80}) {
        h.to_mouse(0xf3);
        h.to_mouse(rate);
    }
    CHECK(h.to_mouse(0xf2) == Bytes{0xfa, 0x04});
    CHECK(h.to_mouse(0xe9) == Bytes{0xfa, 0x00, 0x02, 80});
}

TEST_CASE("ps2_mouse: motion and buttons are reported in stream mode with IRQ 12", "[input]")
{
    Harness h;
    h.set_command_byte(0x46);
    h.mouse.deliver(mouse_payload(5, 5, 0, 0));
    CHECK(h.drain() == Bytes{}); // not enabled
    CHECK(h.to_mouse(0xf4) == Bytes{0xfa});
    h.mouse.deliver(mouse_payload(3, -2, 0, 1));
    h.clock.skip_to_ns(h.clock.next_deadline_ns());
    h.clock.run_due_timers();
    CHECK(h.irq12);
    CHECK((h.status() & 0x21) == 0x21);
    CHECK(h.drain() == Bytes{0x09, 3, 2});
    h.mouse.deliver(mouse_payload(-300, 1, 0, 1));
    CHECK(h.drain() == Bytes{0x39, 0x01, 0xff, 0x19, 0xd3, 0x00});
    CHECK(h.mouse.can_accept());
}

TEST_CASE("ps2_mouse: remote mode reports when asked", "[input]")
{
    Harness h;
    h.set_command_byte(0x46);
    h.to_mouse(0xf0);
    h.to_mouse(0xf4);
    h.mouse.deliver(mouse_payload(1, 0, 0, 2));
    CHECK(h.drain() == Bytes{});
    CHECK(h.to_mouse(0xeb) == Bytes{0xfa, 0x0a, 1, 0});
}
