#include "emulator/accel/x86_cpu.hpp"

#include "emulator/accel/x86_engine.hpp"
#include "emulator/accel/x86_registers_text.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace emu::accel {

namespace {

using base::i64;

class X86Cpu final : public Cpu {
public:
    X86Cpu(const X86CpuConfig& config, AddressSpace& memory, X86Hooks& hooks, Clock& clock)
        : engine_{config, memory}, state_{engine_.state()}, clock_{clock}
    {
        x86::World& world = engine_.world();
        world.hooks = &hooks;
        world.time_stamp = [this] { return clock_.ticks_now(); };
        state_.model = x86::find_model(config.model);
        clock_.set_instruction_source([this] { return state_.retired(); });
        clock_.set_stall_listener([this](u64 instructions) { stop_earlier(instructions); });
        x86::reset(state_);
    }
    ~X86Cpu() override
    {
        clock_.set_instruction_source({});
        clock_.set_stall_listener({});
    }

    std::string_view name() const override { return "cpu0"; }
    bool halted_for_good() override { return state_.halted && (state_.eflags & x86::kIf) == 0; }
    void reset() override
    {
        // Runs between instructions or inside one that resets the machine; counting goes on.
        x86::reset(state_);
        request_stop();
    }
    void visit_state(StateVisitor& visitor) override
    {
        x86::visit_state(state_, visitor);
        if (visitor.restoring()) {
            engine_.forget_translations();
        }
    }

    Stop run(u64 until) override;
    u64 instructions() const override { return state_.retired(); }

    void request_stop() override
    {
        stop_requested_ = true;
        interrupt_execution();
    }
    void set_interrupt_line(bool level) override
    {
        state_.interrupt_line = level;
        if (level) {
            interrupt_execution();
        }
    }
    void raise_nmi() override
    {
        state_.nmi_pending = true;
        interrupt_execution();
    }
    void raise_smi() override
    {
        state_.smi_pending = true;
        interrupt_execution();
    }

    std::string registers_text() override
    {
        return x86_registers_text(state_, engine_.world().memory->a20());
    }
    std::string translator_text() override;
    std::optional<u64> virtual_to_physical(u64 address) override
    {
        return x86::probe(state_, static_cast<u32>(address));
    }
    u64 program_counter() override
    {
        return static_cast<u32>(state_.seg[x86::kCs].base + state_.pc);
    }
    std::optional<u64> register_value(std::string_view name) override
    {
        return x86_register_value(state_, name);
    }
    unsigned code_bits() override { return state_.seg[x86::kCs].big ? 32 : 16; }

private:
    /// Ends run_some() at the next instruction boundary: no budget is left behind the current one.
    void interrupt_execution()
    {
        state_.attention = 1;
        state_.until -= static_cast<u64>(state_.budget);
        state_.budget = 0;
    }
    /// Time passed in the current instruction that was worth as many: run() ends that much earlier.
    void stop_earlier(u64 instructions)
    {
        const u64 behind = state_.until - static_cast<u64>(state_.budget); // this instruction
        run_until_ -= std::min(instructions, run_until_ - std::min(run_until_, behind));
        const u64 less = std::min(instructions, static_cast<u64>(std::max<i64>(state_.budget, 0)));
        state_.until -= less;
        state_.budget -= static_cast<i64>(less);
    }
    void single_step();

    X86Engine engine_;
    x86::State& state_;
    Clock& clock_;
    u64 run_until_ = 0; // where run() is to end
    bool stop_requested_ = false;
};

Cpu::Stop X86Cpu::run(u64 until)
{
    stop_requested_ = false;
    run_until_ = until;
    for (;;) {
        if (state_.shutdown) {
            engine_.world().hooks->shutdown(); // the bus cycle: what follows is the board's choice
            return Stop::shutdown;
        }
        if (stop_requested_) {
            return Stop::requested;
        }
        const u64 retired = state_.retired();
        if (retired >= run_until_) {
            return Stop::budget;
        }
        state_.until = run_until_;
        state_.budget = static_cast<i64>(run_until_ - retired);
        state_.attention = 0;
        if (x86::interrupt_deliverable(state_) && x86::take_pending_interrupt(state_)) {
            continue;
        }
        if (state_.halted) {
            return Stop::halted;
        }
        // The shadow of STI and MOV SS matters to nobody while nothing is held off by it.
        const bool held_off = state_.interrupt_shadow && x86::interrupt_pending(state_);
        if (held_off || x86::needs_single_step(state_)) {
            single_step();
        } else {
            state_.interrupt_shadow = false;
            engine_.run_some();
        }
    }
}

void X86Cpu::single_step()
{
    const bool stepping = x86::needs_single_step(state_);
    const bool trap_flag = (state_.eflags & x86::kTf) != 0;
    state_.interrupt_shadow = false; // unless the instruction asks for it again
    if (stepping && x86::check_execution_breakpoint(state_)) {
        x86::deliver_fault(state_);
        return;
    }
    const u64 faults = engine_.faults_delivered();
    engine_.run_single(stepping);
    const bool completed = engine_.faults_delivered() == faults;
    if (stepping && completed && x86::after_instruction(state_, trap_flag)) {
        x86::deliver_debug_trap(state_);
    }
}

std::string X86Cpu::translator_text()
{
    const EngineStatistics& s = engine_.statistics();
    const auto per = [](u64 total, u64 count) {
        return count == 0 ? 0.0 : static_cast<double>(total) / static_cast<double>(count);
    };
    return fmt::format(
        "code cache          {} of {} bytes, {} blocks live, {} flushes\n"
        "translated          {} blocks, {} instructions, {} guest bytes\n"
        "front end and passes {:.0f} ns per guest instruction\n"
        "compiled            {} blocks, {} instructions, {} guest bytes, {} code bytes\n"
        "code generation     {:.0f} ns per guest instruction\n"
        "code bytes          {:.1f} per guest byte, {:.1f} per guest instruction\n"
        "blocks invalidated  {}\n"
        "TLB flushes         {}\n",
        engine_.code_bytes_used(), engine_.code_bytes_total(), engine_.live_blocks(),
        s.cache_flushes, s.blocks_translated, s.instructions_translated, s.guest_bytes_translated,
        per(s.translate_ns, s.instructions_translated), s.blocks_compiled, s.instructions_compiled,
        s.guest_bytes_compiled, s.code_bytes, per(s.compile_ns, s.instructions_compiled),
        per(s.code_bytes, s.guest_bytes_compiled), per(s.code_bytes, s.instructions_compiled),
        s.blocks_invalidated, s.tlb_flushes);
}

} // namespace

base::Result<std::unique_ptr<Cpu>> make_x86_cpu(const X86CpuConfig& config, AddressSpace& memory,
                                                X86Hooks& hooks, Clock& clock)
{
    if (x86::find_model(config.model) == nullptr) {
        std::string known;
        for (const std::string_view name : x86::model_names()) {
            known += known.empty() ? "" : ", ";
            known += name;
        }
        return base::fail(base::Errc::invalid_argument,
                          fmt::format("no such CPU model: '{}' (known: {})", config.model, known));
    }
    if (config.code_cache_bytes < kMinCodeCacheBytes) {
        return base::fail(base::Errc::invalid_argument,
                          fmt::format("a code cache of {} bytes is too small (at least {})",
                                      config.code_cache_bytes, kMinCodeCacheBytes));
    }
    return std::unique_ptr<Cpu>{std::make_unique<X86Cpu>(config, memory, hooks, clock)};
}

} // namespace emu::accel
