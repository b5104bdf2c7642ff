// The local APIC of a single-processor PC, xAPIC mode.
//
// Source: Intel SDM volume 3, chapter 11 ("APIC"; "SDM" below).
// Not modelled: x2APIC and TSC-deadline modes (not announced), the performance and thermal entries
// (stored, never delivered), focus processor checking, start-up IPIs (there is nobody to start).
// Deviation: LINT0 passes ExtINT after reset, as firmware leaves it in virtual wire mode: the
// BIOS' own interrupts work before it has touched the APIC.
#pragma once

#include "emulator/devices/intc/apic_message.hpp"
#include "emulator/machine/clock.hpp"
#include "emulator/machine/device.hpp"
#include "emulator/memory/address_space.hpp"

#include <array>

namespace emu::devices {

class LocalApic final : public Device, public MmioHandler {
public:
    struct Wiring {
        Clock& clock;
        AddressSpace& memory;
        Wire intr; // the CPU's INTR
        Wire nmi;  // pulsed
        Wire smi;  // pulsed
        Wire init; // pulsed: an INIT message or self-IPI
        /// The 8259A pair's INTA cycles.
        std::function<int()> pic_acknowledge;
        /// A level-triggered vector's end of interrupt, for the I/O APIC; may be empty.
        std::function<void(u8 vector)> end_of_interrupt;
    };

    static constexpr u64 kDefaultBase = 0xfee0'0000;
    static constexpr u64 kTimerHz = 100'000'000; // the bus clock that the timer divides

    explicit LocalApic(Wiring wiring);
    ~LocalApic() override;

    std::string_view name() const override { return "local-apic"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    /// IA32_APIC_BASE (MSR 1Bh): bit 8 is the boot processor, bit 11 enables, the rest is the base.
    u64 base_msr() const { return base_msr_; }
    /// False (and nothing changed) for reserved bits: the CPU raises #GP.
    bool set_base_msr(u64 value);

    /// CR8, the task priority class; the CPU's 64-bit mode uses it.
    u8 cr8() const { return static_cast<u8>(task_priority_ >> 4); }
    void set_cr8(u8 value);

    /// The pair's INTR, wired to LINT0; the NMI line at LINT1.
    void set_lint0(bool level);
    void set_lint1(bool level);
    Wire lint0_input()
    {
        return Wire{[this](bool level) { set_lint0(level); }};
    }

    bool deliver(const ApicMessage& message);

    bool interrupt_pending() const;
    /// The CPU takes the interrupt: its vector, from here or from the 8259A pair.
    int acknowledge();

    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

private:
    enum LvtEntry : unsigned { kTimer, kThermal, kPerformance, kLint0, kLint1, kError, kLvtCount };
    using VectorSet = std::array<u32, 8>;

    bool enabled() const { return (base_msr_ & (1u << 11)) != 0; }
    bool software_enabled() const { return (spurious_ & 0x100) != 0; }
    u32 read_register(u32 offset);
    void write_register(u32 offset, u32 value);
    void write_lvt(LvtEntry entry, u32 value);
    void write_spurious(u32 value);
    void send_ipi(u32 command);
    void end_of_interrupt();

    void request(u8 vector, bool level_triggered);
    void signal_lvt(LvtEntry entry);
    void report_error(u8 bits);
    bool accepts(const ApicMessage& message) const;
    u8 processor_priority() const;
    int deliverable_vector() const;
    bool external_pending() const;
    void update();

    u64 timer_tick_ns() const;
    u32 timer_current() const;
    void start_timer(u64 from_ns);
    void timer_fired();

    Wiring wiring_;
    Timer timer_;
    AddressSpace::RegionId region_ = 0;

    u64 base_msr_ = 0;
    u8 id_ = 0;
    u8 task_priority_ = 0;
    u8 logical_destination_ = 0;
    u32 destination_format_ = 0;
    u32 spurious_ = 0;
    u8 errors_ = 0;          // being collected
    u8 reported_errors_ = 0; // as ESR reads
    u32 command_low_ = 0;
    u32 command_high_ = 0;
    std::array<u32, kLvtCount> lvt_{};
    u32 divide_ = 0;
    u32 initial_count_ = 0;
    u64 timer_start_ns_ = 0;
    VectorSet in_service_{};
    VectorSet requested_{};
    VectorSet level_{}; // TMR
    bool lint0_ = false;
    bool lint1_ = false;
    bool external_message_ = false; // an ExtINT message arrived over the bus
};

} // namespace emu::devices
