#include "emulator/devices/power/piix4_pm.hpp"

namespace emu::devices::power {

namespace {

__extension__ using u128 = unsigned __int128;

constexpr u8 kPmBase = 0x40;
constexpr u8 kPmEnable = 0x80; // PMREGMISC bit 0
constexpr u8 kDeviceActivityB = 0x58;
constexpr u8 kApmcEnable = 0x02; // in byte 3 of DEVACTB: bit 25
constexpr u8 kSmbusBase = 0x90;
constexpr u8 kSmbusConfig = 0xd2;

constexpr u16 kApmControlPort = 0xb2;
constexpr u16 kApmStatusPort = 0xb3;
constexpr u8 kAcpiEnable = 0xf1; // what SeaBIOS's FADT names
constexpr u8 kAcpiDisable = 0xf0;

namespace pm1 {
constexpr u16 timer = 0x0001;
constexpr u16 global = 0x0020;
constexpr u16 power_button = 0x0100;
constexpr u16 rtc = 0x0400;
constexpr u16 wake = 0x8000;
constexpr u16 all = timer | global | power_button | rtc;
} // namespace pm1

constexpr u16 kSciEnable = 0x0001;
constexpr u8 kSleepEnable = 0x20; // control bit 13
constexpr u64 kTimerHz = 3'579'545;
constexpr u64 kNsPerSecond = 1'000'000'000;
constexpr u64 kTimerHalf = u64{1} << 23; // the status bit is set when bit 23 changes

constexpr pci::PciIdentity kIdentity{.vendor = 0x8086,
                                     .device = 0x7113,
                                     .class_code = 0x06'80'00,
                                     .revision = 3,
                                     .interrupt_pin = 1,
                                     .command_mask = 0x0001,
                                     .status = 0x0280};

} // namespace

Piix4Pm::Piix4Pm(Fabric fabric, Wiring wiring)
    : PciDevice{fabric, kIdentity}, wiring_{std::move(wiring)}, smbus_{wiring_.clock,
                                                                       Wire{[this](bool level) {
                                                                           smbus_irq_ = level;
                                                                           update_sci();
                                                                       }}},
      overflow_{wiring_.clock, "acpi timer", [this] {
                    pm1_status_ |= pm1::timer;
                    update_sci();
                    update_timer();
                }}
{
    smbus_window_.host = &smbus_;
    define(kPmBase, 0x01, 0xc0);
    define(kPmBase + 1, 0x00, 0xff);
    // Without SMI there is nothing for firmware to set up: APMC_EN reads as "already done", which
    // is how firmware tells a machine that has no system management mode.
    for (u8 i = 0; i < 4; ++i) {
        const bool done = i == 3 && !wiring_.smi_connected;
        define(kDeviceActivityB + i, done ? kApmcEnable : 0, done ? 0 : 0xff);
    }
    for (u8 offset = 0x44; offset < kDeviceActivityB; ++offset) {
        define(offset, 0, 0xff); // CNTA, CNTB, GPICTL, DEVRESD, DEVACTA
    }
    for (u8 offset = 0x5c; offset < 0x7c; ++offset) {
        define(offset, 0, 0xff); // DEVRESA-J
    }
    define(kPmEnable, 0, 0x01);
    define(kSmbusBase, 0x01, 0xf0);
    define(kSmbusBase + 1, 0x00, 0xff);
    define(kSmbusConfig, 0, 0x0f);
    for (u8 offset = 0xd3; offset < 0xd6; ++offset) {
        define(offset, 0, 0xff); // SMBSLVC, SMBSHDW1-2
    }
    ports().map(kApmControlPort, 2, *this, "apm", PortBus::pci);
    ports().map(kGpe0Base, 4, *this, "acpi gpe0", PortBus::pci);
}

void Piix4Pm::remap(std::optional<u16>& current, PortSpace::MappingId& id,
                    std::optional<u16> wanted, u32 count, IoHandler& handler)
{
    if (current == wanted) {
        return;
    }
    if (current) {
        ports().unmap(id);
    }
    if (wanted) {
        id = ports().map(*wanted, count, handler, "piix4-pm", PortBus::pci);
    }
    current = wanted;
}

void Piix4Pm::config_changed(u8, unsigned)
{
    const u16 pm = word(kPmBase) & 0xffc0;
    const u16 smbus = word(kSmbusBase) & 0xfff0;
    const bool pm_on = (byte(kPmEnable) & 1) != 0 && pm != 0;
    const bool smbus_on = (byte(kSmbusConfig) & 1) != 0 && smbus != 0;
    remap(pm_base_, pm_mapping_, pm_on ? std::optional{pm} : std::nullopt, kBlockSize, *this);
    remap(smbus_base_, smbus_mapping_, smbus_on ? std::optional{smbus} : std::nullopt, 16,
          smbus_window_);
}

u64 Piix4Pm::timer_ticks() const
{
    return static_cast<u64>(u128{wiring_.clock.now_ns()} * kTimerHz / kNsPerSecond);
}

/// Arms the deadline of the next change of the timer's top bit, while anybody can notice it.
void Piix4Pm::update_timer()
{
    const u64 next = (timer_ticks() / kTimerHalf + 1) * kTimerHalf;
    overflow_.arm(static_cast<u64>((u128{next} * kNsPerSecond + kTimerHz - 1) / kTimerHz));
}

void Piix4Pm::update_sci()
{
    const bool events =
        (pm1_status_ & pm1_enable_ & pm1::all) != 0 || (gpe_status_ & gpe_enable_) != 0;
    wiring_.sci.set((events && (pm1_control_ & kSciEnable) != 0) || smbus_irq_);
}

void Piix4Pm::press_power_button()
{
    pm1_status_ |= pm1::power_button;
    update_sci();
}

u8 Piix4Pm::read_pm(unsigned offset)
{
    const unsigned shift = 8 * (offset & 1);
    switch (offset & ~1u) {
    case 0x00:
        return static_cast<u8>(pm1_status_ >> shift);
    case 0x02:
        return static_cast<u8>(pm1_enable_ >> shift);
    case 0x04:
        return static_cast<u8>(pm1_control_ >> shift);
    case 0x08:
    case 0x0a: {
        const auto ticks = static_cast<u32>(timer_ticks() & 0xff'ffff);
        return static_cast<u8>(ticks >> (8 * (offset - 8)));
    }
    default:
        return 0;
    }
}

void Piix4Pm::write_control_high(u8 value)
{
    pm1_control_ = static_cast<u16>((pm1_control_ & 0x00ff) | ((value & 0x1c) << 8));
    if ((value & kSleepEnable) == 0) {
        return;
    }
    // Section 7.2.3: type 000 is soft-off. Firmware is told that the others do not exist.
    if ((value & 0x1c) == 0) {
        if (wiring_.power_off) {
            wiring_.power_off();
        }
    } else if (wiring_.log != nullptr) {
        wiring_.log->guest_error(name(), "sleep states other than soft-off are not modelled");
    }
}

void Piix4Pm::write_pm(unsigned offset, u8 value)
{
    switch (offset) {
    case 0x00:
        pm1_status_ &= static_cast<u16>(~(value & pm1::all));
        break;
    case 0x01:
        pm1_status_ &= static_cast<u16>(~((value << 8) & (pm1::all | pm1::wake)));
        break;
    case 0x02:
        pm1_enable_ = static_cast<u16>((pm1_enable_ & 0xff00) | (value & pm1::all));
        break;
    case 0x03:
        pm1_enable_ = static_cast<u16>((pm1_enable_ & 0x00ff) | ((value << 8) & pm1::all));
        break;
    case 0x04:
        pm1_control_ = static_cast<u16>((pm1_control_ & 0xff00) | (value & 0x03));
        break;
    case 0x05:
        write_control_high(value);
        break;
    default:
        break;
    }
    update_sci();
}

u8 Piix4Pm::read_gpe(unsigned offset) const
{
    const u16 value = offset < 2 ? gpe_status_ : gpe_enable_;
    return static_cast<u8>(value >> (8 * (offset & 1)));
}

void Piix4Pm::write_gpe(unsigned offset, u8 value)
{
    const unsigned shift = 8 * (offset & 1);
    if (offset < 2) {
        gpe_status_ &= static_cast<u16>(~(value << shift));
    } else {
        gpe_enable_ = static_cast<u16>((gpe_enable_ & ~(0xff << shift)) | (value << shift));
    }
    update_sci();
}

void Piix4Pm::write_apm_command(u8 value)
{
    apm_control_ = value;
    if (value == kAcpiEnable) {
        pm1_control_ |= kSciEnable;
        update_sci();
    } else if (value == kAcpiDisable) {
        pm1_control_ &= static_cast<u16>(~kSciEnable);
        update_sci();
    } else if (wiring_.smi_connected && (byte(kDeviceActivityB + 3) & kApmcEnable) != 0) {
        wiring_.smi.pulse();
    }
}

u32 Piix4Pm::io_read(u64 port, unsigned size)
{
    u32 value = 0;
    for (unsigned i = 0; i < size; ++i) {
        const u64 at = port + i;
        u8 read = 0;
        if (at == kApmControlPort) {
            read = apm_control_;
        } else if (at == kApmStatusPort) {
            read = apm_status_;
        } else if (at >= kGpe0Base && at < kGpe0Base + 4u) {
            read = read_gpe(static_cast<unsigned>(at - kGpe0Base));
        } else if (pm_base_) {
            read = read_pm(static_cast<unsigned>(at - *pm_base_));
        }
        value |= u32{read} << (8 * i);
    }
    return value;
}

void Piix4Pm::io_write(u64 port, unsigned size, u32 value)
{
    for (unsigned i = 0; i < size; ++i) {
        const u64 at = port + i;
        const auto byte_value = static_cast<u8>(value >> (8 * i));
        if (at == kApmControlPort) {
            write_apm_command(byte_value);
        } else if (at == kApmStatusPort) {
            apm_status_ = byte_value;
        } else if (at >= kGpe0Base && at < kGpe0Base + 4u) {
            write_gpe(static_cast<unsigned>(at - kGpe0Base), byte_value);
        } else if (pm_base_) {
            write_pm(static_cast<unsigned>(at - *pm_base_), byte_value);
        }
    }
}

void Piix4Pm::reset_device()
{
    pm1_status_ = 0;
    pm1_enable_ = 0;
    pm1_control_ = 0;
    gpe_status_ = 0;
    gpe_enable_ = 0;
    apm_control_ = 0;
    apm_status_ = 0;
    smbus_.reset();
    update_timer();
    update_sci();
}

void Piix4Pm::visit_device(StateVisitor& visitor)
{
    visitor.field("pm1_status", pm1_status_);
    visitor.field("pm1_enable", pm1_enable_);
    visitor.field("pm1_control", pm1_control_);
    visitor.field("gpe_status", gpe_status_);
    visitor.field("gpe_enable", gpe_enable_);
    visitor.field("apm_control", apm_control_);
    visitor.field("apm_status", apm_status_);
    visitor.field("smbus_irq", smbus_irq_);
    overflow_.visit_state(visitor);
    smbus_.visit_state(visitor);
}

} // namespace emu::devices::power
