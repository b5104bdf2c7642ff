// From drive options to opened disks.
#pragma once

#include "emulator/cli/options.hpp"
#include "imgtool/disk.hpp"

#include <array>
#include <memory>
#include <optional>

namespace emu::cli {

/// Where each drive of the command line goes. Errors name two that want one place.
struct DrivePlan {
    std::array<std::optional<DriveOption>, 4> ide; // hda, hdb, hdc, hdd
    std::array<std::optional<DriveOption>, 2> floppies;
};
base::Result<DrivePlan> plan_drives(const Options& options);

/// Counts the commands that reached any disk, so that scripts can wait for silence.
struct DiskActivity {
    u64 count = 0;
};

struct OpenedDisk {
    std::unique_ptr<img::Disk> disk;
    std::string format;
};

/// Opens the medium of a drive. `activity` outlives the disk. Errors name the file. Warns on
/// standard error when the format had to be guessed, as QEMU does.
base::Result<OpenedDisk> open_medium(const DriveOption& drive, bool snapshot,
                                     DiskActivity& activity);

/// The text that stands for a medium in a recorded media change, and back.
std::string medium_text(const DriveOption& drive);
base::Result<DriveOption> parse_medium_text(const std::string& text);

} // namespace emu::cli
