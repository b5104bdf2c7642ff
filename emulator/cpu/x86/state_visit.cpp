// The guest-visible state of the CPU, for hashes and snapshots. Each field is listed once.
#include "emulator/cpu/x86/internal.hpp"

namespace emu::x86 {

namespace {

void visit_segment(StateVisitor& visitor, std::string_view name, Segment& segment)
{
    visitor.section(name);
    visitor.field("selector", segment.selector);
    visitor.field("base", segment.base);
    visitor.field("limit", segment.limit);
    visitor.field("type", segment.type);
    visitor.field("dpl", segment.dpl);
    visitor.field("present", segment.present);
    visitor.field("big", segment.big);
    visitor.field("avl", segment.avl);
    visitor.field("valid", segment.valid);
}

void visit_registers(State& state, StateVisitor& visitor)
{
    visitor.section("registers");
    for (ir::Slot n = 0; n < ir::kRegisters; ++n) {
        visitor.field("slot", state.slot[n]);
    }
    visitor.field("pc", state.pc);
    // The flag record has many forms of the same flags; what the guest can see is EFLAGS.
    u32 eflags = state.full_eflags();
    visitor.field("eflags", eflags);
    if (visitor.restoring()) {
        state.eflags = (eflags & ~ir::kArithmeticFlags) | 2;
        state.set_arithmetic_flags(eflags);
    }
}

void visit_system(State& state, StateVisitor& visitor)
{
    visitor.section("system");
    visitor.field("gdt_base", state.gdtr.base);
    visitor.field("gdt_limit", state.gdtr.limit);
    visitor.field("idt_base", state.idtr.base);
    visitor.field("idt_limit", state.idtr.limit);
    visitor.field("cr0", state.cr0);
    visitor.field("cr2", state.cr2);
    visitor.field("cr3", state.cr3);
    visitor.field("cr4", state.cr4);
    visitor.field("pdpte", state.pdpte);
    visitor.field("dr", state.dr);
    visitor.field("dr6", state.dr6);
    visitor.field("dr7", state.dr7);
    visitor.field("cpl", state.cpl);
    state.cpl &= 3;
    visitor.field("sysenter_cs", state.sysenter_cs);
    visitor.field("sysenter_esp", state.sysenter_esp);
    visitor.field("sysenter_eip", state.sysenter_eip);
    visitor.field("tsc_offset", state.tsc_offset);
    visitor.field("misc_msrs", state.misc_msrs);
}

void visit_events(State& state, StateVisitor& visitor)
{
    visitor.section("events");
    visitor.field("interrupt_line", state.interrupt_line);
    visitor.field("nmi_pending", state.nmi_pending);
    visitor.field("nmi_blocked", state.nmi_blocked);
    visitor.field("smi_pending", state.smi_pending);
    visitor.field("in_smm", state.in_smm);
    visitor.field("smbase", state.smbase);
    visitor.field("interrupt_shadow", state.interrupt_shadow);
    visitor.field("halted", state.halted);
    visitor.field("shutdown", state.shutdown);
    visitor.field("debug_hits", state.debug_hits);
    visitor.field("resume_loaded", state.resume_loaded);
    visitor.field("stack_loaded", state.stack_loaded);
}

void visit_x87(State& state, StateVisitor& visitor)
{
    visitor.section("x87");
    for (fpu::F80& reg : state.x87.regs) {
        visitor.field("significand", reg.significand);
        visitor.field("sign_exponent", reg.sign_exponent);
    }
    visitor.field("control", state.x87.control);
    visitor.field("status", state.x87.status);
    visitor.field("top", state.x87.top);
    visitor.field("empty", state.x87.empty);
    visitor.field("opcode", state.x87.opcode);
    visitor.field("instruction_selector", state.x87.instruction_selector);
    visitor.field("operand_selector", state.x87.operand_selector);
    visitor.field("instruction_offset", state.x87.instruction_offset);
    visitor.field("operand_offset", state.x87.operand_offset);
    state.x87.top &= 7;
}

} // namespace

void visit_state(State& state, StateVisitor& visitor)
{
    constexpr std::array<std::string_view, kSegments> kNames{"es", "cs", "ss", "ds", "fs", "gs"};
    visit_registers(state, visitor);
    for (unsigned n = 0; n < kSegments; ++n) {
        visit_segment(visitor, kNames[n], state.seg[n]);
    }
    visit_segment(visitor, "ldtr", state.ldtr);
    visit_segment(visitor, "tr", state.tr);
    visit_system(state, visitor);
    visit_x87(state, visitor);
    visit_events(state, visitor);
    if (visitor.restoring()) {
        flush_tlb(state, true);
        update_mode(state);
    }
}

} // namespace emu::x86
