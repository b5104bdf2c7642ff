// Three machines with one program: each tier, and both with a small code cache. Whatever the
// program, they are in the same state after the same instruction.
#pragma once

#include "emulator/accel/bare_machine.hpp"
#include "emulator/accel/random_code.hpp"

#include <array>
#include <string>
#include <vector>

namespace emu::accel {

/// The CPU mode that a program starts in.
enum class Start : u8 { real, protected16, protected32, paged, user };

/// The visited fields of a CPU, readable and settable by name.
class Fields final : public StateVisitor {
public:
    struct Field {
        std::string name; // section.name
        u64 value;
        bool operator==(const Field&) const = default;
    };
    std::vector<Field> list;

    void capture(Cpu& cpu);
    void restore(Cpu& cpu);
    void set(std::string_view name, u64 value);

    void section(std::string_view name) override { section_ = name; }
    void integer(std::string_view name, u64& value) override;
    void bytes(std::string_view, std::span<u8>) override {}
    bool restoring() const override { return restoring_; }

private:
    std::string section_;
    bool restoring_ = false;
    std::size_t next_ = 0;
};

/// One machine: RAM at 0, a device at kDevice, nothing elsewhere. Port accesses take time, and a
/// timer interrupts now and then.
class Rig final : private MmioHandler {
public:
    static constexpr u32 kRam = 0x40000;
    static constexpr u32 kDevice = 0x50000;

    Rig(Tier tier, u64 code_cache_bytes);

    void load(const Fields& fields, std::span<const u8> ram);
    /// Runs to exactly that many instructions, in pieces of random length.
    void run_to(u64 instructions, Dice& pieces);
    void interrupt() { machine_.cpu->set_interrupt_line(true); }

    Fields fields();
    Cpu& cpu() { return *machine_.cpu; }
    std::span<u8> ram() { return machine_.ram.bytes(); }
    u32 device_accesses() const { return accesses_; }
    u64 now_ns() const { return machine_.clock.now_ns(); }
    bool is_down() const { return down_; }

private:
    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

    static constexpr u64 kInstructionsPerSecond = 300'000'000; // no whole nanoseconds
    static constexpr u64 kTickNs = 1000;

    BareMachine machine_;
    Timer tick_;
    u32 accesses_ = 0;
    bool down_ = false;
};

/// The fields and the RAM that a random program of a seed starts with.
struct Scene {
    Fields fields;
    std::vector<u8> ram;
    std::vector<u8> program;
};
Scene make_scene(const Fields& reset, Start start, Dice& dice);

} // namespace emu::accel
