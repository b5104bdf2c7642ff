// Options about the machine itself.
#include "emulator/cli/firmware.hpp"
#include "emulator/cli/option_table.hpp"
#include "emulator/cpu/x86/system.hpp"

#include <algorithm>
#include <ctime>

namespace emu::cli {

namespace {

using base::Errc;
using base::i64;

base::Error bad(std::string text)
{
    return base::fail(Errc::invalid_argument, std::move(text));
}

base::Error unsupported(std::string text)
{
    return base::fail(Errc::unsupported, std::move(text));
}

base::Status set_accel_name(const std::string& name)
{
    if (name != "tcg" && name != "translate") {
        return unsupported("no such accelerator '" + name + "' (known: tcg, translate)");
    }
    return base::ok();
}

base::Status machine(Options& options, const std::string& value)
{
    if (value == "help" || value == "?") {
        options.answer = "Supported machines are:\n"
                         "pc                   PC (i440FX + PIIX3) (default)\n"
                         "isapc                ISA-only PC\n";
        return base::ok();
    }
    auto parsed = KeyValues::parse(value, "type");
    if (!parsed) {
        return std::move(parsed).error();
    }
    KeyValues& values = parsed.value();
    const std::string type = values.take_or("type", options.machine);
    if (type == "pc" || type.starts_with("pc-i440fx-")) {
        options.machine = "pc";
    } else if (type == "isapc") {
        options.machine = "isapc";
    } else {
        return unsupported("no such machine '" + type + "' (known: pc, isapc)");
    }
    if (const auto accel = values.take("accel")) {
        if (auto set = set_accel_name(*accel); !set) {
            return set;
        }
    }
    return values.finish();
}

base::Status cpu(Options& options, const std::string& value)
{
    const auto names = x86::model_names();
    if (value == "help" || value == "?") {
        options.answer = "Available CPUs:\n";
        for (const std::string_view name : names) {
            options.answer += "  " + std::string{name} + "\n";
        }
        return base::ok();
    }
    if (std::find(names.begin(), names.end(), value) == names.end()) {
        std::string known;
        for (const std::string_view name : names) {
            known += (known.empty() ? "" : ", ") + std::string{name};
        }
        const bool features = value.find(',') != std::string::npos;
        return unsupported(
            features ? "single CPU features cannot be switched (known models: " + known + ")"
                     : "no such CPU model (known: " + known + ")");
    }
    options.cpu = value;
    return base::ok();
}

base::Status smp(Options&, const std::string& value)
{
    auto parsed = KeyValues::parse(value, "cpus");
    if (!parsed) {
        return std::move(parsed).error();
    }
    for (const char* key : {"cpus", "maxcpus", "cores", "threads", "sockets", "dies", "clusters"}) {
        auto number = parsed.value().take_number(key, 1);
        if (!number) {
            return std::move(number).error();
        }
        if (number.value() != 1) {
            return unsupported("the machine has one CPU; more are not implemented");
        }
    }
    return parsed.value().finish();
}

base::Status memory(Options& options, const std::string& value)
{
    auto parsed = KeyValues::parse(value, "size");
    if (!parsed) {
        return std::move(parsed).error();
    }
    auto size = parse_size(parsed.value().take_or("size", "128"), u64{1} << 20, "size");
    if (!size) {
        return std::move(size).error();
    }
    options.ram_bytes = size.value();
    return parsed.value().finish();
}

base::Status check_boot_letters(const std::string& letters)
{
    for (const char letter : letters) {
        if (letter == 'n') {
            return unsupported("'n': there is no network to boot from");
        }
        if (letter != 'a' && letter != 'b' && letter != 'c' && letter != 'd') {
            return bad(std::string{"'"} + letter +
                       "' is no boot device (a, b floppy; c disk; d CD)");
        }
        if (std::count(letters.begin(), letters.end(), letter) > 1) {
            return bad(std::string{"boot device '"} + letter + "' is named twice");
        }
    }
    return base::ok();
}

base::Status boot(Options& options, const std::string& value)
{
    auto parsed = KeyValues::parse(value, "order");
    if (!parsed) {
        return std::move(parsed).error();
    }
    KeyValues& values = parsed.value();
    options.boot_order = values.take_or("order", options.boot_order);
    options.boot_once = values.take_or("once", options.boot_once);
    for (const std::string* letters : {&options.boot_order, &options.boot_once}) {
        if (auto checked = check_boot_letters(*letters); !checked) {
            return checked;
        }
    }
    auto menu = values.take_bool("menu", options.boot_menu);
    auto wait = values.take_number("splash-time", options.boot_menu_wait_ms);
    auto strict = values.take_bool("strict", false);
    if (!menu || !wait || !strict) {
        return !menu   ? std::move(menu).error()
               : !wait ? std::move(wait).error()
                       : std::move(strict).error();
    }
    if (wait.value() > 65535) {
        return bad("splash-time is at most 65535 ms");
    }
    options.boot_menu = menu.value();
    options.boot_menu_wait_ms = static_cast<u32>(wait.value());
    return values.finish();
}

/// "2006-06-17T16:01:21" or "2006-06-17" as seconds since 1970.
base::Result<i64> parse_date(const std::string& text)
{
    std::tm time{};
    const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &time);
    if (end == nullptr) {
        time = {};
        end = ::strptime(text.c_str(), "%Y-%m-%d", &time);
    }
    if (end != nullptr && *end == 'Z') {
        ++end;
    }
    if (end == nullptr || *end != '\0' || time.tm_year < 80) {
        return bad("'" + text + "' is no date (YYYY-MM-DDTHH:MM:SS, from 1980)");
    }
    return static_cast<i64>(::timegm(&time));
}

base::Status rtc_start(Options& options, const std::string& value)
{
    auto seconds = parse_date(value);
    if (!seconds) {
        return std::move(seconds).error();
    }
    options.rtc_start_s = seconds.value();
    options.rtc_from_host.clear();
    return base::ok();
}

base::Status rtc(Options& options, const std::string& value)
{
    auto parsed = KeyValues::parse(value, "base");
    if (!parsed) {
        return std::move(parsed).error();
    }
    KeyValues& values = parsed.value();
    const std::string clock = values.take_or("clock", "vm");
    if (clock != "vm") {
        return unsupported("clock=" + clock + ": guest clocks follow guest time (clock=vm)");
    }
    const std::string drift = values.take_or("driftfix", "none");
    if (drift != "none") {
        return unsupported("driftfix=" + drift + ": guest time does not drift");
    }
    if (const auto base = values.take("base")) {
        if (*base == "utc" || *base == "localtime") {
            options.rtc_from_host = *base;
        } else if (auto set = rtc_start(options, *base); !set) {
            return set;
        }
    }
    return values.finish();
}

base::Status vga(Options& options, const std::string& value)
{
    if (value == "help") {
        options.answer = "std    VGA with Bochs VBE extensions, PCI 1234:1111 (default)\n"
                         "none   no display adapter\n";
        return base::ok();
    }
    if (value != "std" && value != "none") {
        return unsupported("no such display adapter '" + value + "' (known: std, none)");
    }
    options.vga = value == "std" ? VgaModel::pci : VgaModel::none;
    return base::ok();
}

base::Status nic(Options&, const std::string& value)
{
    if (value != "none") {
        return unsupported("'" + value + "': no network adapter is implemented (only \"none\")");
    }
    return base::ok();
}

base::Status netdev(Options&, const std::string& value)
{
    return unsupported("'" + value + "': no network back end is implemented");
}

constexpr const char* kDevices = "VGA, isa-debugcon, ide-hd, ide-cd, floppy";

base::Status device_vga(Options& options, KeyValues& values)
{
    options.vga = VgaModel::pci;
    if (auto rom = values.take("romfile")) {
        options.vga_rom = std::move(rom);
    }
    for (const char* place : {"bus", "addr", "id"}) {
        if (const auto value = values.take(place); value && place == std::string{"addr"}) {
            return unsupported("addr=" + *value + ": the display adapter is at device 2");
        }
    }
    if (const auto megabytes = values.take("vgamem_mb"); megabytes && *megabytes != "16") {
        return unsupported("vgamem_mb=" + *megabytes + ": the adapter has 16 MiB");
    }
    return values.finish();
}

base::Status device_debug_console(Options& options, KeyValues& values)
{
    DebugConsoleOption console;
    auto port = values.take_number("iobase", 0xe9);
    if (!port) {
        return std::move(port).error();
    }
    if (port.value() != 0xe9 && port.value() != 0x402) {
        return unsupported("iobase: debug consoles are at 0xe9 and 0x402 only");
    }
    console.port = port.value();
    console.chardev = values.take_or("chardev", "");
    values.take("id");
    if (console.chardev.empty()) {
        return bad("isa-debugcon needs chardev=");
    }
    options.debug_consoles.push_back(console);
    return values.finish();
}

/// -device ide-hd,drive=ID,bus=ide.0,unit=1: places a -drive with if=none.
base::Status device_drive(Options& options, KeyValues& values, const std::string& model)
{
    const std::string id = values.take_or("drive", "");
    const auto found = std::find_if(options.drives.begin(), options.drives.end(),
                                    [&](const DriveOption& drive) { return drive.id == id; });
    if (id.empty() || found == options.drives.end()) {
        return bad("no -drive with id='" + id + "' before it");
    }
    auto unit = values.take_number("unit", 0);
    if (!unit || unit.value() > 1) {
        return bad("unit is 0 or 1");
    }
    const auto bus = values.take("bus");
    const bool placed = bus || values.take("unit");
    values.take("id");
    values.take("bootindex");
    found->interface = model == "floppy" ? DriveInterface::floppy : DriveInterface::ide;
    found->cdrom = model == "ide-cd";
    if (model == "floppy") {
        found->index = static_cast<unsigned>(unit.value());
    } else if (placed) {
        if (bus && *bus != "ide.0" && *bus != "ide.1") {
            return bad("bus is ide.0 or ide.1");
        }
        found->index = static_cast<unsigned>((bus == "ide.1" ? 2 : 0) + unit.value());
    }
    return values.finish();
}

base::Status device(Options& options, const std::string& value)
{
    if (value == "help" || value == "?") {
        options.answer = "Devices:\n"
                         "  VGA            display adapter, PCI 1234:1111 [romfile=FILE]\n"
                         "  isa-debugcon   debug output [iobase=0xe9|0x402,chardev=ID]\n"
                         "  ide-hd         IDE disk [drive=ID,bus=ide.0|ide.1,unit=0|1]\n"
                         "  ide-cd         IDE CD-ROM [drive=ID,bus=,unit=]\n"
                         "  floppy         floppy drive [drive=ID,unit=0|1]\n";
        return base::ok();
    }
    auto parsed = KeyValues::parse(value, "driver");
    if (!parsed) {
        return std::move(parsed).error();
    }
    const std::string model = parsed.value().take_or("driver", "");
    if (model == "VGA") {
        return device_vga(options, parsed.value());
    }
    if (model == "isa-debugcon") {
        return device_debug_console(options, parsed.value());
    }
    if (model == "ide-hd" || model == "ide-cd" || model == "floppy") {
        return device_drive(options, parsed.value(), model);
    }
    return unsupported("no such device model (known: " + std::string{kDevices} + ")");
}

base::Status accel(Options& options, const std::string& value)
{
    if (value == "help") {
        options.answer = "Accelerators: translate (tcg is another name of it)\n";
        return base::ok();
    }
    auto parsed = KeyValues::parse(value, "accel");
    if (!parsed) {
        return std::move(parsed).error();
    }
    KeyValues& values = parsed.value();
    if (auto set = set_accel_name(values.take_or("accel", "tcg")); !set) {
        return set;
    }
    if (const auto thread = values.take("thread"); thread && *thread != "single") {
        return unsupported("thread=" + *thread + ": the machine has one CPU (thread=single)");
    }
    auto megabytes = values.take_number("tb-size", options.code_cache_bytes >> 20);
    if (!megabytes || megabytes.value() == 0 || megabytes.value() > 4096) {
        return bad("tb-size is 1 to 4096 MiB");
    }
    options.code_cache_bytes = megabytes.value() << 20;
    return values.finish();
}

base::Status name(Options& options, const std::string& value)
{
    auto parsed = KeyValues::parse(value, "guest");
    if (!parsed) {
        return std::move(parsed).error();
    }
    options.name = parsed.value().take_or("guest", "");
    return parsed.value().finish();
}

base::Status firmware_folder(Options& options, const std::string& value)
{
    if (value == "help") {
        for (const std::string& folder : default_firmware_folders()) {
            options.answer += folder + "\n";
        }
        return base::ok();
    }
    options.firmware_folders.push_back(value);
    return base::ok();
}

base::Status no_defaults(Options& options, const std::string&)
{
    options.defaults = false;
    return base::ok();
}

base::Status nothing(Options&, const std::string&)
{
    return base::ok();
}

} // namespace

std::span<const OptionRow> machine_options()
{
    static constexpr OptionRow kRows[] = {
        {"-M", true, machine, "MACHINE", "pc or isapc; help lists them"},
        {"-machine", true, machine, "", ""},
        {"-cpu", true, cpu, "MODEL", "486, pentium, pentium3 (default); help lists them"},
        {"-smp", true, smp, "1", "number of CPUs: one"},
        {"-m", true, memory, "SIZE", "memory in MiB, or with a suffix M or G (default 128)"},
        {"-name", true, name, "NAME", "the machine's name, for titles and query-name"},
        {"-boot", true, boot, "ORDER", "letters of a, c, d; or order=,once=,menu=on,splash-time="},
        {"-kernel", true, text<&Options::kernel>, "FILE",
         "start a Linux or Multiboot kernel directly"},
        {"-initrd", true, text<&Options::initrd>, "FILE",
         "its initial RAM disk; Multiboot: \"MODULE ARGUMENTS,…\""},
        {"-append", true, text<&Options::append>, "TEXT", "its command line"},
        {"-bios", true, text<&Options::bios>, "FILE", "firmware instead of SeaBIOS"},
        {"-L", true, firmware_folder, "FOLDER",
         "where to look for firmware first; help lists all places"},
        {"-vga", true, vga, "std|none", "display adapter"},
        {"-device", true, device, "MODEL[,…]", "add a device; help lists the models"},
        {"-nic", true, nic, "none", "no network (the default)"},
        {"-net", true, nic, "", ""},
        {"-netdev", true, netdev, "", ""},
        {"-rtc", true, rtc, "base=…", "a date, utc or localtime"},
        {"--rtc-start", true, rtc_start, "DATE", "clock at power-on (default 2000-01-01T00:00:00)"},
        {"-accel", true, accel, "tcg", "translate (tcg): the only one; tb-size=MIB"},
        {"-nodefaults", false, no_defaults, "", "no empty CD and floppy drive, no display adapter"},
        {"-no-user-config", false, nothing, "", ""},
        {"-no-hpet", false, nothing, "", ""},
        {"-no-fd-bootchk", false, flag<&Options::check_floppy_signature, false>, "",
         "boot floppies without 55AA at their boot sector's end"},
    };
    return kRows;
}

} // namespace emu::cli
