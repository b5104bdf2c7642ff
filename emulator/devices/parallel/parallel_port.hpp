// PC parallel port (SPP) with a printer attached that never runs out of paper.
//
// Source: IBM "AT Technical Reference", "Printer adapter"; IEEE 1284-1994, compatibility mode.
#pragma once

#include "emulator/devices/byte_io.hpp"
#include "emulator/machine/clock.hpp"

namespace emu::devices {

class ParallelPort final : public Device, public ByteIo {
public:
    struct Wiring {
        Clock& clock;
        Wire irq;
        CharSink* printer; // null: strobed bytes are dropped
    };

    explicit ParallelPort(Wiring wiring);

    std::string_view name() const override { return "parallel"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

protected:
    u8 read_byte(u16 port) override;
    void write_byte(u16 port, u8 value) override;

private:
    enum class Phase : u8 { idle, busy, acknowledging };
    void write_control(u8 value);
    void next_phase();
    void update_irq();

    Wiring wiring_;
    Timer timer_;
    u8 data_ = 0;
    u8 control_ = 0;
    Phase phase_ = Phase::idle;
};

} // namespace emu::devices
