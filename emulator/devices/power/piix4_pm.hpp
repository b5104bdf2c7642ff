// Intel 82371AB (PIIX4) function 3: ACPI power management, APM ports and SMBus.
//
// Sources: "82371AB PCI-TO-ISA / IDE XCELERATOR (PIIX4)", order number 290562, section 7; "Advanced
// Configuration and Power Interface Specification", revision 1.0b, sections 4.7.3 and 4.7.4.
// Modelled: PM1 events (timer, power button) and control with soft-off, the 24-bit timer, a GPE0
// block without event sources, APM control with SMI, SMBus without slaves.
// Deviation: writing the ACPI enable or disable value to APMC moves SCI_EN at once; on a real board
// the firmware's SMI handler does that, and SeaBIOS leaves it to the machine.
// Not modelled: sleeping with the memory kept (logged and ignored), device monitors, throttling.
#pragma once

#include "emulator/devices/pci/pci_device.hpp"
#include "emulator/devices/power/smbus_host.hpp"

#include <optional>

namespace emu::devices::power {

class Piix4Pm final : public pci::PciDevice, public IoHandler {
public:
    /// Where SeaBIOS's ACPI tables say the GPE0 block is.
    static constexpr u16 kGpe0Base = 0xafe0;

    struct Wiring {
        Clock& clock;
        Wire sci; // ISA interrupt 9
        Wire smi; // pulsed
        bool smi_connected = false;
        std::function<void()> power_off; // the guest turned the machine off (S5)
        GuestLog* log = nullptr;
    };

    Piix4Pm(Fabric fabric, Wiring wiring);

    std::string_view name() const override { return "piix4-pm"; }

    /// Somebody pressed the power button.
    void press_power_button();

    u32 io_read(u64 port, unsigned size) override;
    void io_write(u64 port, unsigned size, u32 value) override;

private:
    static constexpr unsigned kBlockSize = 64;

    void reset_device() override;
    void visit_device(StateVisitor& visitor) override;
    void config_changed(u8 offset, unsigned size) override;

    u8 read_pm(unsigned offset);
    void write_pm(unsigned offset, u8 value);
    u8 read_gpe(unsigned offset) const;
    void write_gpe(unsigned offset, u8 value);
    void write_apm_command(u8 value);
    void write_control_high(u8 value);
    u64 timer_ticks() const;
    void update_timer();
    void update_sci();
    void remap(std::optional<u16>& current, PortSpace::MappingId& id, std::optional<u16> wanted,
               u32 count, IoHandler& handler);

    Wiring wiring_;
    SmbusHost smbus_;
    // Ports are relative to the base for SMBus, so it has a window of its own.
    struct SmbusWindow final : IoHandler {
        SmbusHost* host = nullptr;
        u32 io_read(u64 port, unsigned size) override { return host->io_read(port & 15, size); }
        void io_write(u64 port, unsigned size, u32 value) override
        {
            host->io_write(port & 15, size, value);
        }
    } smbus_window_;

    u16 pm1_status_ = 0;
    u16 pm1_enable_ = 0;
    u16 pm1_control_ = 0;
    u16 gpe_status_ = 0;
    u16 gpe_enable_ = 0;
    u8 apm_control_ = 0;
    u8 apm_status_ = 0;
    bool smbus_irq_ = false;
    Timer overflow_;

    std::optional<u16> pm_base_; // as mapped now
    std::optional<u16> smbus_base_;
    PortSpace::MappingId pm_mapping_ = 0;
    PortSpace::MappingId smbus_mapping_ = 0;
};

} // namespace emu::devices::power
