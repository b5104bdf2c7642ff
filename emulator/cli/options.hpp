// What the command line says, checked as far as it can be without opening anything.
#pragma once

#include "emulator/cli/key_values.hpp"
#include "emulator/hostio/channel.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace emu::cli {

enum class DriveInterface : u8 { ide, floppy, none };
enum class VgaModel : u8 { none, pci };
enum class DisplayKind : u8 { none, sdl, text };
enum class TierChoice : u8 { automatic, interpret, compile };

struct DriveOption {
    DriveInterface interface = DriveInterface::ide;
    std::optional<unsigned> index; // IDE 0-3, floppy 0-1; nothing: the first free place
    bool cdrom = false;
    std::string file;   // empty: no medium
    std::string format; // empty: probed
    std::string id;
    bool snapshot = false;
    bool read_only = false;
    bool unsafe = false; // cache=unsafe
    std::string origin;  // "-hda", for messages
};

struct DebugConsoleOption {
    u64 port = 0xe9; // 0xe9 or 0x402
    std::string chardev;
};

/// A front end on a character device: "-serial stdio", "-monitor chardev:m".
struct ChannelUse {
    std::string chardev_id; // when it was "chardev:ID"
    hostio::ChannelSpec spec;
};

struct Options {
    // The machine.
    std::string machine = "pc";
    std::string cpu = "pentium3";
    u64 ram_bytes = 128u << 20;
    std::string name;
    std::vector<DriveOption> drives;
    bool snapshot = false;
    bool defaults = true; // -nodefaults
    std::string boot_order = "cad";
    std::string boot_once;
    bool boot_menu = false;
    u32 boot_menu_wait_ms = 0;
    std::string kernel;
    std::string initrd;
    std::string append;
    std::string bios;
    std::vector<std::string> firmware_folders;
    VgaModel vga = VgaModel::pci;
    std::optional<std::string> vga_rom;  // file; empty text: no ROM at all
    base::i64 rtc_start_s = 946'684'800; // 2000-01-01T00:00:00
    std::string rtc_from_host;           // "utc" or "localtime"

    // The host's side.
    std::map<std::string, hostio::ChannelSpec> chardevs;
    std::vector<ChannelUse> serial;
    std::vector<ChannelUse> parallel;
    std::vector<ChannelUse> monitors;
    std::vector<ChannelUse> qmp;
    std::vector<DebugConsoleOption> debug_consoles;
    std::optional<DisplayKind> display;
    bool full_screen = false;
    bool no_graphic = false;
    bool paused = false;
    bool reboot = true;
    bool quit_on_shutdown = true;
    std::string pid_file;
    bool log_guest_errors = false;
    std::string log_file;

    // How it is run.
    std::string script;
    std::string report;
    std::string record;
    std::string replay;
    std::optional<u64> stop_at;
    bool state_hash = false;
    std::string state_dump; // file
    TierChoice tier = TierChoice::automatic;
    u64 code_cache_bytes = 16u << 20;
    u64 ips = 1'000'000'000;
    u64 seed = 0;
    std::optional<bool> free_running;

    /// Text to print instead of running anything: -help, -version, "-M help".
    std::string answer;
};

/// `arguments` without the program's name. The error names the option.
base::Result<Options> parse_options(const std::vector<std::string>& arguments);

/// The options with all topics.
std::string help_text();
/// Those of one topic; the list of topics when it is empty. Error: there is none of that name.
base::Result<std::string> help_text(std::string_view topic);
inline constexpr const char* kVersion = "0.1.0";

} // namespace emu::cli
