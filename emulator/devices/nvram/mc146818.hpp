// MC146818 real-time clock with 256 bytes of battery-backed RAM, ports 70h-73h.
//
// Sources: Motorola "MC146818 Real-Time Clock Plus RAM" (ADI-879); Intel "82371SB (PIIX3)"
// (290550), "Real Time Clock" for the upper bank at 72h/73h.
// The clock's time starts from the configuration and follows the virtual clock only.
// Not modelled: daylight saving (DSE), the square-wave output (no pin on a PC), divider test modes.
#pragma once

#include "emulator/devices/byte_io.hpp"
#include "emulator/machine/clock.hpp"

#include <array>

namespace emu::devices {

class Mc146818 final : public Device, public ByteIo {
public:
    struct Wiring {
        Clock& clock;
        Wire irq8;
    };
    struct Config {
        /// Guest time at power-on: seconds since 1970-01-01 00:00:00, read as the guest's local
        /// time. The default is 2000-01-01.
        i64 start_seconds = 946'684'800;
    };

    Mc146818(Wiring wiring, Config config);

    std::string_view name() const override { return "mc146818"; }
    /// RESET: interrupts off; time and RAM are kept by the battery.
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    /// What firmware expects to find; see pc_cmos.hpp. Registers 0 to 0Dh belong to the clock.
    void set_byte(u8 index, u8 value);
    u8 byte(u8 index) const { return ram_[index]; }

    /// Bit 7 of port 70h: NMI is held off.
    bool nmi_masked() const { return nmi_masked_; }

protected:
    u8 read_byte(u16 port) override;
    void write_byte(u16 port, u8 value) override;

private:
    u8 read_register(u8 index);
    void write_register(u8 index, u8 value);
    u8 read_flags();
    void set_time(i64 seconds);
    void second_passed();
    void advance_date();
    bool alarm_matches() const;
    bool update_in_progress() const;
    u64 periodic_ticks() const;
    u64 periodic_deadline() const;
    void arm_periodic();
    void raise(u8 flag);
    void update_irq();
    int decode(u8 index) const;
    void encode(u8 index, int value);
    void encode_century(int century);
    int hour() const;
    void set_hour(int hour);

    Wiring wiring_;
    Timer second_timer_;
    Timer periodic_timer_;
    std::array<u8, 256> ram_{};
    u8 index_ = 0;
    u8 upper_index_ = 0x80;
    bool nmi_masked_ = false;
    u64 periodic_seen_ = 0; // periodic ticks already turned into PF
};

} // namespace emu::devices
