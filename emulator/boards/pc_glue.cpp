#include "emulator/boards/pc_glue.hpp"

namespace emu::boards {

Wire IsaInterrupts::source(unsigned irq)
{
    const u32 bit = u32{1} << (wired_[irq]++ & 31);
    return Wire{[this, irq, bit](bool level) {
        const bool before = sources_[irq] != 0;
        sources_[irq] = level ? sources_[irq] | bit : sources_[irq] & ~bit;
        const bool after = sources_[irq] != 0;
        if (before != after) {
            raised_[irq] += after ? 1 : 0;
            listener_(irq, after);
        }
    }};
}

void IsaInterrupts::reset()
{
    for (unsigned irq = 0; irq < kLines; ++irq) {
        if (sources_[irq] != 0) {
            sources_[irq] = 0;
            listener_(irq, false);
        }
    }
}

void IsaInterrupts::visit_state(StateVisitor& visitor)
{
    visitor.section("isa-interrupts");
    visitor.field("sources", sources_);
}

DelayedRise::DelayedRise(Clock& clock, u64 delay_ns, Wire output)
    : output_{std::move(output)}, delay_ns_{delay_ns}, rise_{clock, "delayed rise",
                                                             [this] { output_.set(true); }}
{}

void DelayedRise::set(bool level)
{
    if (level) {
        rise_.arm_in(delay_ns_);
        return;
    }
    if (rise_.armed()) { // a pulse shorter than the delay still arrives
        rise_.cancel();
        output_.set(true);
    }
    output_.set(false);
}

void FpuErrorLatch::reset()
{
    ferr_ = false;
    ignne_ = false;
    irq13_.set(false);
}

void FpuErrorLatch::set_ferr(bool level)
{
    ferr_ = level;
    if (!level) {
        ignne_ = false; // IGNNE# lasts until the error is gone
    }
    irq13_.set(ferr_ && !ignne_);
}

void FpuErrorLatch::write_byte(u16, u8)
{
    // Either port clears the latch: F0h "clear busy", F1h "reset".
    ignne_ = ferr_;
    irq13_.set(false);
}

void FpuErrorLatch::visit_state(StateVisitor& visitor)
{
    visitor.section("fpu-error");
    visitor.field("ferr", ferr_);
    visitor.field("ignne", ignne_);
}

} // namespace emu::boards
