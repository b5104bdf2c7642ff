// Everything that makes one PC differ from another.
#pragma once

#include "base/result.hpp"
#include "emulator/devices/block/geometry.hpp"
#include "emulator/devices/firmware/multiboot.hpp"
#include "emulator/machine/device.hpp"
#include "imgtool/disk.hpp"

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace emu::boards {

enum class VgaKind : u8 { none, pci, isa };

struct IdeDriveConfig {
    bool cdrom = false;
    std::unique_ptr<img::Disk> disk; // may be null for a CD-ROM drive: an empty tray
    std::string serial;              // empty: a name made from the position
    std::optional<devices::block::Geometry> geometry; // nothing: chosen from the disk
};

struct FloppyDriveConfig {
    std::unique_ptr<img::Disk> disk; // may be null: an empty drive
    bool write_protected = false;
};

/// Opens what `path` names for a drive; called at exact instruction counts, from media changes.
using MediumOpener =
    std::function<base::Result<std::unique_ptr<img::Disk>>(const std::string& path)>;

struct PcConfig {
    bool has_pci = true; // false: isapc
    u64 ram_bytes = 128u << 20;
    u64 instructions_per_second = 1'000'000'000;
    std::string cpu_model = "pentium3"; // for whoever makes the CPU
    bool smm = false;                   // the CPU answers SMI

    std::vector<u8> bios; // ends at 4 GiB; its last 128 KiB also end at 1 MiB
    VgaKind vga = VgaKind::pci;
    std::vector<u8> vga_rom; // may be empty

    std::array<std::optional<IdeDriveConfig>, 4> ide; // hda, hdb, hdc, hdd
    std::array<std::optional<FloppyDriveConfig>, 2> floppies;

    // Where devices' output goes; null drops it. They must outlive the board.
    std::array<CharSink*, 2> serial{};
    CharSink* parallel = nullptr;
    CharSink* debug_e9 = nullptr;
    CharSink* debug_402 = nullptr;
    GuestLog* log = nullptr;

    std::string boot_order = "cad"; // of a floppy, c disk, d CD-ROM, n network
    std::string boot_once;          // until the first reset; empty: the same
    bool boot_menu = false;
    u32 boot_menu_wait_ms = 0;
    bool check_floppy_signature =
        true; // false: a floppy is booted whatever its boot sector ends in
    i64 rtc_start_seconds = 946'684'800; // 2000-01-01, the guest's local time

    // A kernel that is started directly: a Multiboot kernel or Linux; empty: none.
    std::vector<u8> kernel;
    std::string command_line;
    std::vector<u8> initrd;                   // Linux's
    std::vector<devices::BootModule> modules; // Multiboot's

    MediumOpener open_medium;
    /// Told what became of a media change that failed.
    std::function<void(const base::Error&)> media_error;
};

/// The payload that asks the "media" input to change a drive.
std::vector<u8> insert_payload(const std::string& drive, const std::string& path);
std::vector<u8> eject_payload(const std::string& drive, bool force);

} // namespace emu::boards
