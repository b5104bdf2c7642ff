// The single-purpose ports of a PC: debug consoles, checkpoint latch, system control ports.
#pragma once

#include "emulator/devices/byte_io.hpp"
#include "emulator/machine/clock.hpp"
#include "emulator/memory/address_space.hpp"

#include <functional>
#include <vector>

namespace emu::devices {

/// A port whose written bytes go to a character sink: E9h (Bochs' debug console, which reads as
/// its own number so that guests can find it) and 402h (SeaBIOS' debug output).
class DebugConsole final : public Device, public ByteIo {
public:
    /// `sink` may be null: output is dropped.
    explicit DebugConsole(CharSink* sink) : sink_{sink} {}

    std::string_view name() const override { return "debug-console"; }
    void reset() override {}
    void visit_state(StateVisitor&) override {} // has none

protected:
    u8 read_byte(u16) override { return 0xe9; }
    void write_byte(u16, u8 value) override
    {
        if (sink_ != nullptr) {
            sink_->put(value);
        }
    }

private:
    CharSink* sink_;
};

/// Port 80h: firmware's power-on checkpoint latch.
class CheckpointPort final : public Device, public ByteIo {
public:
    std::string_view name() const override { return "checkpoint"; }
    void reset() override { latch_ = 0; }
    void visit_state(StateVisitor& visitor) override { visitor.field("checkpoint", latch_); }

    u8 last() const { return latch_; }

protected:
    u8 read_byte(u16) override { return latch_; }
    void write_byte(u16, u8 value) override { latch_ = value; }

private:
    u8 latch_ = 0;
};

/// The latch of address line 20, which the keyboard controller's output port and port 92h both
/// write.
///
/// Chipsets that emulate the keyboard controller's gate take both into one latch, so the later
/// write wins. Guests count on it: SeaBIOS opens A20 through port 92h and leaves it so, and
/// FreeDOS's HIMEM then closes it through the keyboard controller.
class A20Gate final : public Device {
public:
    explicit A20Gate(AddressSpace& memory) : memory_{memory} {}

    std::string_view name() const override { return "a20"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    /// Each write of a source sets the latch, also when that source's own level stays the same.
    Wire input()
    {
        return Wire{[this](bool level) { set(level); }};
    }
    bool open() const { return open_; }

private:
    void set(bool open);

    AddressSpace& memory_;
    bool open_ = true;
};

/// Port 92h, system control port A: fast A20 and fast reset.
/// Source: IBM "PS/2 Hardware Interface Technical Reference", "System Control Port A".
class SystemControlA final : public Device, public ByteIo {
public:
    struct Wiring {
        Wire a20;
        Wire reset;                    // pulsed: the CPU starts over at the reset vector
        std::function<bool()> a20_now; // what bit 1 reads as; none: what was written
    };
    explicit SystemControlA(Wiring wiring) : wiring_{std::move(wiring)} {}

    std::string_view name() const override { return "port92"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override { visitor.field("port92", value_); }

protected:
    u8 read_byte(u16) override;
    void write_byte(u16 port, u8 value) override;

private:
    Wiring wiring_;
    u8 value_ = 0;
};

/// Port 61h, system control port B: the speaker, timer 2's gate, refresh and parity status.
/// Source: IBM "AT Technical Reference", "Port B"; Intel "82371SB (PIIX3)", NMISC register.
class SystemControlB final : public Device, public ByteIo {
public:
    struct Wiring {
        Clock& clock;
        Wire gate2;                    // timer counter 2's gate
        std::function<bool()> output2; // and its output
    };
    explicit SystemControlB(Wiring wiring) : wiring_{std::move(wiring)} {}

    std::string_view name() const override { return "port61"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override { visitor.field("port61", value_); }

    /// The speaker is driven by timer 2's output.
    bool speaker_enabled() const { return (value_ & 3) == 3; }

protected:
    u8 read_byte(u16) override;
    void write_byte(u16 port, u8 value) override;

private:
    Wiring wiring_;
    u8 value_ = 0;
};

} // namespace emu::devices
