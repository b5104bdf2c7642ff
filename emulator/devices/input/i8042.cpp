#include "emulator/devices/input/i8042.hpp"

#include "emulator/devices/input/key_codes.hpp"

namespace emu::devices {

namespace {

// A frame is 11 bits at 10 to 16.7 kHz; what is modelled is that it takes long enough for a guest
// to read the previous byte twice.
constexpr u64 kTransferNs = 300'000;

// Status
constexpr u8 kOutputFull = 0x01;
constexpr u8 kSystemFlag = 0x04;
constexpr u8 kCommandWritten = 0x08;
constexpr u8 kNotInhibited = 0x10;
constexpr u8 kMouseData = 0x20;

// Command byte
constexpr u8 kKeyboardInterrupt = 0x01;
constexpr u8 kMouseInterrupt = 0x02;
constexpr u8 kKeyboardDisabled = 0x10;
constexpr u8 kMouseDisabled = 0x20;
constexpr u8 kTranslate = 0x40;

// Output port
constexpr u8 kNotReset = 0x01;
constexpr u8 kA20 = 0x02;

} // namespace

I8042::I8042(Wiring wiring)
    : wiring_{.clock = wiring.clock,
              .irq1 = {},
              .irq12 = {},
              .a20 = {},
              .reset = {},
              .keyboard = wiring.keyboard,
              .mouse = wiring.mouse},
      timer_{wiring_.clock, "i8042.transfer", [this] { transfer(); }}
{
    for (Ps2Device* device : {wiring_.keyboard, wiring_.mouse}) {
        if (device != nullptr) {
            device->set_listener([this] { schedule(); });
        }
    }
    reset(); // drives nothing yet: what is at the wires' ends may not be constructed
    wiring_.irq1 = std::move(wiring.irq1);
    wiring_.irq12 = std::move(wiring.irq12);
    wiring_.a20 = std::move(wiring.a20);
    wiring_.reset = std::move(wiring.reset);
}

void I8042::reset()
{
    timer_.cancel();
    ram_ = {};
    ram_[0] = kKeyboardDisabled | kMouseDisabled | kTranslate;
    output_port_ = kNotReset | kA20;
    awaiting_ = 0;
    last_write_was_command_ = false;
    output_full_ = false;
    output_source_ = Source::controller;
    output_byte_ = 0;
    answers_.clear();
    break_next_ = false;
    wiring_.a20.set(true);
    update_irqs();
}

void I8042::visit_state(StateVisitor& v)
{
    v.section("i8042");
    v.bytes("ram", ram_);
    v.field("output_port", output_port_);
    v.field("awaiting", awaiting_);
    v.field("last_write_was_command", last_write_was_command_);
    v.field("output_full", output_full_);
    v.field("output_source", output_source_);
    v.field("output_byte", output_byte_);
    v.field("answers", answers_);
    v.field("break_next", break_next_);
    timer_.visit_state(v);
}

u8 I8042::status() const
{
    const bool mouse = output_full_ && output_source_ == Source::mouse;
    return static_cast<u8>((output_full_ ? kOutputFull : 0) | (ram_[0] & kSystemFlag) |
                           (last_write_was_command_ ? kCommandWritten : 0) | kNotInhibited |
                           (mouse ? kMouseData : 0));
}

u8 I8042::read_byte(u16 port)
{
    return (port & 4) != 0 ? status() : read_data();
}

u8 I8042::read_data()
{
    if (output_full_) {
        output_full_ = false;
        update_irqs();
        if (!answers_.empty()) {
            const u8 next = answers_.front();
            answers_.pop_front();
            fill_buffer(next, Source::controller);
        }
        schedule();
    }
    return output_byte_; // an empty buffer still shows its last byte
}

void I8042::write_byte(u16 port, u8 value)
{
    if ((port & 4) != 0) {
        last_write_was_command_ = true;
        awaiting_ = 0;
        write_command(value);
        return;
    }
    last_write_was_command_ = false;
    if (awaiting_ != 0) {
        const u8 command = awaiting_;
        awaiting_ = 0;
        write_parameter(command, value);
        return;
    }
    ram_[0] &= static_cast<u8>(~kKeyboardDisabled); // sending to the keyboard enables it
    if (wiring_.keyboard != nullptr) {
        wiring_.keyboard->host_write(value);
    }
    schedule();
}

void I8042::write_command(u8 value)
{
    if (value >= 0x20 && value < 0x40) {
        answer(ram_[value & 0x1f]);
        return;
    }
    if (value >= 0x60 && value < 0x80) {
        awaiting_ = value;
        return;
    }
    if (value >= 0xf0) { // pulse the output lines whose bits are 0; only the reset line matters
        if ((value & kNotReset) == 0) {
            wiring_.reset.pulse();
        }
        return;
    }
    switch (value) {
    case 0xa4:
        answer(0xf1);
        break; // no password installed
    case 0xa7:
        write_command_byte(ram_[0] | kMouseDisabled);
        break;
    case 0xa8:
        write_command_byte(ram_[0] & static_cast<u8>(~kMouseDisabled));
        break;
    case 0xa9:
        answer(wiring_.mouse != nullptr ? 0x00 : 0x02);
        break; // 02h: clock stuck high
    case 0xaa: // self-test
        write_command_byte(ram_[0] | kSystemFlag);
        answer(0x55);
        break;
    case 0xab:
        answer(wiring_.keyboard != nullptr ? 0x00 : 0x02);
        break;
    case 0xad:
        write_command_byte(ram_[0] | kKeyboardDisabled);
        break;
    case 0xae:
        write_command_byte(ram_[0] & static_cast<u8>(~kKeyboardDisabled));
        break;
    case 0xc0:
        answer(0x80);
        break; // input port: keyboard not locked
    case 0xd0:
        answer(output_port());
        break;
    case 0xd1:
    case 0xd2:
    case 0xd3:
    case 0xd4:
        awaiting_ = value;
        break;
    case 0xdd:
        write_output_port(output_port_ & static_cast<u8>(~kA20));
        break;
    case 0xdf:
        write_output_port(output_port_ | kA20);
        break;
    case 0xe0:
        answer(0x03);
        break; // test inputs: both clocks high
    default:
        break; // undefined commands do nothing
    }
}

void I8042::write_parameter(u8 command, u8 value)
{
    if (command < 0x80) {
        if ((command & 0x1f) == 0) {
            write_command_byte(value);
        } else {
            ram_[command & 0x1f] = value;
        }
        return;
    }
    switch (command) {
    case 0xd1:
        write_output_port(value);
        break;
    case 0xd2:
        fill_buffer(value, Source::keyboard);
        break;
    case 0xd3:
        fill_buffer(value, Source::mouse);
        break;
    default:
        write_command_byte(ram_[0] & static_cast<u8>(~kMouseDisabled));
        if (wiring_.mouse != nullptr) {
            wiring_.mouse->host_write(value);
        } else {
            fill_buffer(kPs2Resend, Source::mouse); // transmission time-out
        }
        schedule();
        break;
    }
}

void I8042::write_command_byte(u8 value)
{
    ram_[0] = value;
    update_irqs();
    schedule();
}

u8 I8042::output_port() const
{
    const bool keyboard = output_full_ && output_source_ != Source::mouse;
    const bool mouse = output_full_ && output_source_ == Source::mouse;
    return static_cast<u8>((output_port_ & 0xcf) | (keyboard ? 0x10 : 0) | (mouse ? 0x20 : 0));
}

void I8042::write_output_port(u8 value)
{
    output_port_ = value | kNotReset;
    wiring_.a20.set((value & kA20) != 0);
    if ((value & kNotReset) == 0) {
        wiring_.reset.pulse();
    }
}

void I8042::answer(u8 byte)
{
    // A pending device byte is kept; the answer follows it.
    if (output_full_) {
        if (answers_.size() < 16) {
            answers_.push_back(byte);
        }
        return;
    }
    fill_buffer(byte, Source::controller);
}

void I8042::fill_buffer(u8 byte, Source source)
{
    output_byte_ = byte;
    output_source_ = source;
    output_full_ = true;
    update_irqs();
}

bool I8042::keyboard_ready() const
{
    return wiring_.keyboard != nullptr && (ram_[0] & kKeyboardDisabled) == 0 &&
           wiring_.keyboard->has_output();
}

bool I8042::mouse_ready() const
{
    return wiring_.mouse != nullptr && (ram_[0] & kMouseDisabled) == 0 &&
           wiring_.mouse->has_output();
}

void I8042::schedule()
{
    if (!output_full_ && !timer_.armed() && (keyboard_ready() || mouse_ready())) {
        timer_.arm_in(kTransferNs);
    }
}

void I8042::transfer()
{
    if (output_full_) {
        return; // an answer came first; reading it schedules again
    }
    if (keyboard_ready()) {
        u8 byte = wiring_.keyboard->take_output();
        if ((ram_[0] & kTranslate) != 0) {
            if (byte == 0xf0) { // a break prefix becomes bit 7 of the next code
                break_next_ = true;
                schedule();
                return;
            }
            byte = translate_to_set1(byte) | (break_next_ ? 0x80 : 0);
            break_next_ = false;
        }
        fill_buffer(byte, Source::keyboard);
    } else if (mouse_ready()) {
        fill_buffer(wiring_.mouse->take_output(), Source::mouse);
    }
}

void I8042::update_irqs()
{
    const bool mouse = output_source_ == Source::mouse;
    wiring_.irq1.set(output_full_ && !mouse && (ram_[0] & kKeyboardInterrupt) != 0);
    wiring_.irq12.set(output_full_ && mouse && (ram_[0] & kMouseInterrupt) != 0);
}

} // namespace emu::devices
