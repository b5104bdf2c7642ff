#include "emulator/devices/intc/local_apic.hpp"

#include <algorithm>
#include <bit>

namespace emu::devices {

namespace {

constexpr u64 kMsrBootProcessor = 1u << 8;
constexpr u64 kMsrEnable = 1u << 11;
constexpr u64 kMsrBaseMask = 0xf'ffff'f000; // 36 physical address bits

constexpr int kPriority = 10; // above RAM and other devices

// Local vector table entries (SDM figure 11-8)
constexpr u32 kMasked = 1u << 16;
constexpr u32 kPeriodic = 1u << 17;

// ESR (SDM figure 11-9)
constexpr u8 kSendIllegalVector = 0x20;
constexpr u8 kReceiveIllegalVector = 0x40;
constexpr u8 kIllegalRegister = 0x80;

constexpr u32 kVersion = 0x0005'0014; // integrated APIC, six LVT entries

ApicDelivery delivery_of(u32 lvt_or_icr)
{
    return static_cast<ApicDelivery>(lvt_or_icr >> 8 & 7);
}

int highest(const std::array<u32, 8>& set)
{
    for (int word = 7; word >= 0; --word) {
        const u32 bits = set[static_cast<unsigned>(word)];
        if (bits != 0) {
            return word * 32 + 31 - std::countl_zero(bits);
        }
    }
    return -1;
}

void assign(std::array<u32, 8>& set, unsigned vector, bool value)
{
    const u32 mask = 1u << (vector & 31);
    u32& word = set[vector >> 5 & 7];
    word = value ? word | mask : word & ~mask;
}

bool contains(const std::array<u32, 8>& set, unsigned vector)
{
    return (set[vector >> 5 & 7] >> (vector & 31) & 1) != 0;
}

} // namespace

LocalApic::LocalApic(Wiring wiring)
    : wiring_{.clock = wiring.clock,
              .memory = wiring.memory,
              .intr = {},
              .nmi = std::move(wiring.nmi),
              .smi = std::move(wiring.smi),
              .init = std::move(wiring.init),
              .pic_acknowledge = std::move(wiring.pic_acknowledge),
              .end_of_interrupt = std::move(wiring.end_of_interrupt)},
      timer_{wiring_.clock, "local-apic.timer", [this] { timer_fired(); }}
{
    region_ = wiring_.memory.map_mmio(kDefaultBase, kPageSize, *this, "local-apic", kPriority);
    reset(); // drives nothing yet: what is at the wires' ends may not be constructed
    wiring_.intr = std::move(wiring.intr);
}

LocalApic::~LocalApic()
{
    wiring_.memory.unmap(region_);
}

void LocalApic::reset()
{
    // SDM 11.4.7.1; the pins keep their levels.
    timer_.cancel();
    id_ = 0;
    task_priority_ = 0;
    logical_destination_ = 0;
    destination_format_ = 0xffff'ffff;
    spurious_ = 0xff;
    errors_ = reported_errors_ = 0;
    command_low_ = command_high_ = 0;
    lvt_.fill(kMasked);
    lvt_[kLint0] = static_cast<u32>(ApicDelivery::external) << 8; // see the header
    divide_ = 0;
    initial_count_ = 0;
    timer_start_ns_ = 0;
    in_service_ = requested_ = level_ = {};
    external_message_ = false;
    set_base_msr(kDefaultBase | kMsrBootProcessor | kMsrEnable);
}

void LocalApic::visit_state(StateVisitor& v)
{
    v.section("local-apic");
    u64 base = base_msr_;
    v.field("base_msr", base);
    v.field("id", id_);
    v.field("task_priority", task_priority_);
    v.field("logical_destination", logical_destination_);
    v.field("destination_format", destination_format_);
    v.field("spurious", spurious_);
    v.field("errors", errors_);
    v.field("reported_errors", reported_errors_);
    v.field("command_low", command_low_);
    v.field("command_high", command_high_);
    v.field("lvt", lvt_);
    v.field("divide", divide_);
    v.field("initial_count", initial_count_);
    v.field("timer_start_ns", timer_start_ns_);
    v.field("in_service", in_service_);
    v.field("requested", requested_);
    v.field("level", level_);
    v.field("lint0", lint0_);
    v.field("lint1", lint1_);
    v.field("external_message", external_message_);
    timer_.visit_state(v);
    if (v.restoring()) {
        set_base_msr(base);
    }
}

bool LocalApic::set_base_msr(u64 value)
{
    if ((value & ~(kMsrBaseMask | kMsrBootProcessor | kMsrEnable)) != 0) {
        return false;
    }
    base_msr_ = value;
    wiring_.memory.move(region_, value & kMsrBaseMask);
    wiring_.memory.set_enabled(region_, enabled());
    if (!enabled()) {
        timer_.cancel();
    }
    update();
    return true;
}

void LocalApic::set_cr8(u8 value)
{
    task_priority_ = static_cast<u8>(value << 4);
    update();
}

void LocalApic::set_lint0(bool level)
{
    const bool rises = level && !lint0_;
    lint0_ = level;
    if (rises && enabled() && delivery_of(lvt_[kLint0]) != ApicDelivery::external) {
        signal_lvt(kLint0);
    }
    update();
}

void LocalApic::set_lint1(bool level)
{
    const bool rises = level && !lint1_;
    lint1_ = level;
    if (!rises) {
        return;
    }
    if (enabled() && software_enabled()) {
        signal_lvt(kLint1);
    } else {
        wiring_.nmi.pulse(); // without an APIC the pin is NMI
    }
}

void LocalApic::signal_lvt(LvtEntry entry)
{
    const u32 lvt = lvt_[entry];
    if ((lvt & kMasked) != 0) {
        return;
    }
    switch (delivery_of(lvt)) {
    case ApicDelivery::fixed:
        request(static_cast<u8>(lvt), false);
        break;
    case ApicDelivery::nmi:
        wiring_.nmi.pulse();
        break;
    case ApicDelivery::smi:
        wiring_.smi.pulse();
        break;
    case ApicDelivery::init:
        wiring_.init.pulse();
        break;
    case ApicDelivery::external:
        external_message_ = true;
        break;
    default:
        break; // reserved in an LVT
    }
    update();
}

void LocalApic::request(u8 vector, bool level_triggered)
{
    if (vector < 16) {
        report_error(kReceiveIllegalVector);
        return;
    }
    assign(requested_, vector, true);
    assign(level_, vector, level_triggered);
}

void LocalApic::report_error(u8 bits)
{
    errors_ |= bits;
    const u32 lvt = lvt_[kError];
    // An error entry with an illegal vector would report itself for ever.
    if ((lvt & kMasked) == 0 && (lvt & 0xff) >= 16) {
        assign(requested_, lvt & 0xff, true);
        assign(level_, lvt & 0xff, false);
        update();
    }
}

bool LocalApic::accepts(const ApicMessage& message) const
{
    if (!message.logical) {
        return message.destination == id_ || message.destination == 0xff;
    }
    // SDM 11.6.2.2: flat model, or clusters (DFR bits 31:28 zero).
    if (destination_format_ >> 28 == 0xf) {
        return (message.destination & logical_destination_) != 0;
    }
    const bool cluster =
        message.destination >> 4 == 0xf || message.destination >> 4 == logical_destination_ >> 4;
    return cluster && (message.destination & logical_destination_ & 0x0f) != 0;
}

bool LocalApic::deliver(const ApicMessage& message)
{
    if (!enabled() || !accepts(message)) {
        return false;
    }
    switch (message.delivery) {
    case ApicDelivery::fixed:
    case ApicDelivery::lowest_priority:
        if (!software_enabled()) {
            return false;
        }
        request(message.vector, message.level_triggered);
        break;
    case ApicDelivery::nmi:
        wiring_.nmi.pulse();
        break;
    case ApicDelivery::smi:
        wiring_.smi.pulse();
        break;
    case ApicDelivery::init:
        wiring_.init.pulse();
        break;
    case ApicDelivery::external:
        external_message_ = true;
        break;
    default:
        return false;
    }
    update();
    return true;
}

u8 LocalApic::processor_priority() const
{
    const int serving = highest(in_service_);
    const u8 service_class = serving < 0 ? 0 : static_cast<u8>(serving & 0xf0);
    return (task_priority_ & 0xf0) >= service_class ? task_priority_ : service_class;
}

int LocalApic::deliverable_vector() const
{
    if (!enabled() || !software_enabled()) {
        return -1;
    }
    const int vector = highest(requested_);
    return vector >= 0 && (vector & 0xf0) > (processor_priority() & 0xf0) ? vector : -1;
}

bool LocalApic::external_pending() const
{
    if (!enabled()) {
        return lint0_; // the pin is INTR
    }
    const u32 lvt = lvt_[kLint0];
    const bool through_pin =
        lint0_ && (lvt & kMasked) == 0 && delivery_of(lvt) == ApicDelivery::external;
    return through_pin || external_message_;
}

bool LocalApic::interrupt_pending() const
{
    return deliverable_vector() >= 0 || external_pending();
}

int LocalApic::acknowledge()
{
    const int vector = deliverable_vector();
    if (vector >= 0) {
        assign(requested_, static_cast<unsigned>(vector), false);
        assign(in_service_, static_cast<unsigned>(vector), true);
        update();
        return vector;
    }
    if (external_pending() && wiring_.pic_acknowledge) {
        external_message_ = false;
        const int external = wiring_.pic_acknowledge();
        update();
        return external;
    }
    return static_cast<int>(spurious_ & 0xff); // it went away meanwhile (SDM 11.9)
}

void LocalApic::end_of_interrupt()
{
    const int vector = highest(in_service_);
    if (vector < 0) {
        return;
    }
    assign(in_service_, static_cast<unsigned>(vector), false);
    if (contains(level_, static_cast<unsigned>(vector)) && wiring_.end_of_interrupt) {
        wiring_.end_of_interrupt(static_cast<u8>(vector));
    }
}

void LocalApic::update()
{
    wiring_.intr.set(interrupt_pending());
}

u64 LocalApic::timer_tick_ns() const
{
    // Divide configuration: bits 3, 1 and 0 make the power of two, 7 divides by one.
    const u32 code = (divide_ >> 1 & 4) | (divide_ & 3);
    return (u64{1} << ((code + 1) & 7)) * (1'000'000'000 / kTimerHz);
}

u32 LocalApic::timer_current() const
{
    if (initial_count_ == 0 || !enabled()) {
        return 0;
    }
    const u64 ticks = (wiring_.clock.now_ns() - timer_start_ns_) / timer_tick_ns();
    if ((lvt_[kTimer] & kPeriodic) != 0) {
        return static_cast<u32>(initial_count_ - ticks % initial_count_);
    }
    return ticks >= initial_count_ ? 0 : static_cast<u32>(initial_count_ - ticks);
}

void LocalApic::start_timer(u64 from_ns)
{
    timer_start_ns_ = from_ns;
    if (initial_count_ == 0) {
        timer_.cancel();
    } else {
        timer_.arm(from_ns + initial_count_ * timer_tick_ns());
    }
}

void LocalApic::timer_fired()
{
    if ((lvt_[kTimer] & kPeriodic) != 0) {
        // No drift; but periods that were missed (a forged snapshot) are not caught up with.
        const u64 now = wiring_.clock.now_ns();
        const u64 period = initial_count_ * timer_tick_ns();
        const u64 due = timer_.deadline_ns();
        start_timer(now - due < period ? due : now);
    }
    signal_lvt(kTimer);
}

void LocalApic::send_ipi(u32 command)
{
    const ApicMessage message{
        .vector = static_cast<u8>(command),
        .delivery = delivery_of(command),
        .destination = static_cast<u8>(command_high_ >> 24),
        .logical = (command & 0x800) != 0,
        .level_triggered = false,
    };
    const u32 shorthand = command >> 18 & 3;
    // An INIT level de-assert only resets arbitration identities (SDM 11.6.1).
    const bool deassert = message.delivery == ApicDelivery::init && (command & 0x4000) == 0;
    if (shorthand == 3 || deassert || message.delivery == ApicDelivery::start_up) {
        return; // "all but self" has nobody to address
    }
    const bool fixed = message.delivery == ApicDelivery::fixed ||
                       message.delivery == ApicDelivery::lowest_priority;
    if (fixed && message.vector < 16) {
        report_error(kSendIllegalVector);
        return;
    }
    ApicMessage addressed = message;
    if (shorthand != 0) { // self, or all including self
        addressed.destination = id_;
        addressed.logical = false;
    }
    deliver(addressed);
}

void LocalApic::write_lvt(LvtEntry entry, u32 value)
{
    constexpr u32 kWritable = 0x0001'07ff; // mask, delivery mode, vector
    const u32 extra = entry == kTimer ? kPeriodic : entry == kLint0 || entry == kLint1 ? 0xa000 : 0;
    const bool no_delivery_mode = entry == kTimer || entry == kError;
    lvt_[entry] = value & ((no_delivery_mode ? kWritable & ~0x700u : kWritable) | extra);
    if (!software_enabled()) {
        lvt_[entry] |= kMasked; // SDM 11.4.7.2
    }
}

void LocalApic::write_spurious(u32 value)
{
    spurious_ = value & 0x1ff;
    if (!software_enabled()) {
        for (u32& entry : lvt_) {
            entry |= kMasked;
        }
    }
}

u32 LocalApic::read_register(u32 offset)
{
    const unsigned word = offset >> 4 & 7;
    switch (offset & 0xff0) {
    case 0x020:
        return u32{id_} << 24;
    case 0x030:
        return kVersion;
    case 0x080:
        return task_priority_;
    case 0x090:
        return processor_priority(); // arbitration priority: nobody to arbitrate with
    case 0x0a0:
        return processor_priority();
    case 0x0b0:
        return 0;
    case 0x0d0:
        return u32{logical_destination_} << 24;
    case 0x0e0:
        return destination_format_;
    case 0x0f0:
        return spurious_;
    case 0x280:
        return reported_errors_;
    case 0x300:
        return command_low_;
    case 0x310:
        return command_high_;
    case 0x320:
        return lvt_[kTimer];
    case 0x330:
        return lvt_[kThermal];
    case 0x340:
        return lvt_[kPerformance];
    case 0x350:
        return lvt_[kLint0];
    case 0x360:
        return lvt_[kLint1];
    case 0x370:
        return lvt_[kError];
    case 0x380:
        return initial_count_;
    case 0x390:
        return timer_current();
    case 0x3e0:
        return divide_;
    default:
        break;
    }
    switch (offset & 0xf80) {
    case 0x100:
        return in_service_[word];
    case 0x180:
        return level_[word];
    case 0x200:
        return requested_[word];
    default:
        report_error(kIllegalRegister);
        return 0;
    }
}

void LocalApic::write_register(u32 offset, u32 value)
{
    switch (offset & 0xff0) {
    case 0x020:
        id_ = static_cast<u8>(value >> 24);
        break;
    case 0x080:
        task_priority_ = static_cast<u8>(value);
        break;
    case 0x0b0:
        end_of_interrupt();
        break;
    case 0x0d0:
        logical_destination_ = static_cast<u8>(value >> 24);
        break;
    case 0x0e0:
        destination_format_ = value | 0x0fff'ffff;
        break;
    case 0x0f0:
        write_spurious(value);
        break;
    case 0x280: // a write latches what was collected
        reported_errors_ = errors_;
        errors_ = 0;
        break;
    case 0x300:
        command_low_ = value & 0x000c'cfff; // delivery status (bit 12) is always idle
        send_ipi(value);
        break;
    case 0x310:
        command_high_ = value & 0xff00'0000;
        break;
    case 0x320:
        write_lvt(kTimer, value);
        break;
    case 0x330:
        write_lvt(kThermal, value);
        break;
    case 0x340:
        write_lvt(kPerformance, value);
        break;
    case 0x350:
        write_lvt(kLint0, value);
        break;
    case 0x360:
        write_lvt(kLint1, value);
        break;
    case 0x370:
        write_lvt(kError, value);
        break;
    case 0x380:
        initial_count_ = value;
        start_timer(wiring_.clock.now_ns());
        break;
    case 0x3e0: {
        // The count goes on from where it is at the new rate.
        const u32 current = timer_current();
        divide_ = value & 0x0b;
        if (timer_.armed()) {
            timer_start_ns_ =
                wiring_.clock.now_ns() - u64{initial_count_ - current} * timer_tick_ns();
            timer_.arm_in(current * timer_tick_ns());
        }
        break;
    }
    case 0x030:
    case 0x090:
    case 0x0a0:
    case 0x390:
        break; // read-only
    default:
        if ((offset & 0xff0) < 0x100 || (offset & 0xff0) >= 0x280) {
            report_error(kIllegalRegister);
        }
        break;
    }
    update();
}

u64 LocalApic::mmio_read(u64 offset, unsigned size)
{
    // Registers are 32 bits wide at 16-byte steps; the bytes between read as zero.
    const u64 value = (offset & 0xc) == 0 ? read_register(static_cast<u32>(offset)) : 0;
    const u64 shifted = value >> (8 * (offset & 3));
    return size >= 8 ? shifted : shifted & ((u64{1} << (8 * size)) - 1);
}

void LocalApic::mmio_write(u64 offset, unsigned size, u64 value)
{
    // SDM 11.4.1: only aligned 32-bit writes are defined; wider ones reach the first register.
    if ((offset & 0xf) == 0 && size >= 4) {
        write_register(static_cast<u32>(offset), static_cast<u32>(value));
    }
}

} // namespace emu::devices
