// What the CPU core offers to the dispatcher (accel/) and to helpers: faults, memory through the
// MMU, interrupts, mode changes.
#pragma once

#include "emulator/cpu/x86/state.hpp"
#include "emulator/machine/state.hpp"
#include "emulator/machine/x86_hooks.hpp"
#include "emulator/memory/address_space.hpp"

#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace emu::x86 {

/// Which pages instructions were fetched from since the last flush, and where those are.
///
/// Fetching sets a page's accessed bit, once per flush. When that happens must depend on nothing
/// but the guest's own steps: not on which blocks are translated, linked or evicted. So this TLB
/// never evicts; every entry into a page through fetch_page() either finds the page here or walks.
/// A block linked straight to another page skips the look-up, which is right exactly because the
/// target page was entered before (when the link was made) and no flush happened since (flushes
/// break the links).
class CodeTlb {
public:
    bool find(unsigned mode, u32 linear, u64& physical) const
    {
        const u32 frame = frames_[mode] ? frames_[mode].get()[linear >> 12] : 0;
        physical = (u64{(frame & ~kGlobal) - 1} << 12) | (linear & 0xfff);
        return frame != 0;
    }
    void fill(unsigned mode, u32 linear, u64 physical, bool global);
    void drop_page(u32 linear);
    void clear(bool global_too);
    /// Was the page filled as a global one (and is still here)?
    bool is_global(unsigned mode, u32 linear) const
    {
        return frames_[mode] && (frames_[mode].get()[linear >> 12] & kGlobal) != 0;
    }

private:
    struct Free {
        void operator()(u32* memory) const { std::free(memory); }
    };
    // One word for each of 2^20 pages, from calloc: only what is touched costs memory.
    static constexpr u32 kGlobal = 1u << 31;
    std::array<std::unique_ptr<u32, Free>, ir::kMmuModes> frames_; // physical page + 1; 0 absent
    std::vector<u32> filled_;                                      // linear pages in frames_
    std::vector<u32> filled_global_;                               // those filled as global
};

/// What helpers and slow paths reach through State::guest (an ir::ExecState field).
struct World {
    AddressSpace* memory = nullptr;
    X86Hooks* hooks = nullptr;
    u64 tsc_per_instruction = 1;

    // Provided by the dispatcher.
    void* dispatcher = nullptr;      // its own object, for its slow paths
    std::function<u64()> time_stamp; // TSC at the current instruction
    // After flushes: jumps into pages that are gone must not be taken; global ones may stay.
    std::function<void(bool global_too)> translations_changed;
    std::function<u32(u32 mode, u32 cs_base, u32 cs_limit)> intern_context;

    CodeTlb code_tlb;
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
/// An interrupt asks that is not masked: it is taken as soon as no shadow holds it off.
bool interrupt_pending(const State& state);
/// Something besides plain execution is due before the next instruction (for `attention`).
bool interrupt_deliverable(const State& state);

/// The debugger's features or alignment checks are on: run one instruction at a time, all memory
/// accesses through load() and store(), calling the three functions below around each.
bool needs_single_step(const State& state);
/// Execution breakpoints at state.pc: true if #DB was recorded (then call deliver_fault).
bool check_execution_breakpoint(State& state);
/// After an instruction that completed: clears RF, and collects what TF (as it was when the
/// instruction began) and breakpoints ask for; true if deliver_debug_trap() is due.
bool after_instruction(State& state, bool trap_flag_before);
/// #DB after an instruction for TF, task switch and data breakpoints.
void deliver_debug_trap(State& state);

enum class Access : u8 { read, write, execute };

/// Page walk for a linear address, setting accessed and dirty bits as the CPU does. On failure a
/// page fault is recorded. `user`: the access has user privilege.
bool translate(State& state, u32 linear, Access access, bool user, u64& physical);
/// Where the instruction at a linear address is fetched from, with the rights of the current mode;
/// to be called whenever execution enters a page through the dispatcher. Sees CodeTlb.
bool fetch_page(State& state, u32 linear, u64& physical);
/// The same as translate() without side effects (monitor); nothing when unmapped.
std::optional<u64> probe(const State& state, u32 linear);

/// Memory as an instruction sees it, 1, 2, 4 or 8 bytes at a linear address, page crossings
/// included; false and a recorded fault if not allowed. Fills the TLB.
bool load(State& state, u32 linear, unsigned size, bool user, u64& value);
bool store(State& state, u32 linear, unsigned size, bool user, u64 value);
/// The common slow stores: RAM whose page holds code, but not in the bytes written, and code that
/// is written as it is (programs patch the number into one INT instruction before each call, mostly
/// the same one). False: nothing was done.
bool store_beside_code(State& state, u32 linear, unsigned size, bool user, u64 value);
/// Where such RAM is, for an access that is read and then written; null: it is something else.
u8* host_beside_code(State& state, u32 linear, unsigned size, bool user);
/// Checks that a store would not fault (for instructions that write several times).
bool check_store(State& state, u32 linear, unsigned size, bool user);
/// Translates a load's pages into the TLB without reading.
bool check_load(State& state, u32 linear, unsigned size, bool user);

/// Segment limit and type checks of one access (SDM vol. 3, 5.3 and 5.5); records #GP or #SS.
bool check_segment(State& state, Seg seg, u32 offset, unsigned size, bool write);

void flush_tlb(State& state, bool global_too);
void flush_tlb_page(State& state, u32 linear);
/// Pages of this RAM block now hold translated code: stores to them must take the slow path.
void protect_code_page(State& state, const u8* host_page);

/// False and #GP(0) recorded if the current privilege may not use these ports.
bool check_io_permission(State& state, u16 port, unsigned size);

/// Guest-visible state, with flags in their canonical form. The MMU's caches are not part of it;
/// after restoring, TLBs are empty and update_mode() has run.
void visit_state(State& state, StateVisitor& visitor);

/// Recomputes mode, segment windows and context after anything they depend on changed.
void update_mode(State& state);
/// The same when nothing but this segment register changed.
void update_segment(State& state, Seg seg);

/// CPUID models by name: "486", "pentium", "pentium3"; null if unknown.
const Model* find_model(std::string_view name);
std::span<const std::string_view> model_names();

} // namespace emu::x86
