// [machine] and [[build]]: the computer, and what is assembled for it.

#include "zoo/recipe/sections.hpp"
#include "zoo/unpack/unpack.hpp"

#include <fmt/core.h>

#include <array>

namespace zoo {

using namespace base;

namespace {

constexpr Range kMemoryMib{1, 65536};
constexpr Range kModes{0, 07777};
constexpr Range kDeviceNumbers{0, 0xfffff};
constexpr Range kAnyNumber{0, INT64_MAX};

constexpr std::array<std::string_view, 3> kVga{"", "std", "none"};
constexpr std::array<std::string_view, 3> kVgaBios{"", "seabios", "lgpl"};
constexpr std::array<std::string_view, 3> kNics{"none", "", ""};
constexpr std::array<std::string_view, 3> kDriveKinds{"disk", "cdrom", "floppy"};
constexpr std::array<std::string_view, 2> kFormats{"raw", "qcow2"};

bool is_option_word(std::string_view text)
{
    return text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "._+-") == text.npos;
}

std::string option_word(TableReader& reader, std::string_view key, Need need)
{
    std::string value = reader.text(key, need);
    if (!is_option_word(value)) {
        reader.problem_at(key,
                          fmt::format("{} must be of letters, digits, '.', '_', '+', '-'", key));
    }
    return value;
}

std::string optional_word(TableReader& reader, std::string_view key,
                          std::span<const std::string_view> words)
{
    return reader.has(key) ? reader.word(key, Need::required, words.subspan(1)) : std::string{};
}

Drive parse_drive(const toml::table& table, Problems& problems)
{
    TableReader reader{table, "drive", problems};
    Drive drive;
    drive.line = reader.line();
    const std::string kind = reader.word("kind", Need::required, kDriveKinds);
    drive.kind = kind == "cdrom"    ? DriveKind::cdrom
                 : kind == "floppy" ? DriveKind::floppy
                                    : DriveKind::disk;
    drive.media = reader.text("media", Need::required);
    drive.format = reader.word("format", Need::required, kFormats); // never probed
    const Range indices{0, drive.kind == DriveKind::floppy ? 1 : 3};
    const u64 usual = drive.kind == DriveKind::cdrom ? 2 : 0;
    drive.index =
        static_cast<unsigned>(reader.integer("index", Need::optional, indices).value_or(usual));
    reader.finish();
    return drive;
}

void check_slots(const Machine& machine, TableReader& reader)
{
    for (std::size_t i = 0; i < machine.drives.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            const Drive& a = machine.drives[i];
            const Drive& b = machine.drives[j];
            const bool same_bus = (a.kind == DriveKind::floppy) == (b.kind == DriveKind::floppy);
            if (same_bus && a.index == b.index) {
                reader.problem(a.line, fmt::format("two drives have index {}", a.index));
            }
        }
    }
}

std::string parse_rtc_start(TableReader& reader)
{
    const toml::node* node = reader.node("rtc_start", Need::optional);
    if (node == nullptr) {
        return {};
    }
    const auto* when = node->as_date_time();
    if (when == nullptr || when->get().offset) {
        reader.problem(line_of(*node), "rtc_start must be a local date-time without quotes, as in "
                                       "2020-01-01T12:00:00");
        return {};
    }
    const auto& [date, time, offset] = when->get();
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", date.year, date.month, date.day,
                       time.hour, time.minute, time.second);
}

void parse_source_of_entry(TableReader& reader, BuildEntry& entry)
{
    struct Source {
        std::string_view key;
        EntryKind kind;
        u32 usual_mode;
    };
    static constexpr std::array kSources{
        Source{"media", EntryKind::file_of_media, 0755}, Source{"text", EntryKind::text, 0644},
        Source{"symlink", EntryKind::symlink, 0777}, Source{"folder", EntryKind::folder, 0755},
        Source{"char", EntryKind::char_device, 0600}};
    int given = 0;
    for (const Source& source : kSources) {
        if (!reader.has(source.key)) {
            continue;
        }
        ++given;
        entry.kind = source.kind;
        entry.mode = source.usual_mode;
        if (source.kind == EntryKind::folder) {
            (void)reader.flag(source.key);
        } else if (source.kind == EntryKind::char_device) {
            const toml::node& node = *reader.node(source.key, Need::required);
            const toml::array* numbers = node.as_array();
            const bool pair =
                numbers != nullptr && numbers->size() == 2 && numbers->is_homogeneous<i64>();
            const i64 major = pair ? *(*numbers)[0].value<i64>() : -1;
            const i64 minor = pair ? *(*numbers)[1].value<i64>() : -1;
            if (major < 0 || minor < 0 || major > kDeviceNumbers.most ||
                minor > kDeviceNumbers.most) {
                reader.problem_at(source.key, "char must be [major, minor]");
            } else {
                entry.major = static_cast<u32>(major);
                entry.minor = static_cast<u32>(minor);
            }
        } else {
            entry.content = reader.text(source.key, Need::required);
        }
    }
    if (given != 1) {
        reader.problem(reader.line(),
                       "one of media, text, symlink, folder and char says what it is");
    }
}

BuildEntry parse_entry(const toml::table& table, const std::string& what, Problems& problems)
{
    TableReader reader{table, what, problems};
    BuildEntry entry;
    entry.line = reader.line();
    entry.path = reader.text("path", Need::required);
    if (!entry.path.empty()) {
        reader.rename(fmt::format("{}, {}", what, entry.path));
        if (!is_inside_path(entry.path) || entry.path.ends_with('/')) {
            reader.problem_at("path", fmt::format("path {} leaves its folder", entry.path));
        }
    }
    parse_source_of_entry(reader, entry);
    const auto mode = reader.integer("mode", Need::optional, kModes);
    entry.mode = mode ? static_cast<u32>(*mode) : entry.mode;
    reader.finish();
    return entry;
}

} // namespace

Build parse_build(const toml::table& table, Problems& problems)
{
    TableReader reader{table, "build", problems};
    Build build;
    build.line = reader.line();
    build.name = reader.text("name", Need::required);
    if (!build.name.empty() && !is_plain_name(build.name)) {
        reader.problem_at("name", "name must be of a-z, 0-9, '.', '_' and '-'");
    }
    reader.rename(fmt::format("build '{}'", build.name));
    build.kind = reader.text("kind", Need::required);
    if (!build.kind.empty() && build.kind != "initramfs") {
        reader.problem_at("kind", fmt::format("kind = \"{}\": this version of zoo builds initramfs "
                                              "only",
                                              build.kind));
    }
    for (const toml::table* entry : reader.tables("entries")) {
        build.entries.push_back(parse_entry(*entry, reader.what(), problems));
    }
    if (build.entries.empty()) {
        reader.problem(reader.line(), "entries is missing");
    }
    reader.finish();
    return build;
}

Machine parse_machine(const toml::table& table, Problems& problems)
{
    TableReader reader{table, "machine", problems};
    Machine machine;
    machine.board = option_word(reader, "board", Need::required);
    machine.cpu = option_word(reader, "cpu", Need::optional);
    machine.memory_mib =
        static_cast<unsigned>(reader.integer("memory_mib", Need::required, kMemoryMib).value_or(0));
    machine.vga = optional_word(reader, "vga", kVga);
    machine.vga_bios = optional_word(reader, "vga_bios", kVgaBios);
    machine.nic = reader.word("nic", Need::optional, std::span{kNics}.first(1));
    machine.boot = reader.text("boot", Need::optional);
    if (machine.boot.find_first_not_of("acd") != std::string::npos) {
        reader.problem_at("boot", "boot must be of the letters a (floppy), c (disk) and d (CD)");
    }
    machine.rtc_start = parse_rtc_start(reader);
    machine.seed = reader.integer("seed", Need::optional, kAnyNumber);
    machine.ips = reader.integer("ips", Need::optional, {1, INT64_MAX});
    machine.kernel = reader.text("kernel", Need::optional);
    machine.initrd = reader.text("initrd", Need::optional);
    machine.append = reader.text("append", Need::optional);
    for (const char* key : {"initrd", "append"}) {
        if (reader.has(key) && machine.kernel.empty()) {
            reader.problem_at(key, fmt::format("{} needs kernel", key));
        }
    }
    for (const toml::table* drive : reader.tables("drive")) {
        machine.drives.push_back(parse_drive(*drive, problems));
    }
    if (machine.drives.empty() && machine.kernel.empty()) {
        reader.problem(reader.line(), "nothing to boot: neither a drive nor a kernel");
    }
    check_slots(machine, reader);
    for (const char* key : {"smp", "sound", "usb", "dtb"}) {
        if (reader.has(key)) {
            (void)reader.node(key, Need::optional);
            reader.problem_at(key, fmt::format("{} is not known to this version of zoo", key));
        }
    }
    reader.finish();
    return machine;
}

} // namespace zoo
