#include "emulator/translate/x86/vectors/guest.hpp"

namespace emu::x86 {

Guest::Guest(accel::Tier tier)
    : engine_{{.model = "pentium3", .tier = tier, .code_cache_bytes = 1u << 20}, memory_}
{
    memory_.map_ram(0, kRamSize, ram_, 0, AddressSpace::Access::read_write);
    engine_.world().hooks = &board;
    engine_.world().time_stamp = [] { return u64{0}; };
    State& s = state();
    s.model = find_model("pentium3");
    reset(s);
    s.cr0 |= kCr0Pe | kCr0Ne;
    for (unsigned n = 0; n < kSegments; ++n) {
        s.seg[n] = {.selector = static_cast<u16>(n == kCs ? 8 : 16),
                    .base = 0,
                    .limit = 0xffff'ffff,
                    .type = static_cast<u8>(n == kCs ? 0x1b : 0x13),
                    .dpl = 0,
                    .present = true,
                    .big = true,
                    .avl = false,
                    .valid = true};
    }
    // Flat code and data descriptors, and an interrupt gate for each vector (SDM vol. 3, 3.4.5,
    // 6.11).
    write32(kGdt + 8, 0x0000'ffff);
    write32(kGdt + 12, 0x00cf'9b00);
    write32(kGdt + 16, 0x0000'ffff);
    write32(kGdt + 20, 0x00cf'9300);
    s.gdtr = {.base = kGdt, .limit = 0x17};
    s.idtr = {.base = kIdt, .limit = 0x7ff};
    for (u32 vector = 0; vector < 256; ++vector) {
        write32(kIdt + vector * 8, 8u << 16 | (kHandlers + vector));
        write32(kIdt + vector * 8 + 4, 0x8e00);
        memory_.write_int(kHandlers + vector, 1, 0xf4);
    }
    s.set_reg32(kEsp, kStack);
    update_mode(s);
}

void Guest::enable_paging(std::initializer_list<u32> absent_pages)
{
    write32(kPageDirectory, kPageTable | 7);
    for (u32 page = 0; page < kRamSize / 4096; ++page) {
        write32(kPageTable + page * 4, page << 12 | 7);
    }
    for (const u32 page : absent_pages) {
        write32(kPageTable + (page >> 12) * 4, 0);
    }
    state().cr3 = kPageDirectory;
    state().cr0 |= kCr0Pg;
    flush_tlb(state(), true);
    update_mode(state());
}

void Guest::run(std::span<const u8> bytes, unsigned limit)
{
    write(kCode, bytes);
    const u8 hlt = 0xf4;
    write(kCode + static_cast<u32>(bytes.size()), {&hlt, 1});
    State& s = state();
    s.pc = kCode;
    s.halted = false;
    s.until = s.retired() + limit;
    s.budget = limit;
    while (!s.halted && !s.shutdown && s.budget > 0) {
        s.attention = 0;
        engine_.run_some();
    }
}

void Guest::step(std::span<const u8> bytes)
{
    write(kCode, bytes);
    State& s = state();
    s.pc = kCode;
    s.until = s.retired() + 1;
    s.budget = 1;
    engine_.run_some();
}

int Guest::vector_taken()
{
    const u32 halted_at = state().pc - 1;
    return halted_at >= kHandlers && halted_at < kHandlers + 256
               ? static_cast<int>(halted_at - kHandlers)
               : -1;
}

} // namespace emu::x86
