// The least machine an x86 CPU runs on: RAM, a ROM at the top of memory, and a port hook. For tests
// of the CPU without a board.
#pragma once

#include "emulator/accel/x86_cpu.hpp"

#include <functional>
#include <span>

namespace emu::accel {

class BareMachine final : public X86Hooks {
public:
    /// `rom` (a multiple of 4 KiB, at most 128 KiB) ends at 1 MiB and at 4 GiB.
    BareMachine(const X86CpuConfig& config, u64 ram_bytes, std::span<const u8> rom,
                u64 instructions_per_second = 1'000'000'000)
        : clock{instructions_per_second}, ram{"ram", ram_bytes}, rom_block{"rom", rom.empty()
                                                                                      ? 4096
                                                                                      : rom.size()}
    {
        memory.map_ram(0, ram.size(), ram, 0, AddressSpace::Access::read_write);
        if (!rom.empty()) {
            std::copy(rom.begin(), rom.end(), rom_block.data());
            memory.map_ram(0x10'0000 - rom.size(), rom.size(), rom_block, 0,
                           AddressSpace::Access::read_only, 1);
            memory.map_ram((u64{1} << 32) - rom.size(), rom.size(), rom_block, 0,
                           AddressSpace::Access::read_only, 1);
        }
        auto made = make_x86_cpu(config, memory, *this, clock);
        cpu = std::move(made).value(); // tests name models that exist
    }

    base::u32 port_read(base::u16 port, unsigned size) override
    {
        return on_read ? on_read(port, size) : static_cast<base::u32>((u64{1} << (8 * size)) - 1);
    }
    void port_write(base::u16 port, unsigned size, base::u32 value) override
    {
        if (on_write) {
            on_write(port, size, value);
        }
    }
    int acknowledge_interrupt() override
    {
        if (on_acknowledge) {
            on_acknowledge();
        }
        return pending_vector;
    }
    u64 apic_base() const override { return 0; }
    bool set_apic_base(u64) override { return false; }
    bool apic_enabled() const override { return false; }
    void set_smm_active(bool) override {}
    void set_ferr(bool) override {}
    bool ignne() const override { return false; }
    void shutdown() override { was_shut_down = true; }

    Clock clock;
    AddressSpace memory;
    RamBlock ram;
    RamBlock rom_block;
    std::unique_ptr<Cpu> cpu;
    std::function<base::u32(base::u16 port, unsigned size)> on_read;
    std::function<void(base::u16 port, unsigned size, base::u32 value)> on_write;
    std::function<void()> on_acknowledge;
    int pending_vector = -1;
    bool was_shut_down = false;
};

} // namespace emu::accel
