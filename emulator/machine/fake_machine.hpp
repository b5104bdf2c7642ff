// A CPU and a device that do just enough for tests of what runs them. Tests only.
#pragma once

#include "emulator/machine/clock.hpp"
#include "emulator/machine/cpu.hpp"

#include <vector>

namespace emu::testing {

/// Mixes its instruction count into `accumulator`; halts every `halt_every` instructions until the
/// interrupt line rises (0: never). The accumulator tells at which count anything happened.
class FakeCpu : public Cpu {
public:
    explicit FakeCpu(Clock& clock, u64 halt_every = 0) : halt_every_{halt_every}
    {
        clock.set_instruction_source([this] { return retired_; });
    }

    bool interrupts_off = false;

    std::string_view name() const override { return "fake-cpu"; }
    bool halted_for_good() override { return halted_ && interrupts_off; }
    void reset() override
    {
        halted_ = false;
        accumulator_ = 1;
    }
    void visit_state(StateVisitor& visitor) override
    {
        visitor.field("retired", retired_);
        visitor.field("accumulator", accumulator_);
        visitor.field("halted", halted_);
        visitor.field("interrupts", interrupts_);
    }
    Stop run(u64 until) override
    {
        stop_ = false;
        while (retired_ < until) {
            if (line_ && !in_service_) {
                in_service_ = true;
                halted_ = false;
                ++interrupts_;
                accumulator_ = accumulator_ * 31 + retired_;
            }
            if (halted_) {
                return Stop::halted;
            }
            if (stop_) {
                return Stop::requested;
            }
            ++retired_;
            accumulator_ = accumulator_ * 6364136223846793005 + 1442695040888963407;
            halted_ = halt_every_ != 0 && retired_ % halt_every_ == 0;
            if (retired_ == triple_fault_at) {
                return Stop::shutdown;
            }
        }
        return Stop::budget;
    }
    u64 instructions() const override { return retired_; }
    void request_stop() override { stop_ = true; }
    void set_interrupt_line(bool level) override
    {
        line_ = level;
        in_service_ = in_service_ && level;
    }
    void raise_nmi() override {}
    void raise_smi() override {}
    std::string registers_text() override { return "PC=0000\n"; }
    std::string translator_text() override { return "fake\n"; }
    std::optional<u64> virtual_to_physical(u64 address) override { return address; }
    u64 program_counter() override { return 0; }

    u64 interrupts() const { return interrupts_; }
    u64 accumulator() const { return accumulator_; }
    u64 triple_fault_at = 0;

private:
    u64 halt_every_;
    u64 retired_ = 0;
    u64 accumulator_ = 1;
    u64 interrupts_ = 0;
    bool halted_ = false;
    bool line_ = false;
    bool in_service_ = false;
    bool stop_ = false;
};

/// Interrupts every `period_ns`, and once for each input; remembers when input came.
class FakeDevice : public Device, public InputSink {
public:
    FakeDevice(Clock& clock, Cpu& cpu, u64 period_ns)
        : clock_{clock}, cpu_{cpu}, period_ns_{period_ns}, timer_{clock, "tick", [this] { tick(); }}
    {
        if (period_ns_ != 0) {
            timer_.arm_in(period_ns_);
        }
    }
    std::string_view name() const override { return "fake-device"; }
    void reset() override { ++resets; }
    void visit_state(StateVisitor& visitor) override
    {
        visitor.field("ticks", ticks);
        visitor.field("resets", resets);
        visitor.field("input", input);
        visitor.field("input_ns", input_ns);
        visitor.field("timer", timer_);
    }
    void deliver(std::span<const u8> payload) override
    {
        input.insert(input.end(), payload.begin(), payload.end());
        input_ns.push_back(clock_.now_ns());
        interrupt();
    }

    u64 ticks = 0;
    u64 resets = 0;
    std::vector<u8> input;
    std::vector<u64> input_ns;

private:
    void tick()
    {
        ++ticks;
        timer_.arm_in(period_ns_);
        interrupt();
    }
    void interrupt()
    {
        cpu_.set_interrupt_line(false);
        cpu_.set_interrupt_line(true);
    }

    Clock& clock_;
    Cpu& cpu_;
    u64 period_ns_;
    Timer timer_;
};

} // namespace emu::testing
