// The layout of a disk with one FAT volume (Microsoft Extensible Firmware Initiative FAT32 File
// System Specification, version 1.03, "the FAT specification" here).
#pragma once

#include "imgtool/source/fat/folder.hpp"

#include <memory>
#include <string>
#include <vector>

namespace img::fat {

enum class Medium : u8 { disk, floppy };

struct Parameters {
    Medium medium = Medium::disk;
    int bits = 0; // 12, 16, 32; 0: as QEMU chooses, 16 on disks and 12 on floppies
    std::string label = "QEMU VVFAT";
};

/// A piece of the disk that is not zero; pieces do not overlap.
struct Piece {
    u64 at;                                            // bytes on the disk
    u64 length;                                        // bytes
    std::shared_ptr<const std::vector<u8>> bytes = {}; // what is there; null: `file`
    const Entry* file = nullptr;                       // from its beginning on
};

struct Volume {
    u64 size = 0;                   // bytes of the disk
    std::vector<Piece> pieces = {}; // by offset
};

/// Lays out the folder `root`, which must outlive the volume. Errors: `invalid_argument` for types
/// that do not fit the medium; `unsupported` when the folder does not fit.
Result<Volume> lay_out(const Entry& root, const Parameters& parameters);

} // namespace img::fat
