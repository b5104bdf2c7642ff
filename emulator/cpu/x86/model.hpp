// The x86 processors that can be had, by what they tell about themselves and what they refuse.
#pragma once

#include "emulator/cpu/x86/state.hpp"

#include <string_view>

namespace emu::x86 {

/// CPUID leaf 1, EDX (Intel AP-485, "Intel Processor Identification and the CPUID Instruction",
/// table 5-5). CMOV with FPU also stands for FCOMI and FCMOV.
enum Feature : u32 {
    kFeatureFpu = 1u << 0,
    kFeatureVme = 1u << 1,
    kFeatureDe = 1u << 2,
    kFeaturePse = 1u << 3,
    kFeatureTsc = 1u << 4,
    kFeatureMsr = 1u << 5,
    kFeaturePae = 1u << 6,
    kFeatureMce = 1u << 7,
    kFeatureCx8 = 1u << 8,
    kFeatureApic = 1u << 9,
    kFeatureSep = 1u << 11,
    kFeatureMtrr = 1u << 12,
    kFeaturePge = 1u << 13,
    kFeatureMca = 1u << 14,
    kFeatureCmov = 1u << 15,
    kFeaturePat = 1u << 16,
    kFeaturePse36 = 1u << 17,
    kFeatureMmx = 1u << 23,
    kFeatureFxsr = 1u << 24,
    kFeatureSse = 1u << 25,
};

struct Model {
    std::string_view name;   // as the user writes it
    std::string_view vendor; // 12 characters, CPUID leaf 0
    u8 family;
    u8 model;
    u8 stepping;
    u32 max_leaf;                  // highest basic CPUID leaf
    u32 features;                  // Feature bits: CPUID leaf 1 EDX
    std::array<u32, 4> cache_leaf; // CPUID leaf 2: eax ebx ecx edx; zeros if max_leaf < 2
    // What one of the time did in a second, and the rate of its time stamp counter. Software of the
    // time counts loops in it; a whole number of nanoseconds an instruction keeps time exact.
    u64 instructions_per_second;

    bool has(u32 feature_bits) const { return (features & feature_bits) == feature_bits; }
    /// CPUID leaf 1, EAX.
    u32 signature() const
    {
        return static_cast<u32>(family) << 8 | static_cast<u32>(model) << 4 | stepping;
    }
};

} // namespace emu::x86
