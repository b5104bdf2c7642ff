#include "emulator/cli/build_machine.hpp"

#include "emulator/accel/x86_cpu.hpp"
#include "emulator/cli/firmware.hpp"
#include "emulator/cli/key_values.hpp"

#include <algorithm>
#include <cstdio>

namespace emu::cli {

namespace {

using base::Errc;
using boards::PcBoard;
using boards::PcConfig;

constexpr u64 kMaxKernel = u64{512} << 20;
constexpr u64 kMaxInitrd = u64{2} << 30;

accel::Tier tier_of(TierChoice choice)
{
    switch (choice) {
    case TierChoice::interpret:
        return accel::Tier::interpret;
    case TierChoice::compile:
        return accel::Tier::compile;
    case TierChoice::automatic:
        break;
    }
    return accel::Tier::automatic;
}

base::Status load_firmware(const Options& options, PcConfig& config)
{
    const bool pci = config.has_pci;
    const std::string bios =
        options.bios.empty() ? (pci ? "bios-256k.bin" : "bios.bin") : options.bios;
    auto bytes = read_firmware(bios, options.firmware_folders);
    if (!bytes) {
        return std::move(bytes).error();
    }
    config.bios = std::move(bytes).value();
    if (options.vga == VgaModel::none) {
        config.vga = boards::VgaKind::none;
        return base::ok();
    }
    config.vga = pci ? boards::VgaKind::pci : boards::VgaKind::isa;
    const std::string rom =
        options.vga_rom.value_or(pci ? "vgabios-stdvga.bin" : "vgabios-isavga.bin");
    if (rom.empty()) {
        return base::ok();
    }
    auto vga = read_firmware(rom, options.firmware_folders);
    if (!vga) {
        return std::move(vga).error();
    }
    config.vga_rom = std::move(vga).value();
    return base::ok();
}

/// "FILE ARGUMENTS,FILE ARGUMENTS", a comma of a name written twice. Command lines begin with the
/// file's name, as boot loaders give them.
base::Status load_modules(const Options& options, PcConfig& config)
{
    config.command_line = options.kernel + (options.append.empty() ? "" : " ") + options.append;
    u64 left = kMaxInitrd;
    for (const std::string& text : split_at_commas(options.initrd)) {
        auto bytes = read_file(text.substr(0, text.find(' ')), left);
        if (!bytes) {
            return std::move(bytes).error().in("-initrd");
        }
        left -= bytes.value().size();
        config.modules.push_back({text, std::move(bytes).value()});
    }
    return base::ok();
}

base::Status load_kernel(const Options& options, PcConfig& config)
{
    if (options.kernel.empty()) {
        return base::ok();
    }
    auto kernel = read_file(options.kernel, kMaxKernel);
    if (!kernel) {
        return std::move(kernel).error().in("-kernel");
    }
    config.kernel = std::move(kernel).value();
    if (devices::starts_by_multiboot(config.kernel)) {
        return load_modules(options, config);
    }
    if (!options.initrd.empty()) {
        auto initrd = read_file(options.initrd, kMaxInitrd);
        if (!initrd) {
            return std::move(initrd).error().in("-initrd");
        }
        config.initrd = std::move(initrd).value();
    }
    config.command_line = options.append;
    return base::ok();
}

/// Makes the slot that monitors see, and opens its medium if it has one.
base::Result<std::unique_ptr<img::Disk>> fill_slot(const DriveOption& drive, const Options& options,
                                                   debug::BlockSlot& slot, DiskActivity& activity)
{
    if (drive.file.empty()) {
        return std::unique_ptr<img::Disk>{};
    }
    auto opened = open_medium(drive, options.snapshot || drive.snapshot, activity);
    if (!opened) {
        return std::move(opened).error().in(drive.origin);
    }
    slot.file = drive.file;
    slot.format = opened.value().format;
    slot.read_only = opened.value().disk->read_only();
    slot.size = opened.value().disk->size();
    return std::move(opened.value().disk);
}

debug::BlockSlot& add_slot(BuiltMachine& built, std::string id, std::string driver, bool removable)
{
    built.slots.push_back(std::make_unique<debug::BlockSlot>());
    debug::BlockSlot& slot = *built.slots.back();
    slot.id = std::move(id);
    slot.driver = std::move(driver);
    slot.removable = removable;
    return slot;
}

base::Status open_drives(const Options& options, BuiltMachine& built, PcConfig& config)
{
    auto plan = plan_drives(options);
    if (!plan) {
        return std::move(plan).error();
    }
    for (std::size_t i = 0; i < config.ide.size(); ++i) {
        const auto& drive = plan.value().ide[i];
        if (!drive) {
            continue;
        }
        const char* kind = drive->cdrom ? "cd" : "hd";
        const std::string id = "ide" + std::to_string(i / 2) + "-" + kind + std::to_string(i % 2);
        auto disk = fill_slot(*drive, options,
                              add_slot(built, id, std::string{"ide-"} + kind, drive->cdrom),
                              built.activity);
        if (!disk) {
            return std::move(disk).error();
        }
        if (!disk.value() && !drive->cdrom) {
            return base::fail(Errc::invalid_argument, drive->origin + ": a hard disk needs file=");
        }
        config.ide[i].emplace();
        config.ide[i]->cdrom = drive->cdrom;
        config.ide[i]->disk = std::move(disk).value();
    }
    for (std::size_t i = 0; i < config.floppies.size(); ++i) {
        const auto& drive = plan.value().floppies[i];
        if (!drive) {
            continue;
        }
        auto disk = fill_slot(*drive, options,
                              add_slot(built, "floppy" + std::to_string(i), "floppy", true),
                              built.activity);
        if (!disk) {
            return std::move(disk).error();
        }
        config.floppies[i].emplace();
        config.floppies[i]->disk = std::move(disk).value();
        config.floppies[i]->write_protected = drive->read_only;
    }
    return base::ok();
}

/// Media changes go through the input door, so that they are recorded; here they are carried out.
void connect_media(BuiltMachine& built, PcConfig& config, const Options& options)
{
    config.open_medium = [&built, snapshot = options.snapshot](
                             const std::string& text) -> base::Result<std::unique_ptr<img::Disk>> {
        auto drive = parse_medium_text(text);
        if (!drive) {
            return std::move(drive).error();
        }
        auto opened = open_medium(drive.value(), snapshot, built.activity);
        if (!opened) {
            return std::move(opened).error();
        }
        return std::move(opened.value().disk);
    };
    config.media_error = [](const base::Error& error) {
        std::fprintf(stderr, "emulator: %s\n", error.message.c_str());
    };
}

/// The board's drive that a slot stands for, as it is now; an empty one if there is none.
boards::PcDrive drive_of(const debug::BlockSlot& slot, boards::PcBoard& board)
{
    auto drives = board.drives();
    for (boards::PcDrive& drive : drives) {
        if (drive.name == slot.id) {
            return std::move(drive);
        }
    }
    return {};
}

void connect_slots(BuiltMachine& built)
{
    InputDoor& door = built.machine->door();
    for (const auto& owned : built.slots) {
        debug::BlockSlot* slot = owned.get();
        if (!slot->removable) {
            continue;
        }
        const bool cdrom = slot->driver == "ide-cd";
        slot->inserted = [slot, &built] { return drive_of(*slot, *built.board).disk != nullptr; };
        slot->tray_open = [slot, &built] { return drive_of(*slot, *built.board).tray_open; };
        slot->eject = [slot, &door](bool force) -> base::Status {
            if (door.replaying()) {
                return base::fail(Errc::invalid_argument, "a replay takes no input");
            }
            door.post("media", boards::eject_payload(slot->id, force));
            return base::ok();
        };
        slot->change = [slot, cdrom, &door, &built](const std::string& file,
                                                    const std::string& format,
                                                    bool read_only) -> base::Status {
            if (door.replaying()) {
                return base::fail(Errc::invalid_argument, "a replay takes no input");
            }
            DriveOption drive;
            drive.interface = cdrom ? DriveInterface::ide : DriveInterface::floppy;
            drive.cdrom = cdrom;
            drive.file = file;
            drive.format = format;
            drive.read_only = read_only || cdrom;
            // Opened here to find errors while someone listens, and again when it is delivered.
            auto opened = open_medium(drive, true, built.activity);
            if (!opened) {
                return std::move(opened).error();
            }
            slot->file = file;
            slot->format = opened.value().format;
            slot->size = opened.value().disk->size();
            slot->read_only = drive.read_only;
            door.post("media", boards::eject_payload(slot->id, true));
            door.post("media", boards::insert_payload(slot->id, medium_text(drive)));
            return base::ok();
        };
    }
}

BoardEvent event_of(boards::PcEvent event)
{
    switch (event) {
    case boards::PcEvent::none:
        break;
    case boards::PcEvent::machine_reset:
        return BoardEvent::machine_reset;
    case boards::PcEvent::power_off:
        return BoardEvent::power_off;
    }
    return BoardEvent::none;
}

MachineParts parts_of(BuiltMachine& built)
{
    PcBoard& board = *built.board;
    MachineParts parts{board.clock(), *built.cpu, board.devices(), {&board.ram()}, {}, {}, {}, {}};
    parts.disks = [&board] {
        std::vector<MachineParts::NamedDisk> disks;
        for (const boards::PcDrive& drive : board.drives()) {
            disks.push_back({drive.name, drive.disk});
        }
        return disks;
    };
    parts.reset = [&board] { board.reset(); };
    parts.power_button = [&board] {
        constexpr std::string_view kButton = "power_button";
        const auto sink = board.inputs().find("system");
        if (sink != board.inputs().end()) {
            sink->second->deliver({reinterpret_cast<const u8*>(kButton.data()), kButton.size()});
        }
    };
    parts.take_event = [&board] { return event_of(board.take_event()); };
    return parts;
}

/// The state at power-on says what the machine is; disks only by size, they are large.
base::Result<MachineDigest> describe(BuiltMachine& built, const Options& options)
{
    StateHash hash;
    u64 ips = instructions_per_second(options);
    u64 seed = options.seed;
    hash.section(options.cpu);
    hash.integer("ips", ips);
    hash.integer("seed", seed);
    built.cpu->visit_state(hash);
    for (Device* device : built.board->devices()) {
        hash.section(device->name());
        device->visit_state(hash);
    }
    hash.ram(built.board->ram());
    for (const boards::PcDrive& drive : built.board->drives()) {
        u64 size = drive.disk == nullptr ? 0 : drive.disk->size();
        hash.section(drive.name);
        hash.integer("size", size);
    }
    return hash.finish();
}

PcConfig basic_config(const Options& options, const GuestSinks& sinks)
{
    PcConfig config;
    config.has_pci = options.machine == "pc";
    config.ram_bytes = options.ram_bytes;
    config.instructions_per_second = instructions_per_second(options);
    config.cpu_model = options.cpu;
    config.serial = sinks.serial;
    config.parallel = sinks.parallel;
    config.debug_e9 = sinks.debug_e9;
    config.debug_402 = sinks.debug_402;
    config.log = sinks.log;
    config.boot_order = options.boot_order;
    config.boot_once = options.boot_once;
    config.boot_menu = options.boot_menu;
    config.check_floppy_signature = options.check_floppy_signature;
    config.boot_menu_wait_ms = options.boot_menu_wait_ms;
    config.rtc_start_seconds = options.rtc_start_s;
    return config;
}

} // namespace

void DoorInput::key(hostio::KeyCode key, bool down)
{
    door_.post("keyboard", devices::keyboard_payload(key, down));
}

void DoorInput::mouse(int dx, int dy, int wheel, u8 buttons)
{
    const auto x = static_cast<base::i16>(std::clamp(dx, -32768, 32767));
    const auto y = static_cast<base::i16>(std::clamp(dy, -32768, 32767));
    // A mouse counts the wheel towards the user as positive.
    const auto z = static_cast<base::i8>(-std::clamp(wheel, -127, 127));
    door_.post("mouse", devices::mouse_payload(x, y, z, buttons));
}

bool BuiltMachine::keyboard_ready()
{
    return board->keyboard().can_accept() && board->keyboard_controller().output_empty();
}

bool BuiltMachine::mouse_ready()
{
    return board->mouse().can_accept() && board->keyboard_controller().output_empty();
}

base::Result<std::unique_ptr<BuiltMachine>>
build_machine(const Options& options, const MachineOptions& run, const GuestSinks& sinks)
{
    auto built = std::make_unique<BuiltMachine>();
    PcConfig config = basic_config(options, sinks);
    if (auto loaded = load_firmware(options, config); !loaded) {
        return std::move(loaded).error();
    }
    if (auto loaded = load_kernel(options, config); !loaded) {
        return std::move(loaded).error();
    }
    if (auto opened = open_drives(options, *built, config); !opened) {
        return std::move(opened).error();
    }
    connect_media(*built, config, options);
    auto board = PcBoard::create(std::move(config));
    if (!board) {
        return std::move(board).error();
    }
    built->board = std::move(board).value();
    accel::X86CpuConfig cpu_config;
    cpu_config.model = options.cpu;
    cpu_config.tier = tier_of(options.tier);
    cpu_config.code_cache_bytes = options.code_cache_bytes;
    auto cpu = accel::make_x86_cpu(cpu_config, built->board->memory(), *built->board,
                                   built->board->clock());
    if (!cpu) {
        return std::move(cpu).error().in("cpu");
    }
    built->cpu = std::move(cpu).value();
    built->board->attach_cpu(*built->cpu);
    built->board->reset();
    built->machine = std::make_unique<Machine>(parts_of(*built), run);
    for (const auto& [name, sink] : built->board->inputs()) {
        built->machine->door().add_sink(name, *sink);
    }
    built->input = std::make_unique<DoorInput>(built->machine->door());
    connect_slots(*built);
    auto digest = describe(*built, options);
    if (!digest) {
        return std::move(digest).error();
    }
    built->digest = digest.value();
    return built;
}

} // namespace emu::cli
