// A bare x86 for execution tests: memory, a processor, no devices.
#pragma once

#include "emulator/accel/x86_engine.hpp"
#include "emulator/cpu/x86/model.hpp"

#include <initializer_list>
#include <vector>

namespace emu::x86 {

/// The whole board: what was asked of it is written down.
class RecordingBoard final : public X86Hooks {
public:
    u32 port_read(u16, unsigned) override { return next_input++; }
    void port_write(u16 port, unsigned, u32 value) override { writes.push_back({port, value}); }
    int acknowledge_interrupt() override { return -1; }
    u64 apic_base() const override { return 0; }
    bool set_apic_base(u64) override { return false; }
    bool apic_enabled() const override { return false; }
    void set_smm_active(bool) override {}
    void set_ferr(bool level) override { ferr = level; }
    bool ignne() const override { return false; }
    void shutdown() override {}

    struct Write {
        u16 port;
        u32 value;
        bool operator==(const Write&) const = default;
    };
    std::vector<Write> writes;
    u32 next_input = 0x41;
    bool ferr = false;
};

/// In flat 32-bit protected mode at privilege 0, code at kCode. Interrupt n goes to kHandlers + n,
/// where a HLT waits.
class Guest {
public:
    static constexpr u32 kCode = 0x1000;
    static constexpr u32 kHandlers = 0x2000;
    static constexpr u32 kGdt = 0x3000;
    static constexpr u32 kIdt = 0x4000;
    static constexpr u32 kPageDirectory = 0x8000;
    static constexpr u32 kPageTable = 0x9000;
    static constexpr u32 kStack = 0x7000;
    static constexpr u32 kRamSize = 1u << 20;

    explicit Guest(accel::Tier tier);

    State& state() { return engine_.state(); }
    RecordingBoard board;

    void write(u32 address, std::span<const u8> bytes) { memory_.write(address, bytes); }
    void write32(u32 address, u32 value) { memory_.write_int(address, 4, value); }
    u32 read32(u32 address) { return static_cast<u32>(memory_.read_int(address, 4)); }
    u64 read64(u32 address) { return memory_.read_int(address, 8); }

    /// Maps the first MiB to itself, but for these pages.
    void enable_paging(std::initializer_list<u32> absent_pages);

    /// Puts the bytes at kCode, and runs until HLT, at most `limit` instructions.
    void run(std::span<const u8> bytes, unsigned limit = 100'000);
    void run(std::initializer_list<u8> bytes) { run(std::span{bytes.begin(), bytes.size()}); }
    /// Executes exactly one instruction.
    void step(std::span<const u8> bytes);

    /// The vector whose handler halted, or -1.
    int vector_taken();
    /// What the fault pushed: error code (if any), then EIP.
    u32 stacked(unsigned index) { return read32(state().reg32(kEsp) + index * 4); }

private:
    AddressSpace memory_;
    RamBlock ram_{"ram", kRamSize};
    accel::X86Engine engine_;
};

} // namespace emu::x86
