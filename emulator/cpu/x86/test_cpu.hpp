// A CPU on 8 MiB of RAM with flat descriptors, for the tests of the system core.
#pragma once

#include "emulator/cpu/x86/internal.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <string_view>

namespace emu::x86::test {

struct Board : X86Hooks {
    int vector = -1;
    u16 last_port = 0;
    u32 last_value = 0;
    bool smm = false;

    u32 port_read(u16 port, unsigned) override
    {
        last_port = port;
        return 0x12345678;
    }
    void port_write(u16 port, unsigned, u32 value) override
    {
        last_port = port;
        last_value = value;
    }
    int acknowledge_interrupt() override { return vector; }
    u64 apic_base() const override { return 0; }
    bool set_apic_base(u64) override { return false; }
    bool apic_enabled() const override { return false; }
    void set_smm_active(bool active) override { smm = active; }
    void set_ferr(bool) override {}
    bool ignne() const override { return false; }
    void shutdown() override {}
};

// Where the tests put tables; 32-bit TSS of privilege 0 stacks at kStack0.
constexpr u32 kGdt = 0x1000;
constexpr u32 kIdt = 0x2000;
constexpr u32 kTss = 0x3000;
constexpr u32 kTss2 = 0x3800;
constexpr u32 kStack0 = 0x9000;
constexpr u32 kHandler = 0x5000; // of vector n: kHandler + n

// Selectors of the descriptors that Cpu() writes.
constexpr u16 kCode0 = 0x08;
constexpr u16 kData0 = 0x10;
constexpr u16 kCode3 = 0x1b;
constexpr u16 kData3 = 0x23;
constexpr u16 kTssSelector = 0x28;
constexpr u16 kTss2Selector = 0x30;
constexpr u16 kFree = 0x38; // the first one a test may fill

struct Cpu {
    AddressSpace memory;
    RamBlock ram{"ram", 0x80'0000};
    Board board;
    World world_{};
    std::unique_ptr<State> owned = std::make_unique<State>();
    State& state = *owned;

    Cpu()
    {
        memory.map_ram(0, ram.size(), ram, 0, AddressSpace::Access::read_write);
        world_.memory = &memory;
        world_.hooks = &board;
        state.guest = &world_;
        state.model = find_model("pentium3");
        reset(state);
    }

    void poke(u32 at, u32 value, unsigned size = 4) { memory.write_int(at, size, value); }
    u32 peek(u32 at, unsigned size = 4) { return static_cast<u32>(memory.read_int(at, size)); }

    void descriptor(u16 selector, u32 base, u32 limit, u32 attributes)
    {
        const u32 at = kGdt + (selector & ~7u);
        poke(at, (limit & 0xffff) | base << 16);
        poke(at + 4,
             (base >> 16 & 0xff) | (base & 0xff00'0000) | (limit & 0xf'0000) | attributes << 8);
    }
    /// A gate in a table: type with DPL and P, as the descriptor's byte 5.
    void gate(u32 at, u16 selector, u32 offset, u32 type, u32 count = 0)
    {
        poke(at, (offset & 0xffff) | u32{selector} << 16);
        poke(at + 4, (offset & 0xffff'0000) | type << 8 | count);
    }

    /// Ring 0 with flat 4 GiB segments; interrupt gates of DPL 3 for all vectors.
    void protect()
    {
        descriptor(kCode0, 0, 0xfffff, 0xc09a);
        descriptor(kData0, 0, 0xfffff, 0xc092);
        descriptor(kCode3, 0, 0xfffff, 0xc0fa);
        descriptor(kData3, 0, 0xfffff, 0xc0f2);
        descriptor(kTssSelector, kTss, 0x67, 0x0089);
        descriptor(kTss2Selector, kTss2, 0x67, 0x0089);
        for (u32 n = 0; n < 256; ++n) {
            gate(kIdt + n * 8, kCode0, kHandler + n, 0xee);
        }
        poke(kTss + 4, kStack0);
        poke(kTss + 8, kData0);
        poke(kTss + 0x66, 0x68, 2);
        state.gdtr = {kGdt, 0x7ff};
        state.idtr = {kIdt, 0x7ff};
        call("mov_to_cr", 0, state.cr0 | kCr0Pe);
        call("far_jump", kCode0, 0x4000, 4);
        for (const Seg seg : {kEs, kSs, kDs, kFs, kGs}) {
            call("load_segment", seg, kData0);
        }
        state.interrupt_shadow = false;
        state.set_reg32(kEsp, 0x8000);
        call("ltr", kTssSelector);
        REQUIRE_FALSE(state.fault_pending);
        REQUIRE((state.mode & kModeProtected) != 0);
    }
    /// From ring 0 to flat ring 3 at 0x6000 with ESP 0x7000, through IRETD.
    void drop_to_user(u32 eflags = 0x202)
    {
        constexpr std::array<u32, 5> kFrame{0x6000, kCode3, 0, 0x7000, kData3};
        for (u32 i = 0; i < kFrame.size(); ++i) {
            poke(0x7f00 + i * 4, i == 2 ? eflags : kFrame[i]);
        }
        state.set_reg32(kEsp, 0x7f00);
        call("iret", 0, 0, 4);
        REQUIRE_FALSE(state.fault_pending);
        REQUIRE(state.cpl == 3);
    }
    /// An identity map of the first 4 MiB in 4 KiB pages, present, writable, user.
    void enable_paging(u32 rights = 7)
    {
        for (u32 n = 0; n < 1024; ++n) {
            poke(page_entry(n << 12), n << 12 | rights);
        }
        poke(0x10'0000, 0x10'1000 | 7);
        call("mov_to_cr", 3, 0x10'0000);
        call("mov_to_cr", 0, state.cr0 | kCr0Pg);
    }
    static u32 page_entry(u32 linear) { return 0x10'1000 + (linear >> 12) * 4; }

    u32 call(std::string_view name, u32 a = 0, u32 b = 0, u32 c = 0)
    {
        for (const HelperInfo& row : system_helpers()) {
            if (row.name == name) {
                return row.function(state, a, b, c);
            }
        }
        FAIL("no helper " << name);
        return 0;
    }
    /// True if a fault with this vector and error code is recorded; takes it away.
    bool faulted(u8 vector, u32 error)
    {
        const bool as_expected = state.fault_pending && state.fault_vector == vector &&
                                 state.fault_has_error_code && state.fault_error_code == error;
        if (!as_expected) {
            UNSCOPED_INFO("pending " << state.fault_pending << " vector "
                                     << unsigned{state.fault_vector} << " error "
                                     << state.fault_error_code);
        }
        state.fault_pending = false;
        state.leave_request = 0;
        return as_expected;
    }
    u32 stack(u32 index) { return peek(state.seg[kSs].base + state.reg32(kEsp) + index * 4); }
};

} // namespace emu::x86::test
