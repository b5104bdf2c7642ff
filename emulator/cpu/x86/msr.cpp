// Model-specific registers, the time stamp counter, SYSENTER and SYSEXIT. Intel SDM vol. 3, 2.5.7
// (SYSENTER), 11.11 (MTRRs), 15.3 (machine check), 17.15 (TSC); vol. 4, tables of P5 and P6 MSRs.
#include "emulator/cpu/x86/internal.hpp"

#include <algorithm>

namespace emu::x86 {

namespace {

constexpr u32 kMsrTsc = 0x10;
constexpr u32 kMsrApicBase = 0x1b;
constexpr u32 kMsrSysenterCs = 0x174;
constexpr u32 kMsrSysenterEsp = 0x175;
constexpr u32 kMsrSysenterEip = 0x176;
constexpr u32 kMsrMtrrCap = 0xfe;
constexpr u32 kMsrMcgCap = 0x179;

/// MSRs that only keep what is written, as runs of numbers.
struct Storage {
    u32 first;
    u32 count;
    u32 feature; // 0: any CPU with MSRs
    u64 writable;
};

constexpr u64 kAll = ~u64{0};
constexpr u64 kPhysical = 0xf'ffff'ffff;
constexpr Storage kStorage[] = {
    {0x00, 2, 0, kAll},                     // P5 machine check address and type
    {0x2a, 1, kFeaturePae, 0xffff'ffff},    // EBL_CR_POWERON
    {0x8b, 1, kFeaturePae, kAll},           // microcode signature
    {0xc1, 2, kFeaturePae, 0xff'ffff'ffff}, // performance counters
    {0x17a, 2, kFeatureMca, kAll},          // MCG_STATUS, MCG_CTL
    {0x186, 2, kFeaturePae, 0xffff'ffff},   // performance event selectors
    {0x1d9, 1, kFeaturePae, 0x7f},          // DEBUGCTL
    {0x200, 16, kFeatureMtrr, kPhysical},   // variable MTRRs
    {0x250, 1, kFeatureMtrr, kAll},         // fixed MTRRs
    {0x258, 2, kFeatureMtrr, kAll},
    {0x268, 8, kFeatureMtrr, kAll},
    {0x277, 1, kFeaturePat, kAll},
    {0x2ff, 1, kFeatureMtrr, 0xcff}, // default memory type
    {0x400, 20, kFeatureMca, kAll},  // five banks: CTL, STATUS, ADDR, MISC
};

constexpr u32 storage_size()
{
    u32 size = 0;
    for (const Storage& run : kStorage) {
        size += run.count;
    }
    return size;
}
static_assert(storage_size() <= std::tuple_size_v<decltype(State::misc_msrs)>);

constexpr u32 kPatNumber = 0x277;
constexpr u64 kPatAtReset = 0x0007'0406'0007'0406;

/// The place of a stored MSR, or null when this CPU has none of that number.
u64* find_storage(State& state, u32 number, u64& writable)
{
    u32 at = 0;
    for (const Storage& run : kStorage) {
        if (number >= run.first && number < run.first + run.count) {
            writable = run.writable;
            const bool there = run.feature == 0 || has_feature(state, run.feature);
            return there ? &state.misc_msrs[at + number - run.first] : nullptr;
        }
        at += run.count;
    }
    return nullptr;
}

u64 time_stamp(State& state)
{
    const World& w = world(state);
    return (w.time_stamp ? w.time_stamp() : 0) + state.tsc_offset;
}

void return_in_edx_eax(State& state, u64 value)
{
    state.set_reg32(kEax, static_cast<u32>(value));
    state.set_reg32(kEdx, static_cast<u32>(value >> 32));
}

bool read_msr(State& state, u32 number, u64& value)
{
    switch (number) {
    case kMsrTsc:
        value = time_stamp(state);
        return true;
    case kMsrApicBase:
        value = world(state).hooks->apic_base();
        return has_feature(state, kFeatureApic) && value != 0;
    case kMsrSysenterCs:
        value = state.sysenter_cs;
        return has_feature(state, kFeatureSep);
    case kMsrSysenterEsp:
        value = state.sysenter_esp;
        return has_feature(state, kFeatureSep);
    case kMsrSysenterEip:
        value = state.sysenter_eip;
        return has_feature(state, kFeatureSep);
    case kMsrMtrrCap:
        value = 0x508; // eight variable ranges, fixed ranges, write combining
        return has_feature(state, kFeatureMtrr);
    case kMsrMcgCap:
        value = 0x105; // five banks, MCG_CTL present
        return has_feature(state, kFeatureMca);
    default:
        break;
    }
    u64 writable = 0;
    const u64* stored = find_storage(state, number, writable);
    value = stored == nullptr ? 0 : *stored;
    return stored != nullptr;
}

bool pat_is_valid(u64 value)
{
    for (unsigned i = 0; i < 8; ++i) {
        const u64 type = value >> (i * 8) & 0xff;
        if (type > 7 || type == 2 || type == 3) {
            return false;
        }
    }
    return true;
}

bool write_msr(State& state, u32 number, u64 value)
{
    const u32 low = static_cast<u32>(value);
    switch (number) {
    case kMsrTsc:
        // P5 and P6 keep the upper half at zero (SDM vol. 3, 17.15.3).
        state.tsc_offset += low - time_stamp(state);
        return true;
    case kMsrApicBase:
        return has_feature(state, kFeatureApic) && world(state).hooks->set_apic_base(value);
    case kMsrSysenterCs:
        state.sysenter_cs = low;
        return has_feature(state, kFeatureSep);
    case kMsrSysenterEsp:
        state.sysenter_esp = low;
        return has_feature(state, kFeatureSep);
    case kMsrSysenterEip:
        state.sysenter_eip = low;
        return has_feature(state, kFeatureSep);
    case 0x79: // microcode update trigger: there is none to load
        return has_feature(state, kFeaturePae);
    default:
        break;
    }
    u64 writable = 0;
    u64* stored = find_storage(state, number, writable);
    if (stored == nullptr || (value & ~writable) != 0 ||
        (number == kPatNumber && !pat_is_valid(value))) {
        return false;
    }
    *stored = value;
    return true;
}

bool msr_access_allowed(State& state)
{
    if (!has_feature(state, kFeatureMsr)) {
        raise_fault(state, kInvalidOpcode);
        return false;
    }
    return state.cpl == 0 || fail_with(state, kGeneralProtection, 0);
}

u32 helper_rdmsr(State& state, u32, u32, u32)
{
    u64 value = 0;
    if (!msr_access_allowed(state)) {
        return 0;
    }
    if (read_msr(state, state.reg32(kEcx), value)) {
        return_in_edx_eax(state, value);
    } else {
        fail_with(state, kGeneralProtection, 0);
    }
    return 0;
}

u32 helper_wrmsr(State& state, u32, u32, u32)
{
    const u64 value = u64{state.reg32(kEdx)} << 32 | state.reg32(kEax);
    if (msr_access_allowed(state) && !write_msr(state, state.reg32(kEcx), value)) {
        fail_with(state, kGeneralProtection, 0);
    }
    return 0;
}

u32 helper_rdtsc(State& state, u32, u32, u32)
{
    if (!has_feature(state, kFeatureTsc)) {
        raise_fault(state, kInvalidOpcode);
    } else if ((state.cr4 & kCr4Tsd) != 0 && state.cpl != 0) {
        raise_fault(state, kGeneralProtection, 0);
    } else {
        return_in_edx_eax(state, time_stamp(state));
    }
    return 0;
}

u32 helper_rdpmc(State& state, u32, u32, u32)
{
    constexpr u32 kCr4Pce = 1u << 8;
    constexpr u32 kFirstCounter = 0xc1;
    if (!has_feature(state, kFeaturePae)) {
        raise_fault(state, kInvalidOpcode);
        return 0;
    }
    u64 writable = 0;
    const u32 counter = state.reg32(kEcx);
    if (((state.cr4 & kCr4Pce) == 0 && state.cpl != 0) || counter > 1) {
        raise_fault(state, kGeneralProtection, 0);
        return 0;
    }
    return_in_edx_eax(state, *find_storage(state, kFirstCounter + counter, writable));
    return 0;
}

/// The flat segments that SYSENTER and SYSEXIT load without looking at descriptors.
void load_flat_pair(State& state, u16 cs, u8 cpl)
{
    const Segment flat{.selector = static_cast<u16>((cs & ~3) | cpl),
                       .base = 0,
                       .limit = 0xffff'ffff,
                       .type = kCodeReadable,
                       .dpl = cpl,
                       .present = true,
                       .big = true,
                       .avl = false,
                       .valid = true};
    state.seg[kCs] = flat;
    state.seg[kSs] = flat;
    state.seg[kSs].selector = static_cast<u16>(flat.selector + 8);
    state.seg[kSs].type = kDataReadWrite;
    state.cpl = cpl;
}

bool sysenter_available(State& state)
{
    if (!has_feature(state, kFeatureSep)) {
        raise_fault(state, kInvalidOpcode);
        return false;
    }
    return ((state.cr0 & kCr0Pe) != 0 && (state.sysenter_cs & 0xfffc) != 0) ||
           fail_with(state, kGeneralProtection, 0);
}

u32 helper_sysenter(State& state, u32, u32, u32)
{
    if (!sysenter_available(state)) {
        return 0;
    }
    write_eflags(state, 0, kVm | kIf | kRf);
    load_flat_pair(state, static_cast<u16>(state.sysenter_cs), 0);
    state.set_reg32(kEsp, state.sysenter_esp);
    state.pc = state.sysenter_eip;
    update_mode(state);
    return 0;
}

u32 helper_sysexit(State& state, u32, u32, u32)
{
    if (!sysenter_available(state)) {
        return 0;
    }
    if (state.cpl != 0) {
        raise_fault(state, kGeneralProtection, 0);
        return 0;
    }
    load_flat_pair(state, static_cast<u16>(state.sysenter_cs + 16), 3);
    state.set_reg32(kEsp, state.reg32(kEcx));
    state.pc = state.reg32(kEdx);
    update_mode(state);
    return 0;
}

constexpr HelperInfo kHelpers[] = {
    {"rdmsr", helper_rdmsr, kHelperMayLeave},       {"wrmsr", helper_wrmsr, kHelperMayLeave},
    {"rdtsc", helper_rdtsc, kHelperMayLeave},       {"rdpmc", helper_rdpmc, kHelperMayLeave},
    {"sysenter", helper_sysenter, kHelperMayLeave}, {"sysexit", helper_sysexit, kHelperMayLeave},
};

} // namespace

std::span<const HelperInfo> msr_helpers()
{
    return kHelpers;
}

void reset_msrs(State& state)
{
    state.misc_msrs = {};
    u64 writable = 0;
    if (u64* pat = find_storage(state, kPatNumber, writable); pat != nullptr) {
        *pat = kPatAtReset;
    }
}

} // namespace emu::x86
