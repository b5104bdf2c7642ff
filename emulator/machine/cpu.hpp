// A guest CPU as the machine sees it: something that executes instructions and can be interrupted.
#pragma once

#include "emulator/machine/device.hpp"

#include <optional>
#include <string>

namespace emu {

class Cpu : public Device {
public:
    enum class Stop : u8 {
        budget,    // the asked-for count is reached, or Clock::stall() used up the rest of it
        requested, // request_stop() was called
        halted,    // HLT with nothing pending: only an event can wake it
        shutdown   // triple fault: the board has been told and resets the machine or the CPU
    };

    /// Executes until exactly `until` instructions have retired since power-on, or another reason
    /// to stop. Deterministic: how a span is cut into calls never changes what the guest computes.
    virtual Stop run(u64 until) = 0;
    virtual u64 instructions() const = 0;

    /// Called by devices (on the machine's thread) while run() executes: return at the next
    /// instruction boundary, because a deadline or an input moved.
    virtual void request_stop() = 0;

    /// Whether it has halted and no interrupt line can wake it: only an NMI or a reset can.
    virtual bool halted_for_good() { return false; }

    /// The maskable interrupt line's level, and an edge on NMI.
    virtual void set_interrupt_line(bool level) = 0;
    virtual void raise_nmi() = 0;
    virtual void raise_smi() = 0;

    // For monitors and debuggers; none of these changes guest state.
    virtual std::string registers_text() = 0;  // `info registers`
    virtual std::string translator_text() = 0; // `info jit`
    virtual std::optional<u64> virtual_to_physical(u64 address) = 0;
    virtual u64 program_counter() = 0; // linear address
    /// By its name without a dollar sign ("eax", "cs.base"); nothing when there is no such
    /// register.
    virtual std::optional<u64> register_value(std::string_view) { return std::nullopt; }
    /// How the code at the program counter is read: 16 or 32 bits.
    virtual unsigned code_bits() { return 32; }
};

} // namespace emu
