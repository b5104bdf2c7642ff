// PS/2 mouse: standard, IntelliMouse (wheel) and IntelliMouse Explorer (five buttons) protocols.
//
// Sources: IBM "PS/2 Hardware Interface Technical Reference", "Auxiliary Device"; Microsoft
// "Intellimouse" set-rate knocks 200,100,80 and 200,200,80.
// Deviation: the sampling rate is stored and reported but does not delay reports; the link does.
#pragma once

#include "emulator/devices/input/ps2_device.hpp"

#include <array>

namespace emu::devices {

/// `dy` counts down the screen; `dz` > 0 is the wheel towards the user; `buttons`: bit 0 left,
/// 1 right, 2 middle, 3 and 4 the side buttons.
std::array<u8, 6> mouse_payload(base::i16 dx, base::i16 dy, base::i8 dz, u8 buttons);

class Ps2Mouse final : public Device, public Ps2Device, public InputSink {
public:
    Ps2Mouse() { reset(); }

    std::string_view name() const override { return "ps2-mouse"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    void host_write(u8 byte) override;

    /// One mouse_payload(); motion the guest was not yet told of adds up.
    void deliver(std::span<const u8> payload) override;

    bool can_accept() const { return reporting_ && output_.empty() && !changed(); }

protected:
    void output_taken() override;

private:
    void command(u8 byte);
    void parameter(u8 byte);
    void set_defaults();
    void send_status();
    void send_report();
    void report_if_changed();
    bool changed() const { return dx_ != 0 || dy_ != 0 || dz_ != 0 || buttons_ != sent_buttons_; }

    u8 id_ = 0;
    bool reporting_ = false;
    bool remote_ = false;
    bool wrap_ = false;
    bool scaling_ = false; // 2:1
    u8 resolution_ = 2;    // 1 << n counts a millimetre
    u8 rate_ = 100;        // reports a second
    u8 awaiting_ = 0;      // the command whose parameter comes next, or 0
    u8 last_sent_ = 0;
    std::array<u8, 3> last_rates_{};
    i32 dx_ = 0; // not yet reported; right and up are positive
    i32 dy_ = 0;
    i32 dz_ = 0;
    u8 buttons_ = 0;
    u8 sent_buttons_ = 0;
};

} // namespace emu::devices
