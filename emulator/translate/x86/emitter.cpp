#include "emulator/translate/x86/emitter.hpp"

#include <cstddef>

namespace emu::x86 {

namespace {

// State is not standard-layout (it extends ExecState), but every compiler we use lays it out one
// way.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
constexpr u32 kEflagsOffset = offsetof(State, eflags);
constexpr u32 kNextPcOffset = offsetof(State, next_pc);
constexpr u32 kSegmentOffset = offsetof(State, seg);
constexpr u32 kSelectorOffset = offsetof(Segment, selector);
#pragma GCC diagnostic pop

} // namespace

Slot Emitter::constant(u32 value)
{
    const Slot d = ir.temp();
    ir.mov_imm(4, d, value);
    return d;
}

Slot Emitter::copy(unsigned size, Slot from)
{
    const Slot d = ir.temp();
    ir.mov(size, d, from);
    return d;
}

Slot Emitter::unary(Op op, unsigned size, Slot a)
{
    const Slot d = ir.temp();
    ir.unary(op, size, d, a);
    return d;
}

Slot Emitter::binary(Op op, unsigned size, Slot a, Slot b)
{
    const Slot d = ir.temp();
    ir.binary(op, size, d, a, b);
    return d;
}

Slot Emitter::binary_imm(Op op, unsigned size, Slot a, u32 imm)
{
    const Slot d = ir.temp();
    ir.binary_imm(op, size, d, a, imm);
    return d;
}

Slot Emitter::lea(unsigned size, Slot base, u32 displacement)
{
    const Slot d = ir.temp();
    ir.emit({.op = Op::lea, .size = static_cast<u8>(size), .d = d, .a = base, .imm = displacement});
    return d;
}

Slot Emitter::zero_extended(unsigned size, Slot value)
{
    return size == 4 ? value : unary(Op::zx, size, value);
}

Slot Emitter::sign_extended(unsigned size, Slot value)
{
    return size == 4 ? value : unary(Op::sx, size, value);
}

Slot Emitter::carry()
{
    const Slot d = ir.temp();
    ir.emit({.op = Op::getcf, .d = d});
    return d;
}

Slot Emitter::set_if(Cond cond)
{
    const Slot d = ir.temp();
    ir.emit({.op = Op::setcc, .aux = static_cast<u8>(cond), .d = d});
    return d;
}

Slot Emitter::reg(unsigned size, unsigned number)
{
    if (size == 1 && number >= 4) {
        return unary(Op::gethi, 4, static_cast<Slot>(number - 4));
    }
    return static_cast<Slot>(number);
}

void Emitter::set_reg(unsigned size, unsigned number, Slot value)
{
    if (size == 4) {
        if (value != number) {
            ir.mov(4, static_cast<Slot>(number), value);
        }
    } else if (size == 2) {
        ir.unary(Op::put16, 4, static_cast<Slot>(number), value);
    } else if (number < 4) {
        ir.unary(Op::put8l, 4, static_cast<Slot>(number), value);
    } else {
        ir.unary(Op::put8h, 4, static_cast<Slot>(number - 4), value);
    }
}

Slot Emitter::effective_address(u32 extra)
{
    const u32 displacement = insn.displacement + extra;
    if (insn.address32 && insn.index == kNone && displacement == 0 && insn.base != kNone) {
        return insn.base;
    }
    if (insn.index == kNone && insn.base == kNone) {
        return constant(insn.address32 ? displacement : displacement & 0xffff);
    }
    const Slot d = ir.temp();
    ir.emit({.op = Op::lea,
             .size = static_cast<u8>(address_size()),
             .aux = insn.scale,
             .d = d,
             .a = insn.base,
             .b = insn.index,
             .imm = displacement});
    return d;
}

bool Emitter::is_flat(u8 segment, Intent intent) const
{
    static constexpr std::array<u32, 4> kFlat{kModeFlatEs, kModeFlatCs, kModeFlatSs, kModeFlatDs};
    return segment < kFlat.size() && has_mode(kFlat[segment]) &&
           !(segment == kCs && intent != Intent::read);
}

bool Emitter::has_no_limit(u8 segment) const
{
    return (segment == kFs && has_mode(kModeNoBaseOrLimitFs)) ||
           (segment == kGs && has_mode(kModeNoBaseOrLimitGs));
}

Slot Emitter::linear(u8 segment, Slot offset, unsigned size, Intent intent)
{
    if (is_flat(segment, intent)) {
        return offset;
    }
    if (!has_no_limit(segment)) {
        ir.emit({.op = Op::segchk,
                 .aux = segment,
                 .a = offset,
                 .imm = ir::segchk_imm(size, intent != Intent::read)});
    }
    const Slot d = ir.temp();
    ir.emit({.op = Op::segbase, .aux = segment, .d = d, .a = offset});
    return d;
}

Slot Emitter::address(unsigned size, Intent intent, u32 extra)
{
    const Slot offset = effective_address(extra);
    return linear(insn.segment, offset, size, intent);
}

Slot Emitter::load(unsigned size, Slot linear_address, Intent intent)
{
    const Slot d = ir.temp();
    ir.emit({.op = Op::ld,
             .size = static_cast<u8>(size),
             .aux = static_cast<u8>(intent == Intent::modify ? 2 : 0),
             .d = d,
             .a = linear_address});
    return d;
}

Slot Emitter::load_signed(unsigned size, Slot linear_address)
{
    const Slot d = ir.temp();
    ir.emit({.op = Op::ld, .size = static_cast<u8>(size), .aux = 1, .d = d, .a = linear_address});
    return d;
}

void Emitter::store(unsigned size, Slot linear_address, Slot value)
{
    ir.emit({.op = Op::st, .size = static_cast<u8>(size), .a = linear_address, .b = value});
}

Slot Emitter::load_operand(unsigned size, u32 extra)
{
    const Slot at = address(size, Intent::read, extra);
    return load(size, at);
}

Slot Emitter::rm(unsigned size)
{
    return insn.is_memory() ? load_operand(size) : reg(size, insn.rm);
}

Rm Emitter::modify_rm(unsigned size)
{
    if (!insn.is_memory()) {
        return {kNone, reg(size, insn.rm)};
    }
    const Slot at = address(size, Intent::modify);
    return {at, load(size, at, Intent::modify)};
}

void Emitter::write_back(unsigned size, const Rm& operand, Slot value)
{
    if (operand.address == kNone) {
        set_reg(size, insn.rm, value);
    } else {
        store(size, operand.address, value);
    }
}

void Emitter::set_rm(unsigned size, Slot value)
{
    if (insn.is_memory()) {
        const Slot at = address(size, Intent::write);
        store(size, at, value);
    } else {
        set_reg(size, insn.rm, value);
    }
}

Slot Emitter::stack_pointer(u32 displacement)
{
    if (displacement == 0 && stack_size() == 4) {
        return kEsp;
    }
    return lea(stack_size(), kEsp, displacement);
}

void Emitter::set_stack_pointer(Slot value)
{
    set_reg(stack_size(), kEsp, value);
}

void Emitter::push(unsigned size, Slot value)
{
    const Slot pointer = stack_pointer(0u - size);
    const Slot at = linear(kSs, pointer, size, Intent::write);
    store(size, at, value);
    set_stack_pointer(pointer);
}

Slot Emitter::peek(unsigned size, u32 above)
{
    const Slot pointer = stack_pointer(above);
    const Slot at = linear(kSs, pointer, size, Intent::read);
    return load(size, at);
}

void Emitter::drop(u32 bytes)
{
    if (stack_size() == 4) {
        ir.binary_imm(Op::add, 4, kEsp, kEsp, bytes);
    } else {
        set_stack_pointer(stack_pointer(bytes));
    }
}

Slot Emitter::call(u32 index, Slot a, Slot b, Slot c)
{
    must_poll = must_poll || (helper_table()[index].flags & kHelperReaches) != 0;
    const Slot d = ir.temp();
    ir.emit({.op = Op::call, .d = d, .a = a, .b = b, .c = c, .imm = index});
    return d;
}

Slot Emitter::call_constants(u32 index, u32 a)
{
    const Slot first = constant(a);
    return call(index, first);
}

Flow Emitter::load_segment(u8 segment, Slot selector, Commit other)
{
    const Slot number = constant(segment);
    call(helper<"load_segment">(), number, selector);
    if (other.value != kNone) {
        set_reg(other.size, other.number, other.value);
    }
    if (segment == kSs) { // holds off interrupts for one instruction
        return leave_to_next();
    }
    context_changed = true;
    if (is_flat(segment, Intent::read) || has_no_limit(segment)) {
        return jump_to(next); // what follows was to be translated for a flat segment
    }
    return Flow::next; // checks and bases are emitted for every access: still right
}

Flow Emitter::raise(u32 index)
{
    call(index);
    return leave();
}

Flow Emitter::undefined()
{
    return raise(helper<"raise_ud">());
}

Flow Emitter::jump_to(u32 target)
{
    if (context_changed) {
        return exit_indirect(constant(target));
    }
    ir.emit({.op = Op::exit, .imm = target});
    return Flow::end_block;
}

Flow Emitter::leave()
{
    ir.emit({.op = Op::leave});
    return Flow::end_block;
}

Flow Emitter::continue_there()
{
    const Slot there = ir.temp();
    ir.emit({.op = Op::ldstate, .d = there, .imm = offsetof(ir::ExecState, pc)});
    return exit_indirect(there);
}

Flow Emitter::leave_to_next()
{
    ir.emit({.op = Op::setpc, .b = kImm, .imm = next});
    return leave();
}

Flow Emitter::exit_indirect(Slot target)
{
    ir.emit({.op = Op::exitind, .a = target});
    return Flow::end_block;
}

void Emitter::check_target(Slot target)
{
    const bool always_inside = operand_size() == 2 && request.cs_limit >= 0xffff;
    if (!has_mode(kModeFlatCs) && !always_inside) {
        call(helper<"check_branch">(), target);
    }
}

u32 Emitter::branch_target(u32 displacement) const
{
    const u32 target = next + displacement;
    return insn.operand32 ? target : target & 0xffff;
}

Slot Emitter::selector(u8 segment)
{
    const Slot d = ir.temp();
    const auto offset = static_cast<u32>(kSegmentOffset + segment * sizeof(Segment));
    ir.emit({.op = Op::ldstate, .size = 2, .d = d, .imm = offset + kSelectorOffset});
    return d;
}

Slot Emitter::load_eflags()
{
    const Slot d = ir.temp();
    ir.emit({.op = Op::ldstate, .d = d, .imm = kEflagsOffset});
    return d;
}

void Emitter::store_eflags(Slot value)
{
    ir.emit({.op = Op::ststate, .b = value, .imm = kEflagsOffset});
}

void Emitter::store_next_pc()
{
    const Slot value = constant(next);
    ir.emit({.op = Op::ststate, .b = value, .imm = kNextPcOffset});
}

} // namespace emu::x86
