#include "emulator/accel/x86_slow_paths.hpp"

#include "emulator/accel/x86_engine.hpp"

#include <algorithm>
#include <cstring>

namespace emu::accel {

namespace {

using codegen::Outcome;
using ir::ExecState;

x86::State& x86_state(ExecState& state)
{
    return static_cast<x86::State&>(state);
}

Outcome outcome_of(bool fine)
{
    return fine ? Outcome::done : Outcome::fault;
}

/// Anything goes: the instruction has a block of its own.
Outcome full_load(ExecState& state, u32 linear, unsigned size, bool user, bool write_follows,
                  u64& value)
{
    x86::State& s = x86_state(state);
    if (write_follows && !x86::check_store(s, linear, size, user)) {
        return Outcome::fault;
    }
    return outcome_of(x86::load(s, linear, size, user, value));
}

Outcome full_store(ExecState& state, u32 linear, unsigned size, bool user, u64 value)
{
    return outcome_of(x86::store(x86_state(state), linear, size, user, value));
}

bool full_segment_check(ExecState& state, unsigned segment, u32 offset, unsigned size, bool write)
{
    return x86::check_segment(x86_state(state), static_cast<x86::Seg>(segment), offset, size,
                              write);
}

/// What the bytes of an access that the TLB now maps are: RAM that translated code may touch?
Outcome classify(X86Engine& engine, u32 linear, unsigned size, bool user, bool write)
{
    x86::State& state = engine.state();
    while (size != 0) {
        const unsigned here =
            std::min<unsigned>(size, static_cast<unsigned>(kPageSize - linear % kPageSize));
        const u64 frame = state.tlb_side[user ? 1 : 0].frame[ir::tlb_index(linear)];
        const AddressSpace::Page& page = engine.world().memory->page(frame << 12);
        if (page.block == nullptr) {
            return Outcome::interpret;
        }
        const u64 offset = page.block_offset + linear % kPageSize;
        if (write && page.block->may_hold_code(offset, here) &&
            engine.cache().overlaps(page.block->data() + offset, here)) {
            return Outcome::interpret;
        }
        linear += here;
        size -= here;
    }
    return Outcome::done;
}

/// Maps the pages of a load, and tells whether the block may go on with it.
Outcome prepare_load(X86Engine& engine, u32 linear, unsigned size, bool user, bool write_follows)
{
    x86::State& s = engine.state();
    const bool mapped = write_follows ? x86::check_store(s, linear, size, user)
                                      : x86::check_load(s, linear, size, user);
    return mapped ? classify(engine, linear, size, user, write_follows) : Outcome::fault;
}

/// Generated code that loads and then stores goes through the page's addend, which it wants.
bool beside_code(x86::State& state, u32 linear, unsigned size, bool user)
{
    const u8* const host = x86::host_beside_code(state, linear, size, user);
    if (host != nullptr) {
        state.scratch[0] = reinterpret_cast<u64>(host) - linear;
    }
    return host != nullptr;
}

Outcome translated_load(ExecState& state, u32 linear, unsigned size, bool user, bool write_follows)
{
    X86Engine& engine = X86Engine::of(state);
    x86::State& s = engine.state();
    if (write_follows && beside_code(s, linear, size, user)) {
        return Outcome::done;
    }
    const Outcome outcome = prepare_load(engine, linear, size, user, write_follows);
    if (outcome != Outcome::done) {
        return outcome;
    }
    if (write_follows) {
        const ir::TlbEntry& entry = s.tlb[user ? 1 : 0][ir::tlb_index(linear)];
        const u32 last_page = (linear + size - 1) & ~u32{0xfff};
        state.scratch[0] = entry.addend;
        return entry.write_tag == last_page || beside_code(s, linear, size, user)
                   ? Outcome::done
                   : Outcome::interpret;
    }
    u64 value = 0;
    if (!x86::load(s, linear, size, user, value)) {
        return Outcome::fault;
    }
    state.scratch[0] = value;
    return Outcome::done;
}

/// The interpreter in a block of several instructions: leaves it where generated code does, so that
/// interrupts raised by a device, and changed code, take effect at the same instruction.
Outcome guarded_load(ExecState& state, u32 linear, unsigned size, bool user, bool write_follows,
                     u64& value)
{
    X86Engine& engine = X86Engine::of(state);
    x86::State& s = engine.state();
    const Outcome outcome = prepare_load(engine, linear, size, user, write_follows);
    return outcome == Outcome::done ? outcome_of(x86::load(s, linear, size, user, value)) : outcome;
}

Outcome translated_store(ExecState& state, u32 linear, unsigned size, bool user, u64 value)
{
    X86Engine& engine = X86Engine::of(state);
    x86::State& s = engine.state();
    if (x86::store_beside_code(s, linear, size, user, value)) {
        return Outcome::done;
    }
    if (!x86::check_store(s, linear, size, user)) {
        return Outcome::fault;
    }
    const Outcome outcome = classify(engine, linear, size, user, true);
    if (outcome != Outcome::done) {
        return outcome;
    }
    return outcome_of(x86::store(s, linear, size, user, value));
}

u32 report(ExecState& state, Outcome outcome, const u8* return_address)
{
    if (outcome != Outcome::done) {
        X86Engine::of(state).recover(return_address);
    }
    return static_cast<u32>(outcome);
}

u32 slow_load(ExecState* state, const u8* return_address)
{
    const u32 arg = state->call_arg;
    const auto linear = static_cast<u32>(state->scratch[0]);
    return report(
        *state, translated_load(*state, linear, arg & 0xff, (arg & 0x100) != 0, (arg & 0x200) != 0),
        return_address);
}

u32 slow_store(ExecState* state, const u8* return_address)
{
    const u32 arg = state->call_arg;
    const unsigned size = arg & 0xff;
    const u64 mask = size == 8 ? ~u64{0} : (u64{1} << (8 * size)) - 1;
    const auto linear = static_cast<u32>(state->scratch[0]);
    const bool user = (arg & 0x100) != 0;
    const u64 value = state->scratch[1] & mask;
    if (x86::store_beside_code(x86_state(*state), linear, size, user, value)) { // mostly
        return static_cast<u32>(Outcome::done);
    }
    return report(*state, translated_store(*state, linear, size, user, value), return_address);
}

u32 slow_segment(ExecState* state, const u8* return_address)
{
    const u32 arg = state->call_arg;
    const bool fine = full_segment_check(*state, arg >> 16, static_cast<u32>(state->scratch[0]),
                                         arg & 0xff, (arg & 0x200) != 0);
    return report(*state, fine ? Outcome::done : Outcome::fault, return_address);
}

} // namespace

codegen::Runtime make_x86_runtime(std::span<const codegen::Helper> helpers, bool guarded)
{
    return {.load = guarded ? guarded_load : full_load,
            .store = guarded ? translated_store : full_store,
            .check_segment = full_segment_check,
            .helpers = helpers,
            .every_access_slow = false};
}

codegen::x64::SlowPaths x86_slow_paths()
{
    return {.load = slow_load, .store = slow_store, .segment = slow_segment};
}

} // namespace emu::accel
