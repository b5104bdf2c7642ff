#include "emulator/devices/pci/piix3.hpp"

namespace emu::devices::pci {

namespace {

constexpr u8 kPirqRoute = 0x60; // PIRQRCA-D
constexpr u8 kRouteDisabled = 0x80;
constexpr u8 kRouteIrq = 0x0f;
// Section 2.2.14: interrupts 0, 1, 2, 8 and 13 belong to the mainboard and cannot be shared.
constexpr u16 kSteerable = 0xdef8;

namespace rcr {
constexpr u8 hard = 0x02;
constexpr u8 reset = 0x04;
} // namespace rcr

constexpr PciIdentity kIdentity{.vendor = 0x8086,
                                .device = 0x7000,
                                .class_code = 0x06'01'00,
                                .multifunction = true,
                                .command_mask = 0x0108,
                                .command_reset = 0x0007,
                                .status = 0x0200};

struct Register {
    u8 offset;
    u8 reset_value;
    u8 writable;
};

// Section 2.2, by offset; the data sheet's reset values.
constexpr std::array kRegisters{
    Register{0x4c, 0x4d, 0xff}, Register{0x4e, 0x03, 0xff}, Register{0x4f, 0x00, 0x01},
    Register{0x60, 0x80, 0x8f}, Register{0x61, 0x80, 0x8f}, Register{0x62, 0x80, 0x8f},
    Register{0x63, 0x80, 0x8f}, Register{0x69, 0x02, 0xfe}, Register{0x6a, 0x00, 0x91},
    Register{0x70, 0x80, 0xef}, Register{0x71, 0x80, 0xef}, Register{0x76, 0x0c, 0x8f},
    Register{0x77, 0x0c, 0x8f}, Register{0x78, 0x02, 0xff}, Register{0x79, 0x00, 0xff},
    Register{0x80, 0x00, 0x7f}, Register{0x82, 0x00, 0x0f}, Register{0xa0, 0x08, 0x1f},
    Register{0xa2, 0x00, 0xff}, Register{0xa3, 0x00, 0x01}, Register{0xa4, 0x00, 0xff},
    Register{0xa5, 0x00, 0xff}, Register{0xa6, 0x00, 0xff}, Register{0xa7, 0x00, 0xff},
    Register{0xa8, 0x0f, 0xff}, Register{0xaa, 0x00, 0xff}, Register{0xab, 0x00, 0x01},
    Register{0xac, 0x00, 0xff}, Register{0xae, 0x00, 0xff},
};

} // namespace

Piix3::Piix3(Fabric fabric, Wiring wiring)
    : PciDevice{fabric, kIdentity}, wiring_{std::move(wiring)}
{
    for (const Register& r : kRegisters) {
        define(r.offset, r.reset_value, r.writable);
    }
}

void Piix3::set_pirq(unsigned line, bool level)
{
    pirq_levels_[line & 3] = level;
    update_irqs();
}

void Piix3::update_irqs()
{
    u16 wanted = 0;
    for (u8 line = 0; line < 4; ++line) {
        const u8 route = byte(kPirqRoute + line);
        if (pirq_levels_[line] && (route & kRouteDisabled) == 0) {
            wanted = static_cast<u16>(wanted | (1u << (route & kRouteIrq)));
        }
    }
    wanted &= kSteerable;
    const u16 changed = wanted ^ driven_;
    driven_ = wanted;
    for (unsigned irq = 0; irq < 16; ++irq) {
        if ((changed >> irq & 1) != 0) {
            wiring_.isa_irqs[irq].set((wanted >> irq & 1) != 0);
        }
    }
}

void Piix3::config_changed(u8, unsigned)
{
    update_irqs();
}

u32 Piix3::io_read(u64, unsigned)
{
    return reset_control_;
}

void Piix3::io_write(u64, unsigned, u32 value)
{
    // Section 2.5.5: the reset happens when bit 2 goes from 0 to 1, of the kind that bit 1 says.
    const bool triggered = (value & rcr::reset) != 0 && (reset_control_ & rcr::reset) == 0;
    reset_control_ = static_cast<u8>(value) & (rcr::hard | rcr::reset);
    if (triggered) {
        ((value & rcr::hard) != 0 ? wiring_.hard_reset : wiring_.soft_reset).pulse();
    }
}

void Piix3::reset_device()
{
    pirq_levels_ = {};
    reset_control_ = 0;
}

void Piix3::visit_device(StateVisitor& visitor)
{
    visitor.field("pirq_levels", pirq_levels_);
    visitor.field("driven", driven_);
    visitor.field("reset_control", reset_control_);
}

} // namespace emu::devices::pci
