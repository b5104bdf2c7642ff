// Segment registers: descriptor checks and loads. Intel SDM vol. 3, 3.4 and 5.2-5.7; real mode:
// 20.1; virtual-8086 mode: 20.2.
#include "emulator/cpu/x86/internal.hpp"

namespace emu::x86 {

namespace {

constexpr u64 kFourGiB = u64{1} << 32;
constexpr u16 kLocalTable = 4; // TI bit of a selector

bool expands_down(u8 type)
{
    return (type & (kTypeCode | kTypeConformingOrDown)) == kTypeConformingOrDown;
}

bool flat_data(const Segment& segment)
{
    return segment.valid && segment.present && segment.base == 0 && segment.limit == 0xffff'ffff &&
           (segment.type & (kTypeNotSystem | kTypeCode | kTypeConformingOrDown |
                            kTypeReadOrWrite)) == (kTypeNotSystem | kTypeReadOrWrite);
}

/// The windows that translated code checks against; 0 where only segment_allows() can tell.
void set_windows(State& state, unsigned n)
{
    const Segment& segment = state.seg[n];
    const bool checked = protected_mode(state);
    const u64 end = u64{segment.limit} + 1;
    bool readable = segment.valid;
    bool writable = segment.valid;
    if (expands_down(segment.type)) {
        readable = writable = false;
    } else if (checked) {
        const bool code = (segment.type & kTypeCode) != 0;
        readable = readable && (!code || (segment.type & kTypeReadOrWrite) != 0);
        writable = writable && !code && (segment.type & kTypeReadOrWrite) != 0;
    }
    state.segment_base[n] = segment.base;
    state.segment_read_end[n] = readable ? end : 0;
    state.segment_write_end[n] = writable ? end : 0;
}

/// What one segment register says about how code translates: that accesses need neither check nor
/// base (FS and GS: no check), and the width that its D/B bit stands for.
struct SegmentMode {
    u32 flat;
    u32 big;
};

constexpr std::array<SegmentMode, kSegments> kSegmentModes{{
    {kModeFlatEs, 0},
    {kModeFlatCs, kModeCode32},
    {kModeFlatSs, kModeStack32},
    {kModeFlatDs, 0},
    {kModeNoBaseOrLimitFs, 0},
    {kModeNoBaseOrLimitGs, 0},
}};

bool is_flat(const State& state, unsigned n)
{
    const Segment& segment = state.seg[n];
    switch (n) {
    case kCs:
        return segment.base == 0 && segment.limit == 0xffff'ffff;
    case kFs:
    case kGs:
        return state.segment_write_end[n] == kFourGiB;
    default:
        return flat_data(segment);
    }
}

/// The bits of `mode` that follow from one segment register and its windows.
u32 segment_mode(const State& state, unsigned n)
{
    return (is_flat(state, n) ? kSegmentModes[n].flat : 0) |
           (state.seg[n].big ? kSegmentModes[n].big : 0);
}

void set_mode(State& state, u32 mode)
{
    state.mode = mode;
    const auto& intern = world(state).intern_context;
    state.context = intern ? intern(mode, state.seg[kCs].base, state.seg[kCs].limit) : mode;
}

/// Privilege, type and presence of a descriptor for DS, ES, FS and GS (SDM vol. 3, 5.6).
bool check_data_descriptor(State& state, u16 selector, const Descriptor& descriptor, Vector vector)
{
    if (descriptor.is_system() || !descriptor.readable()) {
        return fail_with_selector(state, vector, selector);
    }
    const bool privilege_matters = !descriptor.conforming();
    if (privilege_matters && (rpl(selector) > descriptor.dpl() || state.cpl > descriptor.dpl())) {
        return fail_with_selector(state, vector, selector);
    }
    return descriptor.present() || fail_with_selector(state, kSegmentNotPresent, selector);
}

/// Nearly every load without descriptors: nothing changes but the base, so the windows' ends stay,
/// and the mode too unless a segment of 4 GiB becomes or was flat. False: it is another case.
bool move_segment(State& state, Seg seg, u16 selector)
{
    Segment& segment = state.seg[seg];
    const bool v86 = v86_mode(state);
    const bool may_be_flat = segment.limit == 0xffff'ffff && (segment.base == 0 || selector == 0);
    const bool as_in_v86 = segment.limit == 0xffff && !segment.big && !segment.avl;
    if (!segment.valid || !segment.present || segment.type != kDataReadWrite || may_be_flat ||
        (v86 && !as_in_v86)) {
        return false;
    }
    segment.selector = selector;
    segment.base = u32{selector} << 4;
    segment.dpl = v86 ? 3 : 0;
    state.segment_base[seg] = segment.base;
    return true;
}

u32 helper_load_segment(State& state, u32 a, u32 b, u32)
{
    const Seg seg = static_cast<Seg>(a);
    const u16 selector = static_cast<u16>(b);
    if (protected_mode(state)) {
        if (!load_protected_segment(state, seg, selector, kGeneralProtection)) {
            return 0;
        }
        update_segment(state, seg);
    } else if (!move_segment(state, seg, selector)) {
        load_real_segment(state, seg, selector);
        update_segment(state, seg);
    }
    if (seg == kSs) {
        state.interrupt_shadow = true;
        state.stack_loaded = true;
    }
    return 0;
}

u32 helper_get_selector(State& state, u32 a, u32, u32)
{
    return state.seg[a % kSegments].selector;
}

constexpr HelperInfo kHelpers[] = {
    {"load_segment", helper_load_segment, kHelperMayLeave | kHelperReaches},
    {"get_selector", helper_get_selector, 0},
};

} // namespace

std::span<const HelperInfo> segment_helpers()
{
    return kHelpers;
}

bool segment_allows(const State& state, const Segment& segment, u32 offset, unsigned size,
                    bool write)
{
    if (!segment.valid) {
        return false;
    }
    if (protected_mode(state)) {
        const bool code = (segment.type & kTypeCode) != 0;
        const bool flag = (segment.type & kTypeReadOrWrite) != 0;
        if ((write && (code || !flag)) || (!write && code && !flag)) {
            return false;
        }
    }
    const u64 last = u64{offset} + size - 1;
    if (expands_down(segment.type)) {
        return offset > segment.limit && last <= (segment.big ? 0xffff'ffff : 0xffff);
    }
    return last <= segment.limit;
}

bool check_segment(State& state, Seg seg, u32 offset, unsigned size, bool write)
{
    if (segment_allows(state, state.seg[seg], offset, size, write)) {
        return true;
    }
    return fail_with(state, seg == kSs ? kStackFault : kGeneralProtection, 0);
}

bool descriptor_address(const State& state, u16 selector, u32& linear)
{
    const u32 offset = selector & ~7u;
    if ((selector & kLocalTable) != 0) {
        linear = state.ldtr.base + offset;
        return state.ldtr.valid && offset + 7 <= state.ldtr.limit;
    }
    linear = state.gdtr.base + offset;
    return offset + 7 <= state.gdtr.limit;
}

bool read_descriptor(State& state, u16 selector, Vector vector, Descriptor& descriptor)
{
    u32 linear = 0;
    if (!descriptor_address(state, selector, linear)) {
        return fail_with_selector(state, vector, selector);
    }
    return read_system(state, linear, 4, descriptor.low) &&
           read_system(state, linear + 4, 4, descriptor.high);
}

bool mark_accessed(State& state, u16 selector, Descriptor& descriptor)
{
    constexpr u32 kAccessedInHigh = 0x100;
    u32 linear = 0;
    if ((descriptor.high & kAccessedInHigh) != 0 || !descriptor_address(state, selector, linear)) {
        return true;
    }
    if (!write_system(state, linear + 4, 4, descriptor.high | kAccessedInHigh)) {
        return false;
    }
    descriptor.high |= kAccessedInHigh;
    return true;
}

Segment make_segment(u16 selector, const Descriptor& descriptor)
{
    return {.selector = selector,
            .base = descriptor.base(),
            .limit = descriptor.limit(),
            .type = descriptor.type(),
            .dpl = descriptor.dpl(),
            .present = descriptor.present(),
            .big = (descriptor.high & 0x40'0000) != 0,
            .avl = (descriptor.high & 0x10'0000) != 0,
            .valid = true};
}

Segment make_v86_segment(u16 selector)
{
    return {.selector = selector,
            .base = u32{selector} << 4,
            .limit = 0xffff,
            .type = kDataReadWrite,
            .dpl = 3,
            .present = true,
            .big = false,
            .avl = false,
            .valid = true};
}

void load_real_segment(State& state, Seg seg, u16 selector)
{
    if (v86_mode(state)) {
        state.seg[seg] = make_v86_segment(selector);
        return;
    }
    // Limit and D/B stay what they were: programs rely on 4 GiB limits kept from protected mode.
    Segment& segment = state.seg[seg];
    segment.selector = selector;
    segment.base = u32{selector} << 4;
    segment.type = kDataReadWrite;
    segment.dpl = 0;
    segment.present = true;
    segment.valid = true;
}

bool read_stack_segment(State& state, u16 selector, u8 cpl, Vector vector, Descriptor& descriptor)
{
    if (is_null(selector)) {
        return fail_with(state, vector, 0);
    }
    if (!read_descriptor(state, selector, vector, descriptor)) {
        return false;
    }
    if (rpl(selector) != cpl || descriptor.is_system() || !descriptor.writable() ||
        descriptor.dpl() != cpl) {
        return fail_with_selector(state, vector, selector);
    }
    return descriptor.present() || fail_with_selector(state, kStackFault, selector);
}

bool load_protected_segment(State& state, Seg seg, u16 selector, Vector vector)
{
    Descriptor descriptor;
    if (seg == kSs) {
        if (!read_stack_segment(state, selector, state.cpl, vector, descriptor)) {
            return false;
        }
    } else if (is_null(selector)) {
        state.seg[seg] = Segment{.selector = selector};
        return true;
    } else if (!read_descriptor(state, selector, vector, descriptor) ||
               !check_data_descriptor(state, selector, descriptor, vector)) {
        return false;
    }
    if (!mark_accessed(state, selector, descriptor)) {
        return false;
    }
    state.seg[seg] = make_segment(selector, descriptor);
    return true;
}

bool load_ldt(State& state, u16 selector, Vector vector)
{
    if (is_null(selector)) {
        state.ldtr = Segment{.selector = selector};
        return true;
    }
    if ((selector & kLocalTable) != 0) {
        return fail_with_selector(state, vector, selector);
    }
    Descriptor descriptor;
    if (!read_descriptor(state, selector, vector, descriptor)) {
        return false;
    }
    if (descriptor.system_type() != kLdt) {
        return fail_with_selector(state, vector, selector);
    }
    if (!descriptor.present()) {
        const Vector absent = vector == kInvalidTss ? kInvalidTss : kSegmentNotPresent;
        return fail_with_selector(state, absent, selector);
    }
    state.ldtr = make_segment(selector, descriptor);
    return true;
}

void drop_inaccessible_segments(State& state)
{
    for (const Seg seg : {kEs, kDs, kFs, kGs}) {
        Segment& segment = state.seg[seg];
        const bool conforming = (segment.type & (kTypeCode | kTypeConformingOrDown)) ==
                                (kTypeCode | kTypeConformingOrDown);
        if (segment.valid && !conforming && segment.dpl < state.cpl) {
            segment = Segment{};
        }
    }
}

void set_code_segment(State& state, u16 selector, const Descriptor& descriptor, u8 cpl)
{
    state.seg[kCs] = make_segment(static_cast<u16>((selector & ~3) | cpl), descriptor);
    state.cpl = cpl;
}

void update_mode(State& state)
{
    u32 mode = 0;
    for (unsigned n = 0; n < kSegments; ++n) {
        set_windows(state, n);
        mode |= segment_mode(state, n);
    }
    mode |= protected_mode(state) ? u32{kModeProtected} : 0;
    mode |= v86_mode(state) ? u32{kModeV86} : 0;
    mode |= state.cpl == 3 ? u32{kModeUser} : 0;
    mode |= state.in_smm ? u32{kModeSmm} : 0;
    set_mode(state, mode);
}

void update_segment(State& state, Seg seg)
{
    set_windows(state, seg);
    const u32 own = kSegmentModes[seg].flat | kSegmentModes[seg].big;
    const u32 mode = (state.mode & ~own) | segment_mode(state, seg);
    if (mode != state.mode || seg == kCs) {
        set_mode(state, mode);
    }
}

bool Stack::push(u32 value, unsigned size)
{
    const u32 at = offset(sp_ - size);
    if (!segment_allows(state_, ss_, at, size, true)) {
        return fail_with(state_, kStackFault, error_);
    }
    if (!store(state_, ss_.base + at, size, user_, value)) {
        return false;
    }
    sp_ -= size;
    return true;
}

bool Stack::pop(u32& value, unsigned size)
{
    const u32 at = offset(sp_);
    if (!segment_allows(state_, ss_, at, size, false)) {
        return fail_with(state_, kStackFault, error_);
    }
    u64 wide = 0;
    if (!load(state_, ss_.base + at, size, user_, wide)) {
        return false;
    }
    value = static_cast<u32>(wide);
    sp_ += size;
    return true;
}

void Stack::commit_pointer() const
{
    const u32 old = state_.reg32(kEsp);
    state_.set_reg32(kEsp, ss_.big ? sp_ : (old & 0xffff'0000) | (sp_ & 0xffff));
}

bool read_system(State& state, u32 linear, unsigned size, u32& value)
{
    u64 wide = 0;
    if (!load(state, linear, size, false, wide)) {
        return false;
    }
    value = static_cast<u32>(wide);
    return true;
}

bool write_system(State& state, u32 linear, unsigned size, u32 value)
{
    return store(state, linear, size, false, value);
}

bool fail_with(State& state, Vector vector, u32 error_code)
{
    raise_fault(state, vector, error_code | (state.delivering_external ? 1 : 0));
    return false;
}

bool fail_with_selector(State& state, Vector vector, u16 selector)
{
    return fail_with(state, vector, selector & ~3u);
}

void write_eflags(State& state, u32 value, u32 mask)
{
    const u32 all = (state.full_eflags() & ~mask) | (value & mask);
    if ((mask & ir::kArithmeticFlags) != 0) {
        state.set_arithmetic_flags(all);
    }
    state.eflags = (all & ~ir::kArithmeticFlags & 0x003f'7fff) | 2;
}

void recheck_interrupts(State& state)
{
    if (interrupt_deliverable(state)) {
        state.attention |= 1;
    }
}

} // namespace emu::x86
