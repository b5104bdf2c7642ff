// Options about drives.
#include "emulator/cli/option_table.hpp"

#include <algorithm>
#include <array>

namespace emu::cli {

namespace {

using base::Errc;

base::Error bad(std::string text)
{
    return base::fail(Errc::invalid_argument, std::move(text));
}

template <unsigned index>
base::Status hard_disk(Options& options, const std::string& value)
{
    DriveOption drive;
    drive.index = index;
    drive.file = value;
    drive.origin = std::string{"-hd"} + static_cast<char>('a' + index);
    options.drives.push_back(drive);
    return base::ok();
}

base::Status cdrom(Options& options, const std::string& value)
{
    DriveOption drive;
    drive.index = 2; // master of the second channel, as with QEMU
    drive.cdrom = true;
    drive.read_only = true;
    drive.file = value;
    drive.origin = "-cdrom";
    options.drives.push_back(drive);
    return base::ok();
}

template <unsigned index>
base::Status floppy(Options& options, const std::string& value)
{
    DriveOption drive;
    drive.interface = DriveInterface::floppy;
    drive.index = index;
    drive.file = value;
    drive.origin = std::string{"-fd"} + static_cast<char>('a' + index);
    options.drives.push_back(drive);
    return base::ok();
}

base::Status set_interface(DriveOption& drive, const std::string& name)
{
    if (name == "ide") {
        drive.interface = DriveInterface::ide;
    } else if (name == "floppy") {
        drive.interface = DriveInterface::floppy;
    } else if (name == "none") {
        drive.interface = DriveInterface::none;
    } else {
        return base::fail(Errc::unsupported,
                          "if=" + name + ": no such drive interface (known: ide, floppy, none)");
    }
    return base::ok();
}

/// Settings of the host's caching: they change no result, only how safe a crash of the host is.
base::Status take_host_settings(DriveOption& drive, KeyValues& values)
{
    const std::string cache = values.take_or("cache", "writeback");
    constexpr std::array<std::string_view, 5> kModes{"none", "writeback", "writethrough",
                                                     "directsync", "unsafe"};
    if (std::find(kModes.begin(), kModes.end(), cache) == kModes.end()) {
        return bad("cache=" + cache + ": no such mode");
    }
    drive.unsafe = cache == "unsafe";
    for (const char* hint : {"aio", "discard", "detect-zeroes"}) {
        values.take(hint);
    }
    for (const char* policy : {"werror", "rerror"}) {
        const auto action = values.take(policy);
        if (action && *action != "report" && *action != "auto") {
            return base::fail(Errc::unsupported, std::string{policy} + "=" + *action +
                                                     ": errors are reported to the guest");
        }
    }
    return base::ok();
}

base::Status place(DriveOption& drive, KeyValues& values)
{
    auto index = values.take_number("index", ~u64{0});
    auto bus = values.take_number("bus", ~u64{0});
    auto unit = values.take_number("unit", ~u64{0});
    if (!index || !bus || !unit) {
        return bad("index, bus and unit are numbers");
    }
    const u64 places = drive.interface == DriveInterface::floppy ? 2 : 4;
    u64 at = index.value();
    if (at == ~u64{0} && (bus.value() != ~u64{0} || unit.value() != ~u64{0})) {
        const u64 channel = bus.value() == ~u64{0} ? 0 : bus.value();
        const u64 number = unit.value() == ~u64{0} ? 0 : unit.value();
        if (number > 1 || channel > 1) {
            return bad("bus and unit are 0 or 1");
        }
        at = places == 4 ? channel * 2 + number : number;
    }
    if (at != ~u64{0}) {
        if (at >= places) {
            return bad("index: there are " + std::to_string(places) + " places");
        }
        drive.index = static_cast<unsigned>(at);
    }
    return base::ok();
}

base::Status drive_option(Options& options, const std::string& value)
{
    auto parsed = KeyValues::parse(value, "file");
    if (!parsed) {
        return std::move(parsed).error();
    }
    KeyValues& values = parsed.value();
    DriveOption drive;
    drive.origin = "-drive";
    if (auto set = set_interface(drive, values.take_or("if", "ide")); !set) {
        return set;
    }
    const std::string media = values.take_or("media", "disk");
    if (media != "disk" && media != "cdrom") {
        return bad("media is disk or cdrom");
    }
    drive.cdrom = media == "cdrom";
    drive.file = values.take_or("file", "");
    drive.format = values.take_or("format", "");
    drive.id = values.take_or("id", "");
    auto snapshot = values.take_bool("snapshot", false);
    auto read_only = values.take_bool("readonly", false);
    auto read_only_new = values.take_bool("read-only", false);
    if (!snapshot || !read_only || !read_only_new) {
        return bad("snapshot and readonly are on or off");
    }
    drive.snapshot = snapshot.value();
    drive.read_only = read_only.value() || read_only_new.value() || drive.cdrom;
    if (auto taken = take_host_settings(drive, values); !taken) {
        return taken;
    }
    if (auto placed = place(drive, values); !placed) {
        return placed;
    }
    if (drive.interface == DriveInterface::none && drive.id.empty()) {
        return bad("if=none needs an id= that a -device names");
    }
    options.drives.push_back(drive);
    return values.finish();
}

base::Status snapshot(Options& options, const std::string&)
{
    options.snapshot = true;
    return base::ok();
}

} // namespace

std::span<const OptionRow> drive_options()
{
    static constexpr OptionRow kRows[] = {
        {"-hda", true, hard_disk<0>, "FILE", "IDE disk; also -hdb, -hdc, -hdd"},
        {"-hdb", true, hard_disk<1>, "", ""},
        {"-hdc", true, hard_disk<2>, "", ""},
        {"-hdd", true, hard_disk<3>, "", ""},
        {"-cdrom", true, cdrom, "FILE", "CD image in the third IDE place"},
        {"-fda", true, floppy<0>, "FILE", "floppy image; also -fdb"},
        {"-fdb", true, floppy<1>, "", ""},
        {"-drive", true, drive_option, "file=FILE[,…]",
         "format=raw|qcow2, if=ide|floppy, index=, media=cdrom, snapshot=on, readonly=on"},
        {"-snapshot", false, snapshot, "", "write nothing to the images"},
    };
    return kRows;
}

} // namespace emu::cli
