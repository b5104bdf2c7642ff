// Cylinders, heads and sectors for a disk that only has a size.
#pragma once

#include "imgtool/disk.hpp"

namespace emu::devices::block {

using base::u16;
using base::u64;
using base::u8;

struct Geometry {
    u16 cylinders = 0;
    u8 heads = 0;
    u8 sectors = 0; // per track
    bool operator==(const Geometry&) const = default;
};

/// How the firmware maps the drive's geometry to one that INT 13h can express; the values are those
/// of the translation bits in CMOS byte 39h.
enum class Translation : u8 { none = 0, lba = 1, large = 2 };

struct DiskGeometry {
    Geometry physical;
    Translation translation;
};

/// ATA-6 annex C's default: 16 heads of 63 sectors, at most 16383 cylinders.
Geometry default_geometry(u64 sectors);

/// Follows the partition table if the disk has one, because the system on it was installed with
/// the geometry that the table's CHS addresses imply; otherwise the default.
DiskGeometry choose_geometry(img::Disk& disk);

} // namespace emu::devices::block
