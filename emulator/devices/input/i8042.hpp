// 8042 keyboard controller with a PS/2 auxiliary port, ports 60h and 64h.
//
// Source: IBM "PS/2 Hardware Interface Technical Reference", "Keyboard and Auxiliary Device
// Controller".
// Deviation: commands complete at once, so the input buffer is never seen full; bytes of the
// attached devices take kTransferNs each.
#pragma once

#include "emulator/devices/byte_io.hpp"
#include "emulator/devices/input/ps2_device.hpp"
#include "emulator/machine/clock.hpp"

#include <array>
#include <deque>

namespace emu::devices {

class I8042 final : public Device, public ByteIo {
public:
    struct Wiring {
        Clock& clock;
        Wire irq1;
        Wire irq12;
        Wire a20;
        Wire reset;          // pulsed: the CPU starts over
        Ps2Device* keyboard; // null: nothing plugged in
        Ps2Device* mouse;    // null: nothing plugged in
    };

    explicit I8042(Wiring wiring);

    std::string_view name() const override { return "i8042"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    /// The guest has read everything; with Ps2Keyboard::can_accept() this says that it took the
    /// last key.
    bool output_empty() const { return !output_full_ && answers_.empty(); }

protected:
    u8 read_byte(u16 port) override;
    void write_byte(u16 port, u8 value) override;

private:
    enum class Source : u8 { controller, keyboard, mouse };

    u8 status() const;
    u8 read_data();
    void write_command(u8 value);
    void write_parameter(u8 command, u8 value);
    void write_command_byte(u8 value);
    void write_output_port(u8 value);
    u8 output_port() const;
    void answer(u8 byte);
    void fill_buffer(u8 byte, Source source);
    void schedule();
    void transfer();
    void update_irqs();
    bool keyboard_ready() const;
    bool mouse_ready() const;

    Wiring wiring_;
    Timer timer_;
    std::array<u8, 32> ram_{}; // ram_[0] is the command byte
    u8 output_port_ = 0;
    u8 awaiting_ = 0; // the command whose parameter comes next, or 0
    bool last_write_was_command_ = false;
    bool output_full_ = false;
    Source output_source_ = Source::controller;
    u8 output_byte_ = 0;
    std::deque<u8> answers_;  // of the controller itself
    bool break_next_ = false; // translation: F0h came
};

} // namespace emu::devices
