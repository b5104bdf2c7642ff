// CPUID. Intel application note AP-485; SDM vol. 2, CPUID.
#include "emulator/cpu/x86/internal.hpp"

#include <algorithm>

namespace emu::x86 {

namespace {

u32 four_letters(std::string_view text, std::size_t at)
{
    u32 value = 0;
    for (std::size_t i = 0; i < 4 && at + i < text.size(); ++i) {
        value |= u32{static_cast<u8>(text[at + i])} << (8 * i);
    }
    return value;
}

/// EAX EBX ECX EDX of a leaf; leaves above the highest one answer as that one (SDM vol. 2).
std::array<u32, 4> leaf(State& state, u32 number)
{
    const Model& model = *state.model;
    const u32 shown = std::min(number, model.max_leaf);
    if (number == 0) {
        return {model.max_leaf, four_letters(model.vendor, 0), four_letters(model.vendor, 8),
                four_letters(model.vendor, 4)};
    }
    if (shown == 1) {
        const u32 hidden = world(state).hooks->apic_enabled() ? 0 : u32{kFeatureApic};
        return {model.signature(), 0, 0, model.features & ~hidden};
    }
    return model.cache_leaf;
}

u32 helper_cpuid(State& state, u32, u32, u32)
{
    if (state.model == nullptr || state.model->max_leaf == 0) {
        raise_fault(state, kInvalidOpcode);
        return 0;
    }
    const auto values = leaf(state, state.reg32(kEax));
    state.set_reg32(kEax, values[0]);
    state.set_reg32(kEbx, values[1]);
    state.set_reg32(kEcx, values[2]);
    state.set_reg32(kEdx, values[3]);
    return 0;
}

constexpr HelperInfo kHelpers[] = {
    {"cpuid", helper_cpuid, kHelperMayLeave},
};

} // namespace

std::span<const HelperInfo> cpuid_helpers()
{
    return kHelpers;
}

bool has_feature(const State& state, u32 feature)
{
    return state.model != nullptr && state.model->has(feature);
}

} // namespace emu::x86
