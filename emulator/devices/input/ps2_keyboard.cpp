#include "emulator/devices/input/ps2_keyboard.hpp"

#include "emulator/devices/input/key_codes.hpp"

#include <algorithm>

namespace emu::devices {

namespace {

constexpr std::size_t kBufferBytes = 16; // keys; answers to commands have room beyond it
constexpr u8 kDefaultTypematic = 0x2b;   // 10.9 a second after 500 ms

enum KeyType : u8 { kMakeBreak = 1, kMakeOnly = 2 }; // typematic counts as either

// Commands that take a parameter
constexpr u8 kSetLeds = 0xed;
constexpr u8 kSelectSet = 0xf0;
constexpr u8 kSetTypematic = 0xf3;
constexpr u8 kKeyTypematic = 0xfb;
constexpr u8 kKeyMakeBreak = 0xfc;
constexpr u8 kKeyMakeOnly = 0xfd;

} // namespace

void Ps2Keyboard::reset()
{
    output_.clear();
    scanning_ = true;
    leds_ = 0;
    awaiting_ = 0;
    last_sent_ = 0;
    overrun_ = false;
    set_defaults();
}

void Ps2Keyboard::visit_state(StateVisitor& v)
{
    v.section("ps2-keyboard");
    v.field("output", output_);
    v.field("scanning", scanning_);
    v.field("scan_set", scan_set_);
    v.field("leds", leds_);
    v.field("typematic", typematic_);
    v.field("awaiting", awaiting_);
    v.field("last_sent", last_sent_);
    v.field("overrun", overrun_);
    v.bytes("key_types", key_types_);
}

void Ps2Keyboard::set_defaults()
{
    scan_set_ = 2;
    typematic_ = kDefaultTypematic;
    // Set 3's defaults: make-only but for the keys held with others (PS/2 TR, "Scan code set 3").
    set_all_key_types(kMakeOnly);
    for (const u8 modifier : {0x11, 0x12, 0x14, 0x19, 0x59}) {
        key_types_[modifier] = kMakeBreak;
    }
}

void Ps2Keyboard::set_all_key_types(u8 type)
{
    key_types_.fill(type);
}

void Ps2Keyboard::host_write(u8 byte)
{
    if (awaiting_ != 0) {
        parameter(byte);
    } else {
        command(byte);
    }
}

void Ps2Keyboard::command(u8 byte)
{
    const auto acknowledge = [this] { send(kPs2Acknowledge); };
    switch (byte) {
    case kSetLeds:
    case kSelectSet:
    case kSetTypematic:
    case kKeyTypematic:
    case kKeyMakeBreak:
    case kKeyMakeOnly:
        awaiting_ = byte;
        acknowledge();
        break;
    case 0xee:
        send(0xee);
        break; // echo
    case 0xf2: // identify
        acknowledge();
        send(0xab);
        send(0x83);
        break;
    case 0xf4: // enable
        output_.clear();
        scanning_ = true;
        acknowledge();
        break;
    case 0xf5: // defaults and disable
    case 0xf6: // defaults
        output_.clear();
        set_defaults();
        scanning_ = byte == 0xf6 ? scanning_ : false;
        acknowledge();
        break;
    case 0xf7: // all keys typematic
    case 0xf8: // all keys make/break
    case 0xfa: // all keys typematic and make/break
        set_all_key_types(byte == 0xf7 ? kMakeOnly : kMakeBreak);
        acknowledge();
        break;
    case 0xf9: // all keys make only
        set_all_key_types(kMakeOnly);
        acknowledge();
        break;
    case 0xfe:
        send(last_sent_);
        break;
    case 0xff:
        reset();
        acknowledge();
        send(kPs2SelfTestPassed);
        break;
    default:
        send(kPs2Resend);
        break;
    }
    if (byte != 0xfe && !output_.empty()) {
        last_sent_ = output_.back();
    }
}

void Ps2Keyboard::parameter(u8 byte)
{
    const u8 command_byte = awaiting_;
    if (byte >= 0xed && byte != 0xf0) {
        // A command instead of the parameter starts over.
        awaiting_ = 0;
        command(byte);
        return;
    }
    // FBh to FDh take key after key until a command comes.
    if (command_byte < kKeyTypematic) {
        awaiting_ = 0;
    }
    switch (command_byte) {
    case kSetLeds:
        leds_ = byte & 7;
        break;
    case kSetTypematic:
        typematic_ = byte & 0x7f;
        break;
    case kSelectSet:
        if (byte > 3) {
            send(kPs2Resend);
            return;
        }
        send(kPs2Acknowledge);
        if (byte == 0) {
            send(scan_set_);
        } else {
            scan_set_ = byte;
        }
        return;
    case kKeyMakeBreak:
        key_types_[byte] = kMakeBreak;
        break;
    default:
        key_types_[byte] = kMakeOnly;
        break;
    }
    send(kPs2Acknowledge);
}

void Ps2Keyboard::deliver(std::span<const u8> payload)
{
    for (std::size_t i = 0; i + 1 < payload.size(); i += 2) {
        key(payload[i], payload[i + 1] != 0);
    }
}

void Ps2Keyboard::key(u8 code, bool pressed)
{
    if (!scanning_ || find_key(code) == nullptr) {
        return;
    }
    switch (scan_set_) {
    case 1:
        send_set1(code, pressed);
        break;
    case 3:
        send_set3(code, pressed);
        break;
    default:
        send_set2(code, pressed);
        break;
    }
}

void Ps2Keyboard::queue_key(std::span<const u8> bytes)
{
    if (output_.size() + bytes.size() > kBufferBytes) {
        if (!overrun_) {
            overrun_ = true;
            send(scan_set_ == 1 ? 0xff : 0x00);
        }
        return;
    }
    overrun_ = false;
    for (const u8 byte : bytes) {
        send(byte);
    }
}

void Ps2Keyboard::send_set1(u8 code, bool pressed)
{
    const u8 up = pressed ? 0 : 0x80;
    if (code == kKeyPause) { // has no break code
        static constexpr std::array<u8, 6> kPause{0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5};
        if (pressed) {
            queue_key(kPause);
        }
        return;
    }
    const u8 make = (code & 0x7f) | up;
    if (code == kKeyPrint) { // wrapped in a shift of its own
        const u8 shift = 0x2a | up;
        const std::array<u8, 4> down{0xe0, shift, 0xe0, make};
        const std::array<u8, 4> release{0xe0, make, 0xe0, shift};
        queue_key(pressed ? down : release);
        return;
    }
    const std::array<u8, 2> bytes{0xe0, make};
    queue_key(std::span{bytes}.subspan((code & 0x80) != 0 ? 0 : 1));
}

void Ps2Keyboard::send_set2(u8 code, bool pressed)
{
    if (code == kKeyPause) {
        static constexpr std::array<u8, 8> kPause{0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77};
        if (pressed) {
            queue_key(kPause);
        }
        return;
    }
    if (code == kKeyPrint) {
        static constexpr std::array<u8, 4> kDown{0xe0, 0x12, 0xe0, 0x7c};
        static constexpr std::array<u8, 6> kUp{0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12};
        queue_key(pressed ? std::span<const u8>{kDown} : std::span<const u8>{kUp});
        return;
    }
    std::array<u8, 3> bytes{};
    std::size_t count = 0;
    if ((code & 0x80) != 0) {
        bytes[count++] = 0xe0;
    }
    if (!pressed) {
        bytes[count++] = 0xf0;
    }
    bytes[count++] = find_key(code)->set2;
    queue_key(std::span{bytes}.first(count));
}

void Ps2Keyboard::send_set3(u8 code, bool pressed)
{
    const u8 make = find_key(code)->set3;
    if (pressed) {
        queue_key({&make, 1});
    } else if (key_types_[make] == kMakeBreak) {
        const std::array<u8, 2> bytes{0xf0, make};
        queue_key(bytes);
    }
}

} // namespace emu::devices
