// Far jumps, calls and returns, and IRET without a task switch. Intel SDM vol. 2 (JMP, CALL, RET,
// IRET) and vol. 3, 5.8.
#include "emulator/cpu/x86/internal.hpp"

namespace emu::x86 {

namespace {

struct Target {
    u16 selector = 0;
    u32 offset = 0;
    Descriptor code;
};

constexpr u32 narrowed(u32 offset, unsigned size)
{
    return size == 2 ? offset & 0xffff : offset;
}

bool check_offset(State& state, u32 offset, u32 limit)
{
    return offset <= limit || fail_with(state, kGeneralProtection, 0);
}

/// Real and virtual-8086 mode: no descriptors.
bool jump_real(State& state, u16 selector, u32 offset)
{
    const u32 limit = v86_mode(state) ? 0xffff : state.seg[kCs].limit;
    if (!check_offset(state, offset, limit)) {
        return false;
    }
    load_real_segment(state, kCs, selector);
    state.pc = offset;
    return true;
}

/// A code segment reached directly, by JMP or CALL.
bool check_direct_code(State& state, const Target& target)
{
    const Descriptor& code = target.code;
    const bool allowed = code.conforming()
                             ? code.dpl() <= state.cpl
                             : rpl(target.selector) <= state.cpl && code.dpl() == state.cpl;
    if (!allowed) {
        return fail_with_selector(state, kGeneralProtection, target.selector);
    }
    if (!code.present()) {
        return fail_with_selector(state, kSegmentNotPresent, target.selector);
    }
    return check_offset(state, target.offset, code.limit());
}

bool check_gate_privilege(State& state, u16 selector, const Descriptor& gate)
{
    if (gate.dpl() < state.cpl || gate.dpl() < rpl(selector)) {
        return fail_with_selector(state, kGeneralProtection, selector);
    }
    return gate.present() || fail_with_selector(state, kSegmentNotPresent, selector);
}

/// The code segment a call gate leads to; offset limits are checked by the caller.
bool read_gate_target(State& state, const Descriptor& gate, Target& target)
{
    target.selector = gate.gate_selector();
    target.offset = gate.gate_offset();
    if (is_null(target.selector)) {
        return fail_with(state, kGeneralProtection, 0);
    }
    if (!read_descriptor(state, target.selector, kGeneralProtection, target.code)) {
        return false;
    }
    if (!target.code.is_code() || target.code.dpl() > state.cpl) {
        return fail_with_selector(state, kGeneralProtection, target.selector);
    }
    return target.code.present() || fail_with_selector(state, kSegmentNotPresent, target.selector);
}

void enter_code(State& state, const Target& target, u8 cpl)
{
    set_code_segment(state, target.selector, target.code, cpl);
    state.pc = target.offset;
}

bool jump_through_call_gate(State& state, u16 selector, const Descriptor& gate)
{
    Target target;
    if (!check_gate_privilege(state, selector, gate) || !read_gate_target(state, gate, target)) {
        return false;
    }
    if (!target.code.conforming() && target.code.dpl() != state.cpl) {
        return fail_with_selector(state, kGeneralProtection, target.selector);
    }
    if (!check_offset(state, target.offset, target.code.limit()) ||
        !mark_accessed(state, target.selector, target.code)) {
        return false;
    }
    enter_code(state, target, state.cpl);
    return true;
}

/// Pushes the return address on the current stack and enters code of the same privilege.
bool call_same_level(State& state, Target& target, unsigned size)
{
    Stack stack{state};
    if (!stack.push(state.seg[kCs].selector, size) || !stack.push(state.next_pc, size) ||
        !mark_accessed(state, target.selector, target.code)) {
        return false;
    }
    stack.commit_pointer();
    enter_code(state, target, state.cpl);
    return true;
}

bool copy_parameters(State& state, Stack& to, unsigned count, unsigned size)
{
    Stack from{state};
    std::array<u32, 31> parameters{};
    for (unsigned i = 0; i < count; ++i) {
        if (!from.pop(parameters[i], size)) {
            return false;
        }
    }
    for (unsigned i = count; i-- > 0;) {
        if (!to.push(parameters[i], size)) {
            return false;
        }
    }
    return true;
}

bool call_inner_level(State& state, Target& target, const Descriptor& gate)
{
    const unsigned size = gate.gate_is_32() ? 4 : 2;
    const u8 cpl = target.code.dpl();
    Descriptor ss;
    u16 ss_selector = 0;
    u32 esp = 0;
    if (!read_inner_stack(state, cpl, ss, ss_selector, esp)) {
        return false;
    }
    Stack stack{state, make_segment(ss_selector, ss), esp, cpl};
    if (!check_offset(state, target.offset, target.code.limit()) ||
        !stack.push(state.seg[kSs].selector, size) || !stack.push(state.reg32(kEsp), size) ||
        !copy_parameters(state, stack, gate.gate_parameters(), size) ||
        !stack.push(state.seg[kCs].selector, size) || !stack.push(state.next_pc, size) ||
        !mark_accessed(state, ss_selector, ss) ||
        !mark_accessed(state, target.selector, target.code)) {
        return false;
    }
    stack.commit_pointer();
    state.seg[kSs] = make_segment(ss_selector, ss);
    enter_code(state, target, cpl);
    return true;
}

bool call_through_call_gate(State& state, u16 selector, const Descriptor& gate)
{
    Target target;
    if (!check_gate_privilege(state, selector, gate) || !read_gate_target(state, gate, target)) {
        return false;
    }
    if (!target.code.conforming() && target.code.dpl() < state.cpl) {
        return call_inner_level(state, target, gate);
    }
    return check_offset(state, target.offset, target.code.limit()) &&
           call_same_level(state, target, gate.gate_is_32() ? 4 : 2);
}

/// System descriptors that JMP and CALL accept.
bool transfer_to_system(State& state, u16 selector, const Descriptor& descriptor, TaskSwitch how)
{
    switch (descriptor.system_type()) {
    case kCallGate16:
    case kCallGate32:
        return how == TaskSwitch::jump ? jump_through_call_gate(state, selector, descriptor)
                                       : call_through_call_gate(state, selector, descriptor);
    case kTaskGate:
        return check_gate_privilege(state, selector, descriptor) &&
               switch_through_task_gate(state, descriptor, how, state.next_pc, std::nullopt);
    case kTss16Available:
    case kTss32Available:
        return check_gate_privilege(state, selector, descriptor) &&
               switch_task(state, selector, descriptor, how, state.next_pc, std::nullopt);
    default:
        return fail_with_selector(state, kGeneralProtection, selector);
    }
}

bool far_transfer(State& state, u16 selector, u32 offset, unsigned size, TaskSwitch how)
{
    Target target{.selector = selector, .offset = offset, .code = {}};
    if (is_null(selector)) {
        return fail_with(state, kGeneralProtection, 0);
    }
    if (!read_descriptor(state, selector, kGeneralProtection, target.code)) {
        return false;
    }
    if (target.code.is_system()) {
        return transfer_to_system(state, selector, target.code, how);
    }
    if (!target.code.is_code()) {
        return fail_with_selector(state, kGeneralProtection, selector);
    }
    if (!check_direct_code(state, target)) {
        return false;
    }
    if (how == TaskSwitch::call) {
        return call_same_level(state, target, size);
    }
    if (!mark_accessed(state, selector, target.code)) {
        return false;
    }
    enter_code(state, target, state.cpl);
    return true;
}

bool call_real(State& state, u16 selector, u32 offset, unsigned size)
{
    const u32 limit = v86_mode(state) ? 0xffff : state.seg[kCs].limit;
    Stack stack{state};
    if (!check_offset(state, offset, limit) || !stack.push(state.seg[kCs].selector, size) ||
        !stack.push(state.next_pc, size)) {
        return false;
    }
    stack.commit_pointer();
    return jump_real(state, selector, offset);
}

/// The code segment that RETF and IRET return to; RPL becomes the new CPL.
bool read_return_code(State& state, Target& target)
{
    if (is_null(target.selector)) {
        return fail_with(state, kGeneralProtection, 0);
    }
    if (!read_descriptor(state, target.selector, kGeneralProtection, target.code)) {
        return false;
    }
    const u8 cpl = rpl(target.selector);
    const Descriptor& code = target.code;
    if (cpl < state.cpl || !code.is_code() ||
        (code.conforming() ? code.dpl() > cpl : code.dpl() != cpl)) {
        return fail_with_selector(state, kGeneralProtection, target.selector);
    }
    return code.present() || fail_with_selector(state, kSegmentNotPresent, target.selector);
}

/// The return to outer privilege that RETF and IRET share: SS:ESP was popped from the inner stack;
/// `extra` bytes of parameters are dropped from the outer one.
bool return_outer(State& state, Target& target, u16 ss_selector, u32 esp, u32 extra)
{
    const u8 cpl = rpl(target.selector);
    Descriptor ss;
    if (!read_stack_segment(state, ss_selector, cpl, kGeneralProtection, ss) ||
        !check_offset(state, target.offset, target.code.limit()) ||
        !mark_accessed(state, target.selector, target.code) ||
        !mark_accessed(state, ss_selector, ss)) {
        return false;
    }
    Stack outer{state, make_segment(ss_selector, ss), esp + extra, cpl};
    outer.commit_pointer();
    state.seg[kSs] = make_segment(ss_selector, ss);
    enter_code(state, target, cpl);
    drop_inaccessible_segments(state);
    return true;
}

bool return_far_protected(State& state, u32 extra, unsigned size)
{
    Stack stack{state};
    Target target;
    u32 selector = 0;
    if (!stack.pop(target.offset, size) || !stack.pop(selector, size)) {
        return false;
    }
    target.selector = static_cast<u16>(selector);
    if (!read_return_code(state, target)) {
        return false;
    }
    stack.skip(extra);
    if (rpl(target.selector) == state.cpl) {
        if (!check_offset(state, target.offset, target.code.limit()) ||
            !mark_accessed(state, target.selector, target.code)) {
            return false;
        }
        stack.commit_pointer();
        enter_code(state, target, state.cpl);
        return true;
    }
    u32 esp = 0;
    u32 ss = 0;
    return stack.pop(esp, size) && stack.pop(ss, size) &&
           return_outer(state, target, static_cast<u16>(ss), esp, extra);
}

bool return_far_real(State& state, u32 extra, unsigned size)
{
    Stack stack{state};
    u32 offset = 0;
    u32 selector = 0;
    if (!stack.pop(offset, size) || !stack.pop(selector, size) ||
        !jump_real(state, static_cast<u16>(selector), offset)) {
        return false;
    }
    stack.skip(extra);
    stack.commit_pointer();
    return true;
}

/// EFLAGS bits that IRET may change at a privilege level (SDM vol. 2, IRET).
u32 iret_mask(const State& state, unsigned size)
{
    u32 mask = ir::kArithmeticFlags | kTf | kDf | kNt | kRf | kAc | kId;
    if (state.cpl == 0) {
        mask |= kIopl | kVif | kVip;
    }
    if (state.cpl <= iopl(state)) {
        mask |= kIf;
    }
    return size == 2 ? mask & 0xffff : mask;
}

/// RF has no effect without breakpoints, and keeping it would cost single-stepping after each
/// return from a page fault; see needs_single_step().
void load_eflags_image(State& state, u32 image, u32 mask)
{
    write_eflags(state, breakpoints_enabled(state) ? image : image & ~kRf, mask);
    state.resume_loaded = (state.eflags & kRf) != 0;
}

bool iret_real(State& state, unsigned size)
{
    Stack stack{state};
    u32 offset = 0;
    u32 selector = 0;
    u32 flags = 0;
    if (!stack.pop(offset, size) || !stack.pop(selector, size) || !stack.pop(flags, size) ||
        !jump_real(state, static_cast<u16>(selector), offset)) {
        return false;
    }
    stack.commit_pointer();
    const u32 mask = ir::kArithmeticFlags | kTf | kIf | kDf | kIopl | kNt | kRf | kAc | kId;
    load_eflags_image(state, flags, size == 2 ? mask & 0xffff : mask);
    return true;
}

/// IRET in virtual-8086 mode: needs IOPL 3, or VME for the 16-bit form (SDM vol. 3, 20.3).
bool iret_v86(State& state, unsigned size)
{
    const bool virtual_if = iopl(state) < 3;
    if (virtual_if && ((state.cr4 & kCr4Vme) == 0 || size == 4)) {
        return fail_with(state, kGeneralProtection, 0);
    }
    Stack stack{state};
    u32 offset = 0;
    u32 selector = 0;
    u32 flags = 0;
    if (!stack.pop(offset, size) || !stack.pop(selector, size) || !stack.pop(flags, size)) {
        return false;
    }
    if (virtual_if && ((flags & kTf) != 0 || ((flags & kIf) != 0 && (state.eflags & kVip) != 0))) {
        return fail_with(state, kGeneralProtection, 0);
    }
    if (!jump_real(state, static_cast<u16>(selector), offset)) {
        return false;
    }
    stack.commit_pointer();
    u32 mask = ir::kArithmeticFlags | kTf | kDf | kNt | kRf | kAc | kId;
    if (virtual_if) {
        mask = (mask & 0xffff) | kVif;
        flags = (flags & 0xffff) | ((flags & kIf) != 0 ? kVif : 0);
    } else {
        mask = size == 2 ? (mask | kIf) & 0xffff : mask | kIf;
    }
    load_eflags_image(state, flags, mask);
    return true;
}

/// IRETD at CPL 0 with VM set in the popped EFLAGS.
bool iret_to_v86(State& state, Stack& stack, u32 eip, u32 cs, u32 flags)
{
    std::array<u32, 6> popped{}; // ESP SS ES DS FS GS
    for (u32& value : popped) {
        if (!stack.pop(value, 4)) {
            return false;
        }
    }
    if (!check_offset(state, eip & 0xffff, 0xffff)) {
        return false;
    }
    load_eflags_image(state, flags,
                      ir::kArithmeticFlags | kTf | kIf | kDf | kIopl | kNt | kRf | kVm | kAc |
                          kVif | kVip | kId);
    constexpr std::array<Seg, 5> kOrder{kSs, kEs, kDs, kFs, kGs};
    for (unsigned i = 0; i < kOrder.size(); ++i) {
        state.seg[kOrder[i]] = make_v86_segment(static_cast<u16>(popped[i + 1]));
    }
    state.seg[kCs] = make_v86_segment(static_cast<u16>(cs));
    state.set_reg32(kEsp, popped[0]);
    state.pc = eip & 0xffff;
    state.cpl = 3;
    return true;
}

bool iret_from_task(State& state)
{
    u32 link = 0;
    if (!read_system(state, state.tr.base, 2, link)) {
        return false;
    }
    const u16 selector = static_cast<u16>(link);
    Descriptor tss;
    if ((selector & 4) != 0) {
        return fail_with_selector(state, kInvalidTss, selector);
    }
    if (!read_descriptor(state, selector, kInvalidTss, tss)) {
        return false;
    }
    if (tss.system_type() != kTss16Busy && tss.system_type() != kTss32Busy) {
        return fail_with_selector(state, kInvalidTss, selector);
    }
    if (!tss.present()) {
        return fail_with_selector(state, kSegmentNotPresent, selector);
    }
    return switch_task(state, selector, tss, TaskSwitch::iret, state.next_pc, std::nullopt);
}

bool iret_protected(State& state, unsigned size)
{
    if ((state.eflags & kNt) != 0) {
        return iret_from_task(state);
    }
    Stack stack{state};
    Target target;
    u32 selector = 0;
    u32 flags = 0;
    if (!stack.pop(target.offset, size) || !stack.pop(selector, size) || !stack.pop(flags, size)) {
        return false;
    }
    if (size == 4 && (flags & kVm) != 0 && state.cpl == 0) {
        return iret_to_v86(state, stack, target.offset, selector, flags);
    }
    target.selector = static_cast<u16>(selector);
    if (!read_return_code(state, target)) {
        return false;
    }
    const u32 mask = iret_mask(state, size);
    if (rpl(target.selector) == state.cpl) {
        if (!check_offset(state, target.offset, target.code.limit()) ||
            !mark_accessed(state, target.selector, target.code)) {
            return false;
        }
        stack.commit_pointer();
        enter_code(state, target, state.cpl);
    } else {
        u32 esp = 0;
        u32 ss = 0;
        if (!stack.pop(esp, size) || !stack.pop(ss, size) ||
            !return_outer(state, target, static_cast<u16>(ss), esp, 0)) {
            return false;
        }
    }
    load_eflags_image(state, flags, mask);
    return true;
}

/// After a transfer: without descriptors it changes nothing but CS.
void update_after_transfer(State& state, bool with_descriptors)
{
    if (with_descriptors) {
        update_mode(state);
    } else {
        update_segment(state, kCs);
    }
}

u32 helper_far_jump(State& state, u32 a, u32 b, u32 c)
{
    const u16 selector = static_cast<u16>(a);
    const u32 offset = narrowed(b, c);
    const bool with_descriptors = protected_mode(state);
    const bool done = with_descriptors ? far_transfer(state, selector, offset, c, TaskSwitch::jump)
                                       : jump_real(state, selector, offset);
    if (done) {
        update_after_transfer(state, with_descriptors);
    }
    return 0;
}

u32 helper_far_call(State& state, u32 a, u32 b, u32 c)
{
    const u16 selector = static_cast<u16>(a);
    const u32 offset = narrowed(b, c);
    const bool with_descriptors = protected_mode(state);
    const bool done = with_descriptors ? far_transfer(state, selector, offset, c, TaskSwitch::call)
                                       : call_real(state, selector, offset, c);
    if (done) {
        update_after_transfer(state, with_descriptors);
    }
    return 0;
}

u32 helper_far_ret(State& state, u32 a, u32, u32 c)
{
    const bool with_descriptors = protected_mode(state);
    const bool done =
        with_descriptors ? return_far_protected(state, a, c) : return_far_real(state, a, c);
    if (done) {
        update_after_transfer(state, with_descriptors);
    }
    return 0;
}

u32 helper_iret(State& state, u32, u32, u32 c)
{
    const bool with_descriptors = protected_mode(state);
    const bool done = v86_mode(state)    ? iret_v86(state, c)
                      : with_descriptors ? iret_protected(state, c)
                                         : iret_real(state, c);
    if (done) {
        state.nmi_blocked = false;
        update_after_transfer(state, with_descriptors);
        recheck_interrupts(state);
    }
    return 0;
}

u32 helper_check_branch(State& state, u32 a, u32, u32)
{
    check_offset(state, a, state.seg[kCs].limit);
    return 0;
}

constexpr HelperInfo kHelpers[] = {
    {"far_jump", helper_far_jump, kHelperMayLeave | kHelperWritesFlags},
    {"far_call", helper_far_call, kHelperMayLeave | kHelperWritesFlags},
    {"far_ret", helper_far_ret, kHelperMayLeave},
    {"iret", helper_iret, kHelperMayLeave | kHelperWritesFlags},
    {"check_branch", helper_check_branch, kHelperMayLeave},
};

} // namespace

std::span<const HelperInfo> far_transfer_helpers()
{
    return kHelpers;
}

} // namespace emu::x86
