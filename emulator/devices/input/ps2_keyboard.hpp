// PS/2 keyboard with scan code sets 1, 2 and 3.
//
// Source: IBM "PS/2 Hardware Interface Technical Reference", "Keyboard (101- and 102-Key)".
// Not modelled: typematic repeat (the rate is accepted): the host's own repeat arrives as keys.
#pragma once

#include "emulator/devices/input/ps2_device.hpp"

#include <array>

namespace emu::devices {

class Ps2Keyboard final : public Device, public Ps2Device, public InputSink {
public:
    Ps2Keyboard() { reset(); }

    std::string_view name() const override { return "ps2-keyboard"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    void host_write(u8 byte) override;

    /// keyboard_payload() of key_codes.hpp; several may follow one another. A key the buffer has
    /// no room for is lost and an overrun code takes its place, as on a real keyboard.
    void deliver(std::span<const u8> payload) override;

    /// True when the guest enabled scanning and has taken every key so far. Scripts wait for it.
    bool can_accept() const { return scanning_ && output_.empty(); }

    u8 leds() const { return leds_; } // bit 0 scroll, 1 num, 2 caps
    u8 scan_set() const { return scan_set_; }

private:
    void key(u8 code, bool pressed);
    void send_set1(u8 code, bool pressed);
    void send_set2(u8 code, bool pressed);
    void send_set3(u8 code, bool pressed);
    void queue_key(std::span<const u8> bytes);
    void command(u8 byte);
    void parameter(u8 byte);
    void set_defaults();
    void set_all_key_types(u8 type);

    bool scanning_ = true;
    u8 scan_set_ = 2;
    u8 leds_ = 0;
    u8 typematic_ = 0x2b;
    u8 awaiting_ = 0; // the command whose parameter comes next, or 0
    u8 last_sent_ = 0;
    bool overrun_ = false;
    std::array<u8, 256> key_types_{}; // set 3 only, by make code: KeyType
};

} // namespace emu::devices
