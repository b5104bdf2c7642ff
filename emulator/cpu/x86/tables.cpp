// Descriptor table registers and the instructions that ask about selectors. Intel SDM vol. 2: LGDT,
// LIDT, SGDT, SIDT, LLDT, LTR, SLDT, STR, LAR, LSL, VERR, VERW, ARPL.
#include "emulator/cpu/x86/internal.hpp"

namespace emu::x86 {

namespace {

void set_zero_flag(State& state, bool zero)
{
    write_eflags(state, zero ? ir::kZf : 0, ir::kZf);
}

bool require_ring0(State& state)
{
    return state.cpl == 0 || fail_with(state, kGeneralProtection, 0);
}

/// These instructions exist in protected mode only.
bool require_protected(State& state)
{
    if (!protected_mode(state)) {
        raise_fault(state, kInvalidOpcode);
        return false;
    }
    return true;
}

void load_table(State& state, TableRegister& table, u32 offset, u32 seg, u32 size)
{
    if (!require_ring0(state)) {
        return;
    }
    const Seg segment = static_cast<Seg>(seg % kSegments);
    const u32 linear = state.seg[segment].base + offset;
    u64 limit = 0;
    u64 base = 0;
    if (!check_segment(state, segment, offset, 6, false) ||
        !load(state, linear, 2, state.cpl == 3, limit) ||
        !load(state, linear + 2, 4, state.cpl == 3, base)) {
        return;
    }
    table.limit = static_cast<u16>(limit);
    table.base = static_cast<u32>(size == 2 ? base & 0xff'ffff : base);
}

void store_table(State& state, const TableRegister& table, u32 offset, u32 seg)
{
    const Seg segment = static_cast<Seg>(seg % kSegments);
    const u32 linear = state.seg[segment].base + offset;
    const bool user = state.cpl == 3;
    if (!check_segment(state, segment, offset, 6, true) ||
        !check_store(state, linear + 2, 4, user) || !store(state, linear, 2, user, table.limit)) {
        return;
    }
    store(state, linear + 2, 4, user, table.base);
}

u32 helper_lgdt(State& state, u32 a, u32 b, u32 c)
{
    load_table(state, state.gdtr, a, b, c);
    return 0;
}

u32 helper_lidt(State& state, u32 a, u32 b, u32 c)
{
    load_table(state, state.idtr, a, b, c);
    return 0;
}

u32 helper_sgdt(State& state, u32 a, u32 b, u32)
{
    store_table(state, state.gdtr, a, b);
    return 0;
}

u32 helper_sidt(State& state, u32 a, u32 b, u32)
{
    store_table(state, state.idtr, a, b);
    return 0;
}

u32 helper_lldt(State& state, u32 a, u32, u32)
{
    if (require_protected(state) && require_ring0(state)) {
        load_ldt(state, static_cast<u16>(a), kGeneralProtection);
    }
    return 0;
}

bool load_task_register(State& state, u16 selector)
{
    constexpr u16 kLocalTable = 4;
    if (is_null(selector)) {
        return fail_with(state, kGeneralProtection, 0);
    }
    if ((selector & kLocalTable) != 0) {
        return fail_with_selector(state, kGeneralProtection, selector);
    }
    Descriptor tss;
    if (!read_descriptor(state, selector, kGeneralProtection, tss)) {
        return false;
    }
    if (tss.system_type() != kTss16Available && tss.system_type() != kTss32Available) {
        return fail_with_selector(state, kGeneralProtection, selector);
    }
    if (!tss.present()) {
        return fail_with_selector(state, kSegmentNotPresent, selector);
    }
    u32 linear = 0;
    descriptor_address(state, selector, linear);
    tss.high |= u32{kTypeBusyBit} << 8;
    if (!write_system(state, linear + 4, 4, tss.high)) {
        return false;
    }
    state.tr = make_segment(selector, tss);
    return true;
}

u32 helper_ltr(State& state, u32 a, u32, u32)
{
    if (require_protected(state) && require_ring0(state)) {
        load_task_register(state, static_cast<u16>(a));
    }
    return 0;
}

u32 helper_sldt(State& state, u32, u32, u32)
{
    return require_protected(state) ? state.ldtr.selector : 0;
}

u32 helper_str(State& state, u32, u32, u32)
{
    return require_protected(state) ? state.tr.selector : 0;
}

/// A descriptor that the current privilege may know about. False: not visible, or a page fault
/// (then State::fault_pending).
bool find_visible(State& state, u16 selector, Descriptor& descriptor)
{
    u32 linear = 0;
    if (is_null(selector) || !descriptor_address(state, selector, linear)) {
        return false;
    }
    if (!read_system(state, linear, 4, descriptor.low) ||
        !read_system(state, linear + 4, 4, descriptor.high)) {
        return false;
    }
    return descriptor.conforming() ||
           (descriptor.dpl() >= state.cpl && descriptor.dpl() >= rpl(selector));
}

constexpr u32 type_set(std::initializer_list<u8> types)
{
    u32 set = 0;
    for (const u8 type : types) {
        set |= 1u << type;
    }
    return set;
}

// System types that LAR and LSL accept (SDM vol. 2, tables of LAR and LSL).
constexpr u32 kLslTypes =
    type_set({kTss16Available, kLdt, kTss16Busy, kTss32Available, kTss32Busy});
constexpr u32 kLarTypes = kLslTypes | type_set({kCallGate16, kTaskGate, kCallGate32});

bool find_for_query(State& state, u16 selector, u32 system_types, Descriptor& descriptor)
{
    const bool visible = require_protected(state) && find_visible(state, selector, descriptor);
    if (state.fault_pending) {
        return false;
    }
    const bool accepted =
        visible && (!descriptor.is_system() || (system_types >> descriptor.system_type() & 1) != 0);
    set_zero_flag(state, accepted);
    return accepted;
}

u32 helper_lar(State& state, u32 a, u32 b, u32)
{
    Descriptor descriptor;
    return find_for_query(state, static_cast<u16>(a), kLarTypes, descriptor)
               ? descriptor.high & 0x00ff'ff00
               : b;
}

u32 helper_lsl(State& state, u32 a, u32 b, u32)
{
    Descriptor descriptor;
    return find_for_query(state, static_cast<u16>(a), kLslTypes, descriptor) ? descriptor.limit()
                                                                             : b;
}

void verify(State& state, u16 selector, bool write)
{
    Descriptor descriptor;
    const bool visible = require_protected(state) && find_visible(state, selector, descriptor);
    if (!state.fault_pending) {
        set_zero_flag(state, visible && !descriptor.is_system() &&
                                 (write ? descriptor.writable() : descriptor.readable()));
    }
}

u32 helper_verr(State& state, u32 a, u32, u32)
{
    verify(state, static_cast<u16>(a), false);
    return 0;
}

u32 helper_verw(State& state, u32 a, u32, u32)
{
    verify(state, static_cast<u16>(a), true);
    return 0;
}

u32 helper_arpl(State& state, u32 a, u32 b, u32)
{
    if (!require_protected(state)) {
        return 0;
    }
    const bool raised = (a & 3) < (b & 3);
    set_zero_flag(state, raised);
    return raised ? (a & ~3u) | (b & 3) : a;
}

/// The memory form: a = offset, b = segment, c = source. Memory is written, and must be writable,
/// only when the RPL is raised.
u32 helper_arpl_memory(State& state, u32 a, u32 b, u32 c)
{
    const auto seg = static_cast<Seg>(b);
    const u32 linear = state.seg[seg].base + a;
    const bool user = state.cpl == 3;
    u64 selector = 0;
    if (!check_segment(state, seg, a, 2, false) || !load(state, linear, 2, user, selector)) {
        return 0;
    }
    const bool raised = (selector & 3) < (c & 3);
    if (raised && (!check_segment(state, seg, a, 2, true) ||
                   !store(state, linear, 2, user, (selector & ~u64{3}) | (c & 3)))) {
        return 0;
    }
    set_zero_flag(state, raised);
    return 0;
}

constexpr u8 kQuery = kHelperMayLeave | kHelperWritesFlags;

constexpr HelperInfo kHelpers[] = {
    {"lgdt", helper_lgdt, kHelperMayLeave | kHelperReaches},
    {"lidt", helper_lidt, kHelperMayLeave | kHelperReaches},
    {"sgdt", helper_sgdt, kHelperMayLeave | kHelperReaches},
    {"sidt", helper_sidt, kHelperMayLeave | kHelperReaches},
    {"lldt", helper_lldt, kHelperMayLeave | kHelperReaches},
    {"ltr", helper_ltr, kHelperMayLeave | kHelperReaches},
    {"sldt", helper_sldt, kHelperMayLeave},
    {"str", helper_str, kHelperMayLeave},
    {"lar", helper_lar, kQuery | kHelperReaches},
    {"lsl", helper_lsl, kQuery | kHelperReaches},
    {"verr", helper_verr, kQuery | kHelperReaches},
    {"verw", helper_verw, kQuery | kHelperReaches},
    {"arpl", helper_arpl, kQuery},
    {"arpl_memory", helper_arpl_memory, kQuery | kHelperReaches},
};

} // namespace

std::span<const HelperInfo> table_helpers()
{
    return kHelpers;
}

} // namespace emu::x86
