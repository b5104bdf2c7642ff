// 82093AA I/O APIC with 24 pins at FEC00000h.
//
// Source: Intel "82093AA I/O Advanced Programmable Interrupt Controller" (290566).
// Deviation: pins take the interrupt's logical state; the polarity bit is stored and ignored, so
// that boards need not know which lines a real PC inverts.
#pragma once

#include "emulator/devices/intc/apic_message.hpp"
#include "emulator/machine/device.hpp"
#include "emulator/memory/address_space.hpp"

#include <array>

namespace emu::devices {

class IoApic final : public Device, public MmioHandler {
public:
    static constexpr u64 kBase = 0xfec0'0000;
    static constexpr unsigned kPins = 24;

    IoApic(AddressSpace& memory, ApicBus bus);
    ~IoApic() override;

    std::string_view name() const override { return "io-apic"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    void set_pin(unsigned pin, bool level);
    Wire input(unsigned pin)
    {
        return Wire{[this, pin](bool level) { set_pin(pin, level); }};
    }

    /// A local APIC finished a level-triggered vector.
    void end_of_interrupt(u8 vector);

    u64 redirection(unsigned pin) const { return pin < kPins ? redirection_[pin] : 0; }

    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

private:
    u32 read_register() const;
    void write_register(u32 value);
    void service_level(unsigned pin);
    bool send(unsigned pin);

    AddressSpace& memory_;
    ApicBus bus_;
    AddressSpace::RegionId region_;
    u8 select_ = 0;
    u32 id_ = 0;
    u32 levels_ = 0; // bit n: pin n is asserted
    std::array<u64, kPins> redirection_{};
};

} // namespace emu::devices
