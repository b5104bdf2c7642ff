// How a floppy image's size determines the disk's geometry.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <string_view>

namespace emu::devices {

using base::u64;
using base::u8;

inline constexpr u64 kFloppySectorSize = 512; // bytes

enum class FloppyDensity : u8 { double_density, high_density, extra_density };

struct FloppyGeometry {
    u8 cylinders = 0;
    u8 heads = 0;
    u8 sectors = 0; // a track
    FloppyDensity density = FloppyDensity::high_density;

    u64 bytes() const { return u64{cylinders} * heads * sectors * kFloppySectorSize; }
    bool operator==(const FloppyGeometry&) const = default;
};

/// The geometry of an image of `bytes`; up to 16 KiB after the last track are ignored (tools
/// append signatures and padding). Other whole numbers of sectors are the beginning of a 1.44
/// or 2.88 MB disk, whose rest reads as zeros and cannot be written. Fails with `unsupported` for a
/// size no floppy has.
base::Result<FloppyGeometry> floppy_geometry(u64 bytes);

/// The drive a PC needs for a disk, as the CMOS names it: 1 360K, 2 1.2M, 3 720K, 4 1.44M, 5 2.88M.
u8 cmos_drive_type(const FloppyGeometry& geometry);

} // namespace emu::devices
