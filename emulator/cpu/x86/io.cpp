// IN and OUT. Intel SDM vol. 1, chapter 18.
#include "emulator/cpu/x86/internal.hpp"

namespace emu::x86 {

namespace {

u32 helper_in(State& state, u32 a, u32 b, u32)
{
    const u16 port = static_cast<u16>(a);
    if (!check_io_permission(state, port, b)) {
        return 0;
    }
    if (breakpoints_enabled(state)) {
        note_io_access(state, port, b);
    }
    return world(state).hooks->port_read(port, b);
}

u32 helper_out(State& state, u32 a, u32 b, u32 c)
{
    const u16 port = static_cast<u16>(a);
    if (!check_io_permission(state, port, b)) {
        return 0;
    }
    if (breakpoints_enabled(state)) {
        note_io_access(state, port, b);
    }
    const u32 mask = b >= 4 ? 0xffff'ffff : (1u << (b * 8)) - 1;
    world(state).hooks->port_write(port, b, c & mask);
    return 0;
}

constexpr HelperInfo kHelpers[] = {
    {"in", helper_in, kHelperMayLeave},
    {"out", helper_out, kHelperMayLeave},
};

} // namespace

std::span<const HelperInfo> io_helpers()
{
    return kHelpers;
}

} // namespace emu::x86
