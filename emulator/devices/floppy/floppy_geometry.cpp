#include "emulator/devices/floppy/floppy_geometry.hpp"

#include <string>

namespace emu::devices {

namespace {

constexpr u64 kMaxTrailingBytes = 16 << 10;

constexpr auto kDouble = FloppyDensity::double_density;
constexpr auto kHigh = FloppyDensity::high_density;
constexpr auto kExtra = FloppyDensity::extra_density;

// Largest first, so that trailing bytes are told from a bigger disk. Sizes are in KiB.
constexpr FloppyGeometry kGeometries[] = {
    {80, 2, 48, kExtra},  // 3840
    {80, 2, 44, kExtra},  // 3520
    {80, 2, 40, kExtra},  // 3200
    {80, 2, 39, kExtra},  // 3120
    {80, 2, 36, kExtra},  // 2880
    {80, 2, 24, kHigh},   // 1920
    {80, 2, 23, kHigh},   // 1840
    {80, 2, 22, kHigh},   // 1760
    {83, 2, 21, kHigh},   // 1743
    {82, 2, 21, kHigh},   // 1722
    {80, 2, 21, kHigh},   // 1680 (DMF)
    {83, 2, 20, kHigh},   // 1660
    {82, 2, 20, kHigh},   // 1640
    {80, 2, 20, kHigh},   // 1600
    {83, 2, 18, kHigh},   // 1494
    {82, 2, 18, kHigh},   // 1476
    {80, 2, 18, kHigh},   // 1440
    {80, 2, 15, kHigh},   // 1200
    {83, 2, 10, kDouble}, // 830
    {82, 2, 10, kDouble}, // 820
    {80, 2, 10, kDouble}, // 800
    {80, 2, 9, kDouble},  // 720
    {80, 2, 8, kDouble},  // 640
    {40, 2, 10, kDouble}, // 400
    {40, 2, 9, kDouble},  // 360
    {40, 2, 8, kDouble},  // 320
    {40, 1, 9, kDouble},  // 180
    {40, 1, 8, kDouble},  // 160
};

constexpr FloppyGeometry kHigh144{80, 2, 18, kHigh};
constexpr FloppyGeometry kExtra288{80, 2, 36, kExtra};

} // namespace

base::Result<FloppyGeometry> floppy_geometry(u64 bytes)
{
    for (const FloppyGeometry& geometry : kGeometries) {
        if (bytes >= geometry.bytes() && bytes - geometry.bytes() <= kMaxTrailingBytes) {
            return geometry;
        }
    }
    // Images cut off after their last used sector, as of boot loaders: the usual high-density
    // disks.
    for (const FloppyGeometry geometry : {kHigh144, kExtra288}) {
        if (bytes != 0 && bytes % kFloppySectorSize == 0 && bytes < geometry.bytes()) {
            return geometry;
        }
    }
    return base::fail(base::Errc::unsupported,
                      "floppy image of " + std::to_string(bytes) +
                          " bytes: no floppy disk (160 KiB to 3840 KiB) has that size");
}

u8 cmos_drive_type(const FloppyGeometry& geometry)
{
    if (geometry.density == kExtra) {
        return 5;
    }
    if (geometry.density == kHigh) {
        return geometry.sectors == 15 ? 2 : 4;
    }
    return geometry.cylinders > 42 ? 3 : 1;
}

} // namespace emu::devices
