// Faults, interrupts and their delivery. Intel SDM vol. 3, chapter 6 and 20.1.4 (real mode), 20.2-3
// (virtual-8086 mode and VME).
#include "emulator/cpu/x86/internal.hpp"

namespace emu::x86 {

namespace {

constexpr u32 kErrorIdt = 2; // the error code's index is of the IDT

/// Exceptions that make a double fault of each other (SDM vol. 3, table 6-4).
constexpr bool contributory(u8 vector)
{
    return vector == kDivideError || (vector >= kInvalidTss && vector <= kGeneralProtection);
}

constexpr bool makes_double_fault(u8 first, u8 second)
{
    return contributory(second) ? contributory(first) || first == kPageFault
                                : second == kPageFault && first == kPageFault;
}

constexpr bool is_trap(u8 vector)
{
    return vector == kDebug || vector == kBreakpoint || vector == kOverflow || vector == kNmi;
}

bool idt_fault(State& state, Vector fault, u8 vector)
{
    return fail_with(state, fault, u32{vector} * 8 + kErrorIdt);
}

/// Through a real-mode vector table at `table`; also VME's redirected INT n, with the table at 0.
bool deliver_through_vectors(State& state, u32 table, const Event& event, u32 flags_image,
                             u32 clear)
{
    u32 target = 0;
    const bool v86 = v86_mode(state);
    u64 wide = 0;
    if (!load(state, table + u32{event.vector} * 4, 4, v86, wide)) {
        return false;
    }
    target = static_cast<u32>(wide);
    Stack stack{state};
    if (!stack.push(flags_image, 2) || !stack.push(state.seg[kCs].selector, 2) ||
        !stack.push(event.return_eip, 2)) {
        return false;
    }
    const u32 offset = target & 0xffff;
    if (offset > (v86 ? 0xffffu : state.seg[kCs].limit)) {
        return fail_with(state, kGeneralProtection, 0);
    }
    stack.commit_pointer();
    load_real_segment(state, kCs, static_cast<u16>(target >> 16));
    state.pc = offset;
    write_eflags(state, 0, clear);
    return true;
}

bool deliver_real(State& state, const Event& event)
{
    if (u32{event.vector} * 4 + 3 > state.idtr.limit) {
        return idt_fault(state, kGeneralProtection, event.vector);
    }
    const u32 image = state.full_eflags() & 0xffff;
    return deliver_through_vectors(state, state.idtr.base, event, image, kTf | kIf | kRf | kAc);
}

struct Entry {
    Descriptor gate;
    u16 selector = 0;
    Descriptor code;
    u32 offset = 0;
    unsigned size = 4;
};

bool read_gate(State& state, const Event& event, Descriptor& gate)
{
    const u32 offset = u32{event.vector} * 8;
    if (offset + 7 > state.idtr.limit) {
        return idt_fault(state, kGeneralProtection, event.vector);
    }
    if (!read_system(state, state.idtr.base + offset, 4, gate.low) ||
        !read_system(state, state.idtr.base + offset + 4, 4, gate.high)) {
        return false;
    }
    switch (gate.system_type()) {
    case kTaskGate:
    case kInterruptGate16:
    case kTrapGate16:
    case kInterruptGate32:
    case kTrapGate32:
        break;
    default:
        return idt_fault(state, kGeneralProtection, event.vector);
    }
    if (event.software && gate.dpl() < state.cpl) {
        return idt_fault(state, kGeneralProtection, event.vector);
    }
    return gate.present() || idt_fault(state, kSegmentNotPresent, event.vector);
}

bool read_handler(State& state, Entry& entry)
{
    entry.selector = entry.gate.gate_selector();
    entry.offset = entry.gate.gate_offset();
    entry.size = entry.gate.gate_is_32() ? 4 : 2;
    if (is_null(entry.selector)) {
        return fail_with(state, kGeneralProtection, 0);
    }
    if (!read_descriptor(state, entry.selector, kGeneralProtection, entry.code)) {
        return false;
    }
    if (!entry.code.is_code() || entry.code.dpl() > state.cpl) {
        return fail_with_selector(state, kGeneralProtection, entry.selector);
    }
    return entry.code.present() || fail_with_selector(state, kSegmentNotPresent, entry.selector);
}

bool push_frame(State& state, Stack& stack, const Event& event, unsigned size)
{
    const u32 flags = state.full_eflags() | (event.resume ? kRf : 0);
    return stack.push(flags, size) && stack.push(state.seg[kCs].selector, size) &&
           stack.push(event.return_eip, size) &&
           (!event.error_code || stack.push(*event.error_code, size));
}

/// Flags and code segment of the handler, after everything that can fault.
void enter_handler(State& state, const Entry& entry, u8 cpl)
{
    const bool interrupt_gate = (entry.gate.system_type() & 1) == 0;
    write_eflags(state, 0, kTf | kNt | kRf | kVm | (interrupt_gate ? kIf : 0));
    set_code_segment(state, entry.selector, entry.code, cpl);
    state.pc = entry.offset;
}

bool deliver_same_level(State& state, Entry& entry, const Event& event)
{
    Stack stack{state};
    if (entry.offset > entry.code.limit()) {
        return fail_with(state, kGeneralProtection, 0);
    }
    if (!push_frame(state, stack, event, entry.size) ||
        !mark_accessed(state, entry.selector, entry.code)) {
        return false;
    }
    stack.commit_pointer();
    enter_handler(state, entry, state.cpl);
    return true;
}

bool push_v86_segments(State& state, Stack& stack, unsigned size)
{
    for (const Seg seg : {kGs, kFs, kDs, kEs}) {
        if (!stack.push(state.seg[seg].selector, size)) {
            return false;
        }
    }
    return true;
}

bool deliver_inner_level(State& state, Entry& entry, const Event& event)
{
    const u8 cpl = entry.code.dpl();
    const bool from_v86 = v86_mode(state);
    Descriptor ss;
    u16 ss_selector = 0;
    u32 esp = 0;
    if (!read_inner_stack(state, cpl, ss, ss_selector, esp)) {
        return false;
    }
    if (entry.offset > entry.code.limit()) {
        return fail_with(state, kGeneralProtection, 0);
    }
    Stack stack{state, make_segment(ss_selector, ss), esp, cpl};
    if ((from_v86 && !push_v86_segments(state, stack, entry.size)) ||
        !stack.push(state.seg[kSs].selector, entry.size) ||
        !stack.push(state.reg32(kEsp), entry.size) ||
        !push_frame(state, stack, event, entry.size) || !mark_accessed(state, ss_selector, ss) ||
        !mark_accessed(state, entry.selector, entry.code)) {
        return false;
    }
    stack.commit_pointer();
    state.seg[kSs] = make_segment(ss_selector, ss);
    if (from_v86) {
        for (const Seg seg : {kGs, kFs, kDs, kEs}) {
            state.seg[seg] = Segment{};
        }
    }
    enter_handler(state, entry, cpl);
    return true;
}

bool deliver_protected(State& state, const Event& event)
{
    Entry entry;
    if (!read_gate(state, event, entry.gate)) {
        return false;
    }
    if (entry.gate.system_type() == kTaskGate) {
        return switch_through_task_gate(state, entry.gate, TaskSwitch::call, event.return_eip,
                                        event.error_code);
    }
    if (!read_handler(state, entry)) {
        return false;
    }
    const bool inner = !entry.code.conforming() && entry.code.dpl() < state.cpl;
    if (v86_mode(state) && (!inner || entry.code.dpl() != 0)) {
        return fail_with_selector(state, kGeneralProtection, entry.selector);
    }
    return inner ? deliver_inner_level(state, entry, event)
                 : deliver_same_level(state, entry, event);
}

/// VME's bitmap in the TSS, 32 bytes below the I/O map: a clear bit keeps INT n in the 8086 program
/// (SDM vol. 3, 20.3.3). False on a fault; `redirect` tells.
bool read_redirection(State& state, u8 vector, bool& redirect)
{
    u32 io_map = 0;
    if (state.tr.limit < 0x67 || !read_system(state, state.tr.base + 0x66, 2, io_map)) {
        return state.tr.limit >= 0x67 || fail_with(state, kGeneralProtection, 0);
    }
    const u32 at = io_map - 32 + vector / 8;
    if (at > state.tr.limit) {
        return fail_with(state, kGeneralProtection, 0);
    }
    u32 bits = 0;
    if (!read_system(state, state.tr.base + at, 1, bits)) {
        return false;
    }
    redirect = (bits >> (vector % 8) & 1) == 0;
    return true;
}

/// INT n (not INT3, INTO) in virtual-8086 mode.
bool software_int_v86(State& state, const Event& event)
{
    bool redirect = false;
    if ((state.cr4 & kCr4Vme) != 0 && !read_redirection(state, event.vector, redirect)) {
        return false;
    }
    const bool virtual_if = iopl(state) < 3;
    if (!redirect) {
        return virtual_if ? fail_with(state, kGeneralProtection, 0)
                          : deliver_protected(state, event);
    }
    u32 image = state.full_eflags() & 0xffff;
    if (virtual_if) {
        image = (image & ~kIf) | kIopl | ((state.eflags & kVif) != 0 ? kIf : 0);
    }
    return deliver_through_vectors(state, 0, event, image, kTf | (virtual_if ? kVif : kIf));
}

/// After an event was delivered: in real mode it changed nothing but CS.
void update_after_event(State& state)
{
    if ((state.cr0 & kCr0Pe) == 0) {
        update_segment(state, kCs);
    } else {
        update_mode(state);
    }
}

void software_event(State& state, u8 vector, bool checks_gate, bool is_int_n)
{
    const Event event{.vector = vector,
                      .software = checks_gate,
                      .resume = false,
                      .error_code = std::nullopt,
                      .return_eip = state.next_pc};
    state.delivering_external = !checks_gate;
    const bool done =
        is_int_n && v86_mode(state) ? software_int_v86(state, event) : deliver_event(state, event);
    state.delivering_external = false;
    if (done) {
        update_after_event(state);
    }
}

u32 helper_software_int(State& state, u32 a, u32, u32)
{
    software_event(state, static_cast<u8>(a), true, true);
    return 0;
}

u32 helper_int1(State& state, u32, u32, u32)
{
    software_event(state, kDebug, false, false);
    return 0;
}

u32 helper_int3(State& state, u32, u32, u32)
{
    software_event(state, kBreakpoint, true, false);
    return 0;
}

u32 helper_into(State& state, u32, u32, u32)
{
    if ((state.full_eflags() & ir::kOf) != 0) {
        software_event(state, kOverflow, true, false);
    } else {
        state.pc = state.next_pc;
    }
    return 0;
}

u32 helper_hlt(State& state, u32, u32, u32)
{
    if (state.cpl != 0) {
        raise_fault(state, kGeneralProtection, 0);
        return 0;
    }
    state.halted = true;
    return 0;
}

u32 helper_raise_ud(State& state, u32, u32, u32)
{
    raise_fault(state, kInvalidOpcode);
    return 0;
}

u32 helper_raise_gp0(State& state, u32, u32, u32)
{
    raise_fault(state, kGeneralProtection, 0);
    return 0;
}

u32 helper_raise_nm(State& state, u32, u32, u32)
{
    raise_fault(state, kDeviceNotAvailable);
    return 0;
}

constexpr HelperInfo kHelpers[] = {
    {"software_int", helper_software_int, kHelperMayLeave | kHelperWritesFlags},
    {"int1", helper_int1, kHelperMayLeave | kHelperWritesFlags},
    {"int3", helper_int3, kHelperMayLeave | kHelperWritesFlags},
    {"into", helper_into, kHelperMayLeave | kHelperWritesFlags},
    {"hlt", helper_hlt, kHelperMayLeave},
    {"raise_ud", helper_raise_ud, kHelperMayLeave},
    {"raise_gp0", helper_raise_gp0, kHelperMayLeave},
    {"raise_nm", helper_raise_nm, kHelperMayLeave},
};

/// An event from outside the instruction stream, at an instruction boundary.
void deliver_external(State& state, u8 vector)
{
    state.halted = false;
    state.delivering_external = true;
    const Event event{.vector = vector,
                      .software = false,
                      .resume = false,
                      .error_code = std::nullopt,
                      .return_eip = state.pc};
    const bool done = deliver_event(state, event);
    state.delivering_external = false;
    if (done) {
        update_after_event(state);
    } else {
        deliver_fault(state);
    }
}

/// Takes the recorded fault out of the state, as the event to deliver for it.
Event take_fault(State& state)
{
    Event event;
    event.vector = state.fault_vector;
    event.return_eip = state.pc;
    event.resume = !is_trap(event.vector) && event.vector != kDoubleFault;
    if (state.fault_has_error_code && (state.cr0 & kCr0Pe) != 0) {
        event.error_code = state.fault_error_code;
    }
    if (event.vector == kDebug) {
        state.dr7 &= ~u32{0x2000}; // GD is off in the handler
    }
    if (event.vector == kPageFault) {
        state.cr2 = state.fault_address;
    }
    state.fault_pending = false;
    return event;
}

} // namespace

std::span<const HelperInfo> interrupt_helpers()
{
    return kHelpers;
}

void raise_fault(State& state, Vector vector)
{
    state.fault_pending = true;
    state.fault_vector = vector;
    state.fault_has_error_code = false;
    state.fault_error_code = 0;
    state.leave_request = 1;
}

void raise_fault(State& state, Vector vector, u32 error_code)
{
    raise_fault(state, vector);
    state.fault_has_error_code = true;
    state.fault_error_code = error_code;
}

void raise_page_fault(State& state, u32 address, u32 error_code)
{
    raise_fault(state, kPageFault, error_code);
    state.fault_address = address;
}

bool deliver_event(State& state, const Event& event)
{
    return (state.cr0 & kCr0Pe) != 0 ? deliver_protected(state, event) : deliver_real(state, event);
}

void deliver_fault(State& state)
{
    state.interrupt_shadow = false;
    state.debug_hits &= ~u32{0xf}; // the instruction will run again
    Event event = take_fault(state);
    for (;;) {
        state.delivering_external = true;
        const bool done = deliver_event(state, event);
        state.delivering_external = false;
        state.leave_request = 0;
        if (done) {
            update_after_event(state);
            return;
        }
        const u8 first = event.vector;
        event = take_fault(state);
        if (first == kDoubleFault) {
            state.shutdown = true; // triple fault
            return;
        }
        if (makes_double_fault(first, event.vector)) {
            event.vector = kDoubleFault;
            event.resume = false;
            event.error_code.reset();
            if ((state.cr0 & kCr0Pe) != 0) {
                event.error_code = 0;
            }
        }
    }
}

bool interrupt_pending(const State& state)
{
    return (state.smi_pending && !state.in_smm) || (state.nmi_pending && !state.nmi_blocked) ||
           (state.interrupt_line && (state.eflags & kIf) != 0);
}

bool interrupt_deliverable(const State& state)
{
    return !state.shutdown && !state.interrupt_shadow && interrupt_pending(state);
}

bool take_pending_interrupt(State& state)
{
    if (state.interrupt_shadow || state.shutdown) {
        return false;
    }
    if (state.smi_pending && !state.in_smm) {
        state.smi_pending = false;
        enter_smm(state);
        return true;
    }
    if (state.nmi_pending && !state.nmi_blocked) {
        state.nmi_pending = false;
        state.nmi_blocked = true;
        deliver_external(state, kNmi);
        return true;
    }
    if (state.interrupt_line && (state.eflags & kIf) != 0) {
        const int vector = world(state).hooks->acknowledge_interrupt();
        if (vector < 0) {
            return false;
        }
        deliver_external(state, static_cast<u8>(vector));
        return true;
    }
    return false;
}

} // namespace emu::x86
