// What the CPU core offers to the dispatcher (accel/) and to helpers: faults, memory through the
// MMU, interrupts, mode changes.
#pragma once

#include "emulator/cpu/x86/state.hpp"
#include "emulator/machine/x86_hooks.hpp"
#include "emulator/memory/address_space.hpp"

#include <functional>
#include <optional>
#include <span>
#include <string_view>

namespace emu::x86 {

/// What helpers and slow paths reach through State::guest (an ir::ExecState field).
struct World {
    AddressSpace* memory = nullptr;
    X86Hooks* hooks = nullptr;
    u64 tsc_per_instruction = 1;

    // Provided by the dispatcher.
    std::function<u64()> time_stamp;                  // TSC at the current instruction
    std::function<void(State&)> translations_changed; // after TLB flushes that drop jump entries
    std::function<u32(u32 mode, u32 cs_base, u32 cs_limit)> intern_context;
};

inline World& world(State& state)
{
    return *static_cast<World*>(state.guest);
}

void reset(State& state); // power-on or INIT state; keeps model and guest

/// Records a fault of the current instruction and requests to leave the block.
void raise_fault(State& state, Vector vector);
void raise_fault(State& state, Vector vector, u32 error_code);
void raise_page_fault(State& state, u32 address, u32 error_code);

/// Delivers the recorded fault (with double and triple faults), or sets `shutdown`.
void deliver_fault(State& state);
/// Hardware interrupts, NMI, SMI: true if one was taken. Call at instruction boundaries only.
bool take_pending_interrupt(State& state);
/// Something besides plain execution is due before the next instruction (for `attention`).
bool interrupt_deliverable(const State& state);
/// #DB after an instruction for TF and data breakpoints.
void deliver_debug_trap(State& state);

enum class Access : u8 { read, write, execute };

/// Page walk for a linear address, setting accessed and dirty bits as the CPU does. On failure a
/// page fault is recorded. `user`: the access has user privilege.
bool translate(State& state, u32 linear, Access access, bool user, u64& physical);
/// The same without side effects (monitor); nothing when unmapped.
std::optional<u64> probe(const State& state, u32 linear);

/// Memory as an instruction sees it, 1, 2, 4 or 8 bytes at a linear address, page crossings
/// included; false and a recorded fault if not allowed. Fills the TLB.
bool load(State& state, u32 linear, unsigned size, bool user, u64& value);
bool store(State& state, u32 linear, unsigned size, bool user, u64 value);
/// Checks that a store would not fault (for instructions that write several times).
bool check_store(State& state, u32 linear, unsigned size, bool user);

/// Segment limit and type checks of one access (SDM vol. 3, 5.3 and 5.5); records #GP or #SS.
bool check_segment(State& state, Seg seg, u32 offset, unsigned size, bool write);

void flush_tlb(State& state, bool global_too);
void flush_tlb_page(State& state, u32 linear);
/// Pages of this RAM block now hold translated code: stores to them must take the slow path.
void protect_code_page(State& state, const u8* host_page);

/// Recomputes mode, segment windows and context after anything they depend on changed.
void update_mode(State& state);

/// CPUID models by name: "486", "pentium", "pentium3"; null if unknown.
const Model* find_model(std::string_view name);
std::span<const std::string_view> model_names();

} // namespace emu::x86
