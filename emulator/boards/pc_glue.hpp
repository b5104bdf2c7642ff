// The small logic between a PC's chips: shared interrupt lines and the coprocessor error latch.
#pragma once

#include "emulator/devices/byte_io.hpp"
#include "emulator/machine/clock.hpp"

#include <array>
#include <vector>

namespace emu::boards {

/// Sixteen ISA interrupt lines, each the OR of the sources wired to it.
class IsaInterrupts final : public Device {
public:
    static constexpr unsigned kLines = 16;

    /// Told about every change of a line.
    using Listener = std::function<void(unsigned irq, bool level)>;
    explicit IsaInterrupts(Listener listener) : listener_{std::move(listener)} {}

    /// A new source (at most 32 a line).
    Wire source(unsigned irq);
    bool level(unsigned irq) const { return sources_[irq] != 0; }
    /// How often the line rose since power-on. For monitors: no guest sees it.
    u64 raised(unsigned irq) const { return raised_[irq]; }

    std::string_view name() const override { return "isa-interrupts"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

private:
    Listener listener_;
    std::array<u32, kLines> sources_{};    // a bit for each source that drives the line
    std::array<unsigned, kLines> wired_{}; // sources given out
    std::array<u64, kLines> raised_{};
};

/// FERR# to interrupt 13 and back through port F0h, as the AT did it.
/// Source: IBM "Personal Computer AT Technical Reference" (6280070), "80287 coprocessor".
class FpuErrorLatch final : public Device, public devices::ByteIo {
public:
    explicit FpuErrorLatch(Wire irq13) : irq13_{std::move(irq13)} {}

    std::string_view name() const override { return "fpu-error"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    void set_ferr(bool level);
    bool ignne() const { return ignne_; }

protected:
    u8 read_byte(u16) override { return 0xff; }
    void write_byte(u16 port, u8 value) override;

private:
    Wire irq13_;
    bool ferr_ = false;
    bool ignne_ = false;
};

/// Passes a falling edge on at once and a rising one a little later.
///
/// Timer interrupts need it: on a real PC the handler's first instruction runs well after the pulse
/// that reloads the count. A virtual CPU would read the count before it has moved, and Linux 2.4
/// takes that for broken hardware ("clock timer configuration lost - probably a VIA686a").
class DelayedRise final : public Device {
public:
    DelayedRise(Clock& clock, u64 delay_ns, Wire output);

    Wire input()
    {
        return Wire{[this](bool level) { set(level); }};
    }
    std::string_view name() const override { return "delayed-rise"; }
    void reset() override { rise_.cancel(); }
    void visit_state(StateVisitor& visitor) override { rise_.visit_state(visitor); }

private:
    void set(bool level);

    Wire output_;
    u64 delay_ns_;
    Timer rise_;
};

} // namespace emu::boards
