// Debug registers: breakpoints, single stepping, what is reported in DR6. Intel SDM vol. 3, 17.2
// and 17.3.
//
// While needs_single_step() the dispatcher executes single instructions through the interpreter and
// calls check_execution_breakpoint() before and after_instruction() after each; load() and store()
// note data breakpoints in State::debug_hits.
#include "emulator/cpu/x86/internal.hpp"

namespace emu::x86 {

namespace {

constexpr u32 kSingleStepBit = 0x4000; // DR6.BS

enum class Kind : u8 { execute = 0, write = 1, io = 2, access = 3 };

struct Breakpoint {
    bool enabled;
    Kind kind;
    u32 address;
    unsigned length;
};

Breakpoint breakpoint(const State& state, unsigned n)
{
    constexpr std::array<unsigned, 4> kLengths{1, 2, 8, 4}; // LEN = 10b is undefined before x86-64
    const u32 control = state.dr7 >> (16 + n * 4) & 0xf;
    const unsigned length = kLengths[control >> 2];
    return {.enabled = (state.dr7 >> (n * 2) & 3) != 0,
            .kind = static_cast<Kind>(control & 3),
            .address = state.dr[n] & ~(length - 1),
            .length = length};
}

bool overlaps(const Breakpoint& point, u32 address, unsigned size)
{
    return address < u64{point.address} + point.length && point.address < u64{address} + size;
}

} // namespace

bool needs_single_step(const State& state)
{
    return (state.eflags & (kTf | kRf)) != 0 || breakpoints_enabled(state) ||
           state.debug_hits != 0 || alignment_checked(state, state.cpl == 3);
}

bool check_execution_breakpoint(State& state)
{
    if ((state.eflags & kRf) != 0 || !breakpoints_enabled(state)) {
        return false;
    }
    const u32 linear = state.seg[kCs].base + state.pc;
    u32 hits = 0;
    for (unsigned n = 0; n < 4; ++n) {
        const Breakpoint point = breakpoint(state, n);
        if (point.enabled && point.kind == Kind::execute && point.address == linear) {
            hits |= 1u << n;
        }
    }
    if (hits == 0) {
        return false;
    }
    state.dr6 = (state.dr6 & ~u32{0xf}) | hits;
    raise_fault(state, kDebug);
    return true;
}

bool after_instruction(State& state, bool trap_flag_before)
{
    if (!state.resume_loaded) {
        state.eflags &= ~kRf;
    }
    state.resume_loaded = false;
    const bool stack_loaded = state.stack_loaded && state.interrupt_shadow;
    state.stack_loaded = false;
    if (trap_flag_before && !stack_loaded) {
        state.debug_hits |= kSingleStepBit;
    }
    return state.debug_hits != 0 && !stack_loaded;
}

void deliver_debug_trap(State& state)
{
    state.dr6 |= state.debug_hits;
    state.debug_hits = 0;
    raise_fault(state, kDebug);
    deliver_fault(state);
}

void note_data_access(State& state, u32 linear, unsigned size, bool write)
{
    for (unsigned n = 0; n < 4; ++n) {
        const Breakpoint point = breakpoint(state, n);
        const bool kind = point.kind == Kind::access || (write && point.kind == Kind::write);
        if (point.enabled && kind && overlaps(point, linear, size)) {
            state.debug_hits |= 1u << n;
        }
    }
}

void note_io_access(State& state, u16 port, unsigned size)
{
    if ((state.cr4 & kCr4De) == 0) {
        return;
    }
    for (unsigned n = 0; n < 4; ++n) {
        const Breakpoint point = breakpoint(state, n);
        if (point.enabled && point.kind == Kind::io && overlaps(point, port, size)) {
            state.debug_hits |= 1u << n;
        }
    }
}

} // namespace emu::x86
