// What an x86 CPU asks of the board it sits on: the bus cycles that are not memory accesses.
#pragma once

#include "base/types.hpp"

namespace emu {

/// Implemented by the board, called by the CPU on the machine's thread. Every call is made between
/// the CPU's own state changes, so a hook may raise or drop the CPU's pins.
class X86Hooks {
public:
    virtual ~X86Hooks() = default;

    /// IN and OUT; `size` is 1, 2 or 4 bytes. An access that crosses an alignment boundary is the
    /// board's business, the CPU passes it on as it is.
    virtual base::u32 port_read(base::u16 port, unsigned size) = 0;
    virtual void port_write(base::u16 port, unsigned size, base::u32 value) = 0;

    /// The interrupt acknowledge cycle: the vector to take (0-255), or -1 when the request has gone
    /// away and nobody answers (the CPU goes on as if there had been no interrupt). A spurious
    /// interrupt of a controller is a vector like any other.
    virtual int acknowledge_interrupt() = 0;

    /// IA32_APIC_BASE (MSR 1Bh): with no local APIC the first returns 0 and the second false, and
    /// the CPU raises #GP. The second also returns false for reserved bits.
    virtual base::u64 apic_base() const = 0;
    virtual bool set_apic_base(base::u64 value) = 0;

    /// True when CPUID may announce a local APIC: one is there and its global enable bit is set.
    virtual bool apic_enabled() const = 0;

    /// The SMIACT# pin: true while the CPU is in system management mode, so that the chipset shows
    /// SMRAM instead of what lies over it.
    virtual void set_smm_active(bool active) = 0;

    /// FERR# (x87 error with CR0.NE = 0): the level of the pin; the board turns it into IRQ 13 and
    /// answers with IGNNE# (`ignne`) once port F0h was written.
    virtual void set_ferr(bool level) = 0;
    virtual bool ignne() const = 0;

    /// The shutdown bus cycle of a triple fault: the board resets the machine.
    virtual void shutdown() = 0;
};

} // namespace emu
