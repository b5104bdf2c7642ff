// Inner stacks from the task state segment, and the I/O permission map. Intel SDM vol. 3, 5.8.5
// (stack switching), 7.2.1 (TSS); vol. 1, 18.5.2 (I/O permission map).
#include "emulator/cpu/x86/internal.hpp"

namespace emu::x86 {

namespace {

bool tss_is_32(const State& state)
{
    return (state.tr.type & kTypeCode) != 0;
}

} // namespace

bool read_inner_stack(State& state, u8 cpl, Descriptor& ss, u16& selector, u32& esp)
{
    const bool is_32 = tss_is_32(state);
    const unsigned width = is_32 ? 4 : 2;
    const u32 at = width + u32{cpl} * 2 * width;
    if (!state.tr.valid || at + width + 1 > state.tr.limit) {
        return fail_with_selector(state, kInvalidTss, state.tr.selector);
    }
    u32 word = 0;
    if (!read_system(state, state.tr.base + at, width, esp) ||
        !read_system(state, state.tr.base + at + width, 2, word)) {
        return false;
    }
    selector = static_cast<u16>(word);
    return read_stack_segment(state, selector, cpl, kInvalidTss, ss);
}

bool check_io_permission(State& state, u16 port, unsigned size)
{
    const bool v86 = v86_mode(state);
    if ((state.cr0 & kCr0Pe) == 0 || (!v86 && state.cpl <= iopl(state))) {
        return true;
    }
    constexpr u32 kMapPointer = 0x66;
    u32 map = 0;
    if (!state.tr.valid || !tss_is_32(state) || state.tr.limit < kMapPointer + 1) {
        return fail_with(state, kGeneralProtection, 0);
    }
    if (!read_system(state, state.tr.base + kMapPointer, 2, map)) {
        return false;
    }
    // Two bytes are always read: the map must end with a byte of ones.
    const u32 at = map + port / 8;
    if (at + 1 > state.tr.limit) {
        return fail_with(state, kGeneralProtection, 0);
    }
    u32 bits = 0;
    if (!read_system(state, state.tr.base + at, 2, bits)) {
        return false;
    }
    const u32 wanted = (1u << size) - 1;
    return (bits >> (port % 8) & wanted) == 0 || fail_with(state, kGeneralProtection, 0);
}

} // namespace emu::x86
