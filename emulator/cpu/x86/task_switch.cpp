// Hardware task switches with 286 and 386 task state segments. Intel SDM vol. 3, 7.2-7.4 (table 7-1
// orders the checks, table 7-2 tells what happens to busy bit, NT and link).
#include "emulator/cpu/x86/internal.hpp"

namespace emu::x86 {

namespace {

constexpr u32 kBusyInHigh = 0x200;
constexpr u32 kCr3Offset = 0x1c;
constexpr u32 kTrapOffset = 0x64;

/// Where things are in one kind of TSS.
struct Layout {
    u32 minimum_limit;
    unsigned width; // of general registers, EIP and EFLAGS
    u32 eip;        // then EFLAGS, EAX ECX EDX EBX ESP EBP ESI EDI
    u32 segments;   // ES CS SS DS (FS GS)
    unsigned segment_stride;
    unsigned segment_count;
    u32 ldt;
};

constexpr Layout kLayout16{0x2b, 2, 0x0e, 0x22, 2, 4, 0x2a};
constexpr Layout kLayout32{0x67, 4, 0x20, 0x48, 4, 6, 0x60};

constexpr const Layout& layout_of(bool is_32)
{
    return is_32 ? kLayout32 : kLayout16;
}

/// All of a new task's state that is in its TSS.
struct TaskState {
    u32 cr3 = 0;
    u32 eip = 0;
    u32 eflags = 0;
    std::array<u32, 8> registers{};
    std::array<u16, kSegments> selectors{};
    u16 ldt = 0;
    bool trap = false;
};

bool read_task(State& state, u32 base, bool is_32, TaskState& task)
{
    const Layout& layout = layout_of(is_32);
    const auto read = [&](u32 offset, unsigned size, auto& into) {
        u32 value = 0;
        if (!read_system(state, base + offset, size, value)) {
            return false;
        }
        into = static_cast<std::remove_reference_t<decltype(into)>>(value);
        return true;
    };
    u32 at = layout.eip;
    if (!read(at, layout.width, task.eip) || !read(at + layout.width, layout.width, task.eflags)) {
        return false;
    }
    at += 2 * layout.width;
    for (u32& value : task.registers) {
        if (!read(at, layout.width, value)) {
            return false;
        }
        // The upper halves of registers are ones after a switch to a 286 task on a 386 and later.
        value |= is_32 ? 0 : 0xffff'0000;
        at += layout.width;
    }
    for (unsigned i = 0; i < layout.segment_count; ++i) {
        if (!read(layout.segments + i * layout.segment_stride, 2, task.selectors[i])) {
            return false;
        }
    }
    if (!read(layout.ldt, 2, task.ldt)) {
        return false;
    }
    u32 trap = 0;
    if (is_32 && (!read(kCr3Offset, 4, task.cr3) || !read(kTrapOffset, 2, trap))) {
        return false;
    }
    task.trap = (trap & 1) != 0;
    return true;
}

/// Checks that the fields of the old TSS can be stored, so that saving cannot fault half-way.
bool check_task_writable(State& state, u32 base, const Layout& layout)
{
    for (u32 offset = layout.eip; offset < layout.ldt; offset += layout.width) {
        if (!check_store(state, base + offset, layout.width, false)) {
            return false;
        }
    }
    return true;
}

void save_task(State& state, const Layout& layout, u32 eip, u32 eflags)
{
    const u32 base = state.tr.base;
    u32 at = base + layout.eip;
    const auto put = [&](u32 value) {
        write_system(state, at, layout.width, value);
        at += layout.width;
    };
    put(eip);
    put(eflags);
    for (unsigned n = 0; n < 8; ++n) {
        put(state.reg32(n));
    }
    for (unsigned i = 0; i < layout.segment_count; ++i) {
        write_system(state, base + layout.segments + i * layout.segment_stride, 2,
                     state.seg[i].selector);
    }
}

bool set_busy(State& state, u16 selector, bool busy)
{
    u32 linear = 0;
    u32 high = 0;
    if (!descriptor_address(state, selector & ~4, linear) ||
        !read_system(state, linear + 4, 4, high)) {
        return true; // no descriptor to change any more
    }
    return write_system(state, linear + 4, 4, busy ? high | kBusyInHigh : high & ~kBusyInHigh);
}

bool check_descriptor_writable(State& state, u16 selector)
{
    u32 linear = 0;
    return !descriptor_address(state, selector & ~4, linear) ||
           check_store(state, linear + 4, 4, false);
}

/// Checks that SS, then DS, ES, FS, GS can be loaded in the new task, and loads them.
bool load_task_segments(State& state, const TaskState& task)
{
    if (v86_mode(state)) {
        for (unsigned n = 0; n < kSegments; ++n) {
            state.seg[n] = make_v86_segment(task.selectors[n]);
        }
        return true;
    }
    const u16 cs = task.selectors[kCs];
    Descriptor code;
    if (is_null(cs)) {
        return fail_with(state, kInvalidTss, 0);
    }
    if (!read_descriptor(state, cs, kInvalidTss, code)) {
        return false;
    }
    if (!code.is_code() || (code.conforming() ? code.dpl() > rpl(cs) : code.dpl() != rpl(cs))) {
        return fail_with_selector(state, kInvalidTss, cs);
    }
    if (!code.present()) {
        return fail_with_selector(state, kSegmentNotPresent, cs);
    }
    if (!mark_accessed(state, cs, code)) {
        return false;
    }
    set_code_segment(state, cs, code, rpl(cs));
    for (const Seg seg : {kSs, kEs, kDs, kFs, kGs}) {
        if (!load_protected_segment(state, seg, task.selectors[seg], kInvalidTss)) {
            return false;
        }
    }
    return state.pc <= state.seg[kCs].limit || fail_with(state, kGeneralProtection, 0);
}

/// Registers of the new task; nothing here can fault.
void adopt_registers(State& state, u16 selector, const Descriptor& tss, const TaskState& task,
                     bool nested)
{
    state.tr = make_segment(selector, tss);
    state.tr.type |= kTypeBusyBit;
    state.cr0 |= kCr0Ts;
    state.pc = task.eip;
    for (unsigned n = 0; n < 8; ++n) {
        state.set_reg32(n, task.registers[n]);
    }
    write_eflags(state, task.eflags | (nested ? kNt : 0), 0x003f'7fd5);
    if (!breakpoints_enabled(state)) {
        state.eflags &= ~kRf; // without effect then; see needs_single_step()
    }
    state.resume_loaded = (state.eflags & kRf) != 0;
    const bool is_32 = (tss.type() & kTypeCode) != 0;
    if (!is_32) {
        write_eflags(state, 0, kVm);
    }
    for (unsigned n = 0; n < kSegments; ++n) {
        state.seg[n] = Segment{.selector = task.selectors[n]};
    }
    state.seg[kCs].limit = 0xffff'ffff;
    state.ldtr = Segment{.selector = task.ldt};
    state.cpl = v86_mode(state) ? 3 : rpl(task.selectors[kCs]);
    state.dr7 &= ~u32{0x155}; // local breakpoint enables
}

/// The part of the switch that runs in the new task. False with a fault recorded.
bool finish_in_new_task(State& state, const TaskState& task, bool is_32,
                        std::optional<u32> error_code)
{
    if (is_32 && (state.cr0 & kCr0Pg) != 0 && task.cr3 != state.cr3 && !load_cr3(state, task.cr3)) {
        return false;
    }
    if (!load_ldt(state, task.ldt, kInvalidTss) || !load_task_segments(state, task)) {
        return false;
    }
    if (error_code) {
        Stack stack{state};
        if (!stack.push(*error_code, is_32 ? 4 : 2)) {
            return false;
        }
        stack.commit_pointer();
    }
    return true;
}

} // namespace

bool switch_through_task_gate(State& state, const Descriptor& gate, TaskSwitch how, u32 return_eip,
                              std::optional<u32> error_code)
{
    const u16 selector = gate.gate_selector();
    Descriptor tss;
    if (is_null(selector) || (selector & 4) != 0) {
        return fail_with_selector(state, kGeneralProtection, selector);
    }
    if (!read_descriptor(state, selector, kGeneralProtection, tss)) {
        return false;
    }
    if (tss.system_type() != kTss16Available && tss.system_type() != kTss32Available) {
        return fail_with_selector(state, kGeneralProtection, selector);
    }
    if (!tss.present()) {
        return fail_with_selector(state, kSegmentNotPresent, selector);
    }
    return switch_task(state, selector, tss, how, return_eip, error_code);
}

bool switch_task(State& state, u16 selector, const Descriptor& descriptor, TaskSwitch how,
                 u32 return_eip, std::optional<u32> error_code)
{
    const bool is_32 = (descriptor.type() & kTypeCode) != 0;
    const Layout& old_layout = layout_of((state.tr.type & kTypeCode) != 0);
    if (descriptor.limit() < layout_of(is_32).minimum_limit) {
        return fail_with_selector(state, kInvalidTss, selector);
    }
    // Everything that can fault in the old task comes before anything is changed.
    const bool nested = how == TaskSwitch::call;
    if (!state.tr.valid || state.tr.limit < old_layout.minimum_limit) {
        return fail_with_selector(state, kInvalidTss, state.tr.selector);
    }
    TaskState task;
    if (!check_task_writable(state, state.tr.base, old_layout) ||
        !check_descriptor_writable(state, selector) ||
        !check_descriptor_writable(state, state.tr.selector) ||
        (nested && !check_store(state, descriptor.base(), 2, false)) ||
        !read_task(state, descriptor.base(), is_32, task)) {
        return false;
    }
    u32 old_eflags = state.full_eflags();
    old_eflags &= how == TaskSwitch::iret ? ~kNt : ~u32{0};
    if (how != TaskSwitch::call) {
        set_busy(state, state.tr.selector, false);
    }
    save_task(state, old_layout, return_eip, old_eflags);
    if (nested) {
        write_system(state, descriptor.base(), 2, state.tr.selector);
    }
    if (how != TaskSwitch::iret) {
        set_busy(state, selector, true);
    }
    adopt_registers(state, selector, descriptor, task, nested);
    state.debug_hits |= task.trap ? 0x8000 : 0; // BT
    update_mode(state);
    if (!finish_in_new_task(state, task, is_32, error_code)) {
        // The fault belongs to the new task, before its first instruction.
        update_mode(state);
        deliver_fault(state);
    }
    return true;
}

} // namespace emu::x86
