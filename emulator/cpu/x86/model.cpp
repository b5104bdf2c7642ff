#include "emulator/cpu/x86/model.hpp"

#include "emulator/cpu/x86/system.hpp"

namespace emu::x86 {

namespace {

constexpr u32 kPentiumFeatures = kFeatureFpu | kFeatureVme | kFeatureDe | kFeaturePse |
                                 kFeatureTsc | kFeatureMsr | kFeatureMce | kFeatureCx8;

constexpr std::array kModels{
    // IntelDX4, write-through: the first signature of the family with CPUID in every stepping
    // (AP-485, table 3-3).
    Model{.name = "486",
          .vendor = "GenuineIntel",
          .family = 4,
          .model = 8,
          .stepping = 0,
          .max_leaf = 1,
          .features = kFeatureFpu | kFeatureVme,
          .cache_leaf = {},
          .instructions_per_second = 50'000'000},
    // Pentium P54C.
    Model{.name = "pentium",
          .vendor = "GenuineIntel",
          .family = 5,
          .model = 2,
          .stepping = 12,
          .max_leaf = 1,
          .features = kPentiumFeatures | kFeatureApic,
          .cache_leaf = {},
          .instructions_per_second = 200'000'000},
    // Pentium III "Coppermine". A real one has SSE too; it is not offered before the translator
    // knows the instructions, and CPUID says so. The cache descriptors are AP-485's table 3-7:
    // 4 KiB and 4 MiB TLBs, 16 KiB L1 instruction and data caches, 256 KiB L2.
    Model{.name = "pentium3",
          .vendor = "GenuineIntel",
          .family = 6,
          .model = 8,
          .stepping = 6,
          .max_leaf = 2,
          .features = kPentiumFeatures | kFeaturePae | kFeatureApic | kFeatureSep | kFeatureMtrr |
                      kFeaturePge | kFeatureMca | kFeatureCmov | kFeaturePat | kFeaturePse36 |
                      kFeatureMmx | kFeatureFxsr,
          .cache_leaf = {0x0302'0101, 0, 0, 0x0c04'0882},
          .instructions_per_second = 1'000'000'000},
};

constexpr std::array<std::string_view, kModels.size()> kNames{kModels[0].name, kModels[1].name,
                                                              kModels[2].name};

} // namespace

const Model* find_model(std::string_view name)
{
    for (const Model& model : kModels) {
        if (model.name == name) {
            return &model;
        }
    }
    return nullptr;
}

std::span<const std::string_view> model_names()
{
    return kNames;
}

} // namespace emu::x86
