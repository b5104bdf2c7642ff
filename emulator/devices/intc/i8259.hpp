// The AT's two cascaded 8259A interrupt controllers with the edge/level registers of the PIIX.
//
// Sources: Intel "8259A Programmable Interrupt Controller" (231468); Intel "82371SB (PIIX3)"
// (290550), sections "Interrupt Controller Registers" and "ELCR".
// Not modelled: the MCS-80/85 call mode and buffered mode (no effect on a PC).
#pragma once

#include "emulator/devices/byte_io.hpp"

#include <array>

namespace emu::devices {

/// One 8259A. Lines and registers are bit sets: bit n is IRn.
class I8259 {
public:
    void reset();
    void visit_state(StateVisitor& visitor);

    void set_line(unsigned line, bool level);
    /// Lines whose request follows their level instead of latching a rising edge.
    void set_level_triggered(u8 lines) { level_triggered_ = lines; }

    void write_command(u8 value); // A0 = 0
    void write_data(u8 value);    // A0 = 1
    u8 read(bool data_port);

    /// INT: a request that beats everything in service.
    bool output() const { return highest_request() < 8; }

    /// An INTA cycle. Returns the line taken, or 7 (with nothing in service) when the request went
    /// away: the data sheet's "default IR7".
    unsigned acknowledge();

    u8 vector(unsigned line) const { return static_cast<u8>(vector_base_ | line); }
    u8 requests() const { return irr_; }
    u8 in_service() const { return isr_; }
    u8 mask() const { return imr_; }
    unsigned highest_priority() const { return (lowest_ + 1u) & 7; } // line
    bool reads_in_service() const { return read_isr_; }              // OCW3: RR and RIS
    bool special_fully_nested() const { return special_fully_nested_; }

private:
    void initialise(u8 icw1);
    void write_ocw2(u8 value);
    void write_ocw3(u8 value);
    unsigned priority_of(unsigned line) const { return (line - lowest_ - 1u) & 7; }
    unsigned highest_of(u8 lines) const;
    unsigned highest_request() const;
    void end_of_interrupt(unsigned line, bool rotate);

    u8 irr_ = 0;
    u8 isr_ = 0;
    u8 imr_ = 0;
    u8 lines_ = 0;
    u8 level_triggered_ = 0;
    u8 vector_base_ = 0;
    u8 lowest_ = 7;   // the line of lowest priority
    u8 next_icw_ = 0; // 2..4 while the initialisation sequence runs, else 0
    bool single_ = false;
    bool needs_icw4_ = false;
    bool auto_eoi_ = false;
    bool rotate_on_auto_eoi_ = false;
    bool special_fully_nested_ = false;
    bool special_mask_ = false;
    bool poll_ = false;
    bool read_isr_ = false;
};

/// Ports 20h, 21h, A0h, A1h, 4D0h, 4D1h. The slave's INT drives the master's IR2.
class I8259Pair final : public Device, public ByteIo {
public:
    /// `output`: INTR of the CPU or LINT0 of its local APIC.
    explicit I8259Pair(Wire output);

    std::string_view name() const override { return "i8259"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    /// `irq` 0..15; 2 is the cascade and ignored.
    void set_irq(unsigned irq, bool level);
    Wire input(unsigned irq)
    {
        return Wire{[this, irq](bool level) { set_irq(irq, level); }};
    }

    /// The CPU's INTA cycles: the vector 0..255.
    int acknowledge();
    bool interrupt_pending() const { return master_.output(); }

    const I8259& master() const { return master_; }
    const I8259& slave() const { return slave_; }
    /// Bit n: line n is level triggered.
    u16 edge_level_control() const { return static_cast<u16>(elcr_[0] | elcr_[1] << 8); }

protected:
    u8 read_byte(u16 port) override;
    void write_byte(u16 port, u8 value) override;

private:
    void apply_trigger_modes();
    void update();

    Wire output_;
    I8259 master_;
    I8259 slave_;
    std::array<u8, 2> elcr_{};
};

} // namespace emu::devices
