// The SMBus host controller of the PIIX4, on a bus without slaves: every address is unanswered.
//
// Source: "82371AB PCI-TO-ISA / IDE XCELERATOR (PIIX4)", order number 290562, section 7.3.
// Not modelled: the slave port (its registers read as zero).
#pragma once

#include "emulator/machine/clock.hpp"
#include "emulator/machine/device.hpp"

#include <array>

namespace emu::devices::power {

class SmbusHost final : public IoHandler {
public:
    SmbusHost(Clock& clock, Wire irq);

    void reset();
    void visit_state(StateVisitor& visitor);

    /// Offsets 0-15 from the base address.
    u32 io_read(u64 offset, unsigned size) override;
    void io_write(u64 offset, unsigned size, u32 value) override;

private:
    u8 read_byte(u64 offset);
    void write_byte(u64 offset, u8 value);
    void finish();
    void update_irq();

    Wire irq_;
    u8 status_ = 0;
    u8 control_ = 0;
    u8 command_ = 0;
    u8 address_ = 0;
    std::array<u8, 2> data_{};
    std::array<u8, 32> block_{};
    u8 block_at_ = 0;
    Timer timer_;
};

} // namespace emu::devices::power
