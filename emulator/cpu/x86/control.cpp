// Control and debug registers, and the EFLAGS instructions. Intel SDM vol. 3, 2.3 (EFLAGS), 2.5
// (control registers), 17.2 (debug registers), 20.3-4 (virtual interrupts); vol. 2 for each
// instruction.
#include "emulator/cpu/x86/internal.hpp"

namespace emu::x86 {

namespace {

constexpr u32 kCr4Mce = 1u << 6;
constexpr u32 kCr4Pce = 1u << 8;
constexpr u32 kCr4Osfxsr = 1u << 9;
constexpr u32 kCr4Osxmmexcpt = 1u << 10;
constexpr u32 kCr0Writable =
    kCr0Pe | kCr0Mp | kCr0Em | kCr0Ts | kCr0Ne | kCr0Wp | kCr0Am | kCr0Nw | kCr0Cd | kCr0Pg;

/// Bits of CR4 and the CPUID feature that brings each.
struct Cr4Bit {
    u32 bits;
    u32 feature;
};
constexpr Cr4Bit kCr4Bits[] = {
    {kCr4Vme | kCr4Pvi, kFeatureVme},
    {kCr4Tsd, kFeatureTsc},
    {kCr4De, kFeatureDe},
    {kCr4Pse, kFeaturePse},
    {kCr4Pae, kFeaturePae},
    {kCr4Mce, kFeatureMce},
    {kCr4Pge, kFeaturePge},
    // OSXMMEXCPT came with SSE. Deviation: it can be set on the Pentium III, whose SSE is missing
    // here; OVMF sets both without a look at CPUID.
    {kCr4Osfxsr | kCr4Osxmmexcpt, kFeatureFxsr},
    {kCr4Pce, kFeaturePae}, // PCE came with the P6, as PAE
};

u32 allowed_cr4(const State& state)
{
    u32 allowed = 0;
    for (const Cr4Bit& row : kCr4Bits) {
        allowed |= has_feature(state, row.feature) ? row.bits : 0;
    }
    return allowed;
}

bool require_ring0(State& state)
{
    return state.cpl == 0 || fail_with(state, kGeneralProtection, 0);
}

/// The page-directory pointers at `cr3` (SDM vol. 3, 4.4.1).
bool load_pdptes(State& state, u32 cr3)
{
    constexpr u64 kReserved = 0xffff'fff0'0000'01e6;
    std::array<u64, 4> loaded{};
    for (unsigned i = 0; i < loaded.size(); ++i) {
        loaded[i] = world(state).memory->read_int((cr3 & ~u32{31}) + i * 8, 8);
        if ((loaded[i] & 1) != 0 && (loaded[i] & kReserved) != 0) {
            return fail_with(state, kGeneralProtection, 0);
        }
    }
    state.pdpte = loaded;
    return true;
}

bool set_cr0(State& state, u32 value)
{
    value = (value & kCr0Writable) | kCr0Et;
    const bool bad = ((value & kCr0Pg) != 0 && (value & kCr0Pe) == 0) ||
                     ((value & kCr0Nw) != 0 && (value & kCr0Cd) == 0);
    if (bad) {
        return fail_with(state, kGeneralProtection, 0);
    }
    const u32 changed = value ^ state.cr0;
    const bool paging_on = (changed & value & kCr0Pg) != 0;
    if (paging_on && (state.cr4 & kCr4Pae) != 0 && !load_pdptes(state, state.cr3)) {
        return false;
    }
    state.cr0 = value;
    if ((changed & (kCr0Pe | kCr0Wp | kCr0Pg)) != 0) {
        flush_tlb(state, true);
    }
    update_mode(state);
    return true;
}

bool set_cr4(State& state, u32 value)
{
    if ((value & ~allowed_cr4(state)) != 0) {
        return fail_with(state, kGeneralProtection, 0);
    }
    const u32 changed = value ^ state.cr4;
    constexpr u32 kPagingBits = kCr4Pse | kCr4Pae | kCr4Pge;
    if ((changed & kPagingBits) != 0 && (value & kCr4Pae) != 0 && (state.cr0 & kCr0Pg) != 0 &&
        !load_pdptes(state, state.cr3)) {
        return false;
    }
    state.cr4 = value;
    if ((changed & kPagingBits) != 0) {
        flush_tlb(state, true);
    }
    return true;
}

u32 helper_mov_from_cr(State& state, u32 a, u32, u32)
{
    if (!require_ring0(state)) {
        return 0;
    }
    switch (a) {
    case 0:
        return state.cr0;
    case 2:
        return state.cr2;
    case 3:
        return state.cr3;
    case 4:
        return state.cr4;
    default:
        raise_fault(state, kInvalidOpcode);
        return 0;
    }
}

u32 helper_mov_to_cr(State& state, u32 a, u32 b, u32)
{
    if (!require_ring0(state)) {
        return 0;
    }
    switch (a) {
    case 0:
        set_cr0(state, b);
        break;
    case 2:
        state.cr2 = b;
        break;
    case 3:
        load_cr3(state, b);
        break;
    case 4:
        set_cr4(state, b);
        break;
    default:
        raise_fault(state, kInvalidOpcode);
        break;
    }
    return 0;
}

/// DR4 and DR5 are DR6 and DR7 unless CR4.DE (SDM vol. 3, 17.2.2). False on a fault.
bool check_debug_register(State& state, u32& number)
{
    if ((number == 4 || number == 5)) {
        if ((state.cr4 & kCr4De) != 0) {
            raise_fault(state, kInvalidOpcode);
            return false;
        }
        number += 2;
    }
    if (!require_ring0(state)) {
        return false;
    }
    if ((state.dr7 & 0x2000) != 0) { // GD
        state.dr6 |= 0x2000;         // BD
        raise_fault(state, kDebug);
        return false;
    }
    return true;
}

u32 helper_mov_from_dr(State& state, u32 a, u32, u32)
{
    if (!check_debug_register(state, a)) {
        return 0;
    }
    return a < 4 ? state.dr[a] : a == 6 ? state.dr6 : state.dr7;
}

u32 helper_mov_to_dr(State& state, u32 a, u32 b, u32)
{
    if (!check_debug_register(state, a)) {
        return 0;
    }
    if (a < 4) {
        state.dr[a] = b;
    } else if (a == 6) {
        state.dr6 = (b & 0xe00f) | 0xffff'0ff0;
    } else {
        state.dr7 = (b & 0xffff'2fff) | 0x400;
    }
    state.attention |= needs_single_step(state) ? 1 : 0;
    return 0;
}

u32 helper_lmsw(State& state, u32 a, u32, u32)
{
    if (require_ring0(state)) {
        // PE can be set but not cleared.
        const u32 low = (a & 0xf) | (state.cr0 & kCr0Pe);
        set_cr0(state, (state.cr0 & ~u32{0xf}) | low);
    }
    return 0;
}

u32 helper_smsw(State& state, u32, u32, u32)
{
    return state.cr0;
}

u32 helper_clts(State& state, u32, u32, u32)
{
    if (require_ring0(state)) {
        state.cr0 &= ~kCr0Ts;
        update_mode(state);
    }
    return 0;
}

u32 helper_invlpg(State& state, u32 a, u32, u32)
{
    if (require_ring0(state)) {
        flush_tlb_page(state, a);
    }
    return 0;
}

u32 helper_wbinvd(State& state, u32, u32, u32)
{
    require_ring0(state);
    return 0;
}

bool virtual_interrupts(const State& state)
{
    const u32 enabling = v86_mode(state) ? kCr4Vme : kCr4Pvi;
    return state.cpl == 3 && iopl(state) < 3 && (state.cr0 & kCr0Pe) != 0 &&
           (state.cr4 & enabling) != 0;
}

bool may_change_if(const State& state)
{
    return (state.cr0 & kCr0Pe) == 0 || state.cpl <= iopl(state);
}

u32 helper_cli(State& state, u32, u32, u32)
{
    if (may_change_if(state)) {
        state.eflags &= ~kIf;
    } else if (virtual_interrupts(state)) {
        state.eflags &= ~kVif;
    } else {
        fail_with(state, kGeneralProtection, 0);
    }
    return 0;
}

u32 helper_sti(State& state, u32, u32, u32)
{
    if (may_change_if(state)) {
        if ((state.eflags & kIf) == 0) {
            state.interrupt_shadow = true;
            state.stack_loaded = false;
            state.eflags |= kIf;
        }
        state.attention |= 1;
    } else if (virtual_interrupts(state) && (state.eflags & kVip) == 0) {
        state.eflags |= kVif;
    } else {
        fail_with(state, kGeneralProtection, 0);
    }
    return 0;
}

u32 helper_pushf(State& state, u32, u32, u32 c)
{
    const u32 flags = state.full_eflags() & ~(kVm | kRf);
    if (!v86_mode(state) || iopl(state) == 3) {
        return flags;
    }
    if (!virtual_interrupts(state) || c == 4) {
        fail_with(state, kGeneralProtection, 0);
        return 0;
    }
    return (flags & ~kIf) | kIopl | ((flags & kVif) != 0 ? kIf : 0);
}

/// POPF in virtual-8086 mode with IOPL below 3.
bool popf_virtual(State& state, u32 value, u32 size)
{
    const bool refused = !virtual_interrupts(state) || size == 4 || (value & kTf) != 0 ||
                         ((value & kIf) != 0 && (state.eflags & kVip) != 0);
    if (refused) {
        return fail_with(state, kGeneralProtection, 0);
    }
    const u32 image = (value & 0xffff) | ((value & kIf) != 0 ? kVif : 0);
    write_eflags(state, image, ir::kArithmeticFlags | kDf | kNt | kVif);
    return true;
}

u32 helper_popf(State& state, u32 a, u32, u32 c)
{
    if (v86_mode(state) && iopl(state) < 3) {
        popf_virtual(state, a, c);
        return 0;
    }
    u32 mask = ir::kArithmeticFlags | kTf | kDf | kNt | kAc | kId;
    mask |= may_change_if(state) ? kIf : 0;
    mask |= state.cpl == 0 ? kIopl : 0;
    write_eflags(state, a, c == 2 ? mask & 0xffff : mask | kRf);
    state.eflags &= ~kRf;
    recheck_interrupts(state);
    state.attention |= needs_single_step(state) ? 1 : 0;
    return 0;
}

constexpr HelperInfo kHelpers[] = {
    {"mov_from_cr", helper_mov_from_cr, kHelperMayLeave},
    {"mov_to_cr", helper_mov_to_cr, kHelperMayLeave},
    {"mov_from_dr", helper_mov_from_dr, kHelperMayLeave},
    {"mov_to_dr", helper_mov_to_dr, kHelperMayLeave},
    {"lmsw", helper_lmsw, kHelperMayLeave},
    {"smsw", helper_smsw, 0},
    {"clts", helper_clts, kHelperMayLeave},
    {"invlpg", helper_invlpg, kHelperMayLeave},
    {"wbinvd", helper_wbinvd, kHelperMayLeave},
    {"cli", helper_cli, kHelperMayLeave},
    {"sti", helper_sti, kHelperMayLeave},
    {"pushf", helper_pushf, kHelperMayLeave},
    {"popf", helper_popf, kHelperMayLeave | kHelperWritesFlags},
};

} // namespace

std::span<const HelperInfo> control_helpers()
{
    return kHelpers;
}

bool load_cr3(State& state, u32 value)
{
    const bool pae = (state.cr4 & kCr4Pae) != 0 && (state.cr0 & kCr0Pg) != 0;
    if (pae && !load_pdptes(state, value)) {
        return false;
    }
    state.cr3 = value;
    flush_tlb(state, false);
    return true;
}

} // namespace emu::x86
