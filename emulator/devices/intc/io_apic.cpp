#include "emulator/devices/intc/io_apic.hpp"

namespace emu::devices {

namespace {

constexpr u32 kSelect = 0x00; // IOREGSEL
constexpr u32 kWindow = 0x10; // IOWIN

constexpr u32 kVersion = 0x0017'0011; // 24 entries, version 11h

// Redirection table entry (section 3.2.4)
constexpr u64 kLogical = 1u << 11;
constexpr u64 kDeliveryStatus = 1u << 12;
constexpr u64 kRemoteIrr = 1u << 14;
constexpr u64 kLevel = 1u << 15;
constexpr u64 kMasked = 1u << 16;
constexpr u64 kReadOnly = kDeliveryStatus | kRemoteIrr;
constexpr u64 kDefined = 0xff00'0000'0001'ffff;

constexpr int kPriority = 10;

} // namespace

IoApic::IoApic(AddressSpace& memory, ApicBus bus)
    : memory_{memory}, bus_{std::move(bus)}, region_{memory.map_mmio(kBase, kPageSize, *this,
                                                                     "io-apic", kPriority)}
{
    reset();
}

IoApic::~IoApic()
{
    memory_.unmap(region_);
}

void IoApic::reset()
{
    select_ = 0;
    id_ = 0;
    redirection_.fill(kMasked);
}

void IoApic::visit_state(StateVisitor& v)
{
    v.section("io-apic");
    v.field("select", select_);
    v.field("id", id_);
    v.field("levels", levels_);
    v.field("redirection", redirection_);
}

bool IoApic::send(unsigned pin)
{
    const u64 entry = redirection_[pin];
    return bus_({.vector = static_cast<u8>(entry),
                 .delivery = static_cast<ApicDelivery>(entry >> 8 & 7),
                 .destination = static_cast<u8>(entry >> 56),
                 .logical = (entry & kLogical) != 0,
                 .level_triggered = (entry & kLevel) != 0});
}

void IoApic::set_pin(unsigned pin, bool level)
{
    if (pin >= kPins) {
        return;
    }
    const u32 mask = 1u << pin;
    const bool was_high = (levels_ & mask) != 0;
    levels_ = level ? levels_ | mask : levels_ & ~mask;
    if ((redirection_[pin] & kLevel) != 0) {
        service_level(pin);
    } else if (level && !was_high && (redirection_[pin] & kMasked) == 0) {
        // Section 3.2.4, "Interrupt Mask": an edge at a masked pin is not held pending.
        send(pin);
    }
}

void IoApic::service_level(unsigned pin)
{
    u64& entry = redirection_[pin];
    const bool asserted = (levels_ >> pin & 1) != 0;
    if (asserted && (entry & (kMasked | kRemoteIrr)) == 0 && send(pin)) {
        entry |= kRemoteIrr;
    }
}

void IoApic::end_of_interrupt(u8 vector)
{
    for (unsigned pin = 0; pin < kPins; ++pin) {
        u64& entry = redirection_[pin];
        if ((entry & kRemoteIrr) != 0 && static_cast<u8>(entry) == vector) {
            entry &= ~kRemoteIrr;
            service_level(pin);
        }
    }
}

u32 IoApic::read_register() const
{
    switch (select_) {
    case 0x00:
        return id_;
    case 0x01:
        return kVersion;
    case 0x02:
        return id_; // the arbitration ID is loaded with the ID
    default:
        break;
    }
    const unsigned index = select_ - 0x10u;
    if (select_ < 0x10 || index >= 2 * kPins) {
        return 0;
    }
    return static_cast<u32>(redirection_[index / 2] >> (32 * (index & 1)));
}

void IoApic::write_register(u32 value)
{
    if (select_ == 0) {
        id_ = value & 0x0f00'0000;
        return;
    }
    const unsigned index = select_ - 0x10u;
    if (select_ < 0x10 || index >= 2 * kPins) {
        return;
    }
    u64& entry = redirection_[index / 2];
    const unsigned shift = 32 * (index & 1);
    const u64 half = u64{0xffff'ffff} << shift;
    const u64 merged = (entry & ~half) | u64{value} << shift;
    entry = (merged & kDefined & ~kReadOnly) | (entry & kReadOnly);
    if ((entry & kLevel) == 0) {
        entry &= ~kRemoteIrr; // undefined for edges; drivers switch modes to clear it
    } else {
        service_level(index / 2);
    }
}

u64 IoApic::mmio_read(u64 offset, unsigned)
{
    switch (offset & 0xfc) {
    case kSelect:
        return select_;
    case kWindow:
        return read_register();
    default:
        return 0;
    }
}

void IoApic::mmio_write(u64 offset, unsigned, u64 value)
{
    if ((offset & 0xff) == kSelect) {
        select_ = static_cast<u8>(value);
    } else if ((offset & 0xff) == kWindow) {
        write_register(static_cast<u32>(value));
    }
}

} // namespace emu::devices
