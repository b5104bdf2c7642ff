#include "zoo/machine/machine.hpp"

#include "zoo/host/process.hpp"
#include "zoo/machine/initramfs.hpp"
#include "zoo/machine/overlay.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <cstdlib>

namespace zoo {

namespace fs = std::filesystem;
using base::Errc;
using base::Result;
using base::Status;

namespace {

constexpr base::u64 kMaxManifestSize = 64 * 1024;
constexpr const char* kManifest = "machine.json";

std::string_view kind_name(DriveKind kind)
{
    switch (kind) {
    case DriveKind::disk:
        return "disk";
    case DriveKind::cdrom:
        return "cdrom";
    case DriveKind::floppy:
        return "floppy";
    }
    return {};
}

bool has_overlay(const Drive& drive)
{
    return drive.kind != DriveKind::cdrom;
}

std::string drive_name(const Drive& drive)
{
    return fmt::format("{}{}", kind_name(drive.kind), drive.index);
}

/// What the folder's overlays depend on.
nlohmann::json make_manifest(const Recipe& recipe, const Materials& materials)
{
    nlohmann::json drives = nlohmann::json::object();
    for (const Drive& drive : recipe.machine.drives) {
        drives[drive_name(drive)] = materials.digest(drive.media);
    }
    return {{"schema", 1}, {"recipe", recipe.id}, {"drives", drives}};
}

/// Commas separate the parts of an option's value; a doubled one stands for itself.
std::string escape_commas(const std::string& text)
{
    std::string escaped;
    for (const char c : text) {
        escaped += c == ',' ? std::string{",,"} : std::string(1, c);
    }
    return escaped;
}

std::string drive_option(const Drive& drive, const MachineFolder& machine,
                         const Materials& materials)
{
    const fs::path image = has_overlay(drive) ? machine.image(drive) : materials.path(drive.media);
    const std::string format = has_overlay(drive) ? "qcow2" : drive.format;
    std::string option =
        fmt::format("file={},format={},if={},index={}", escape_commas(image.string()), format,
                    drive.kind == DriveKind::floppy ? "floppy" : "ide", drive.index);
    if (drive.kind == DriveKind::cdrom) {
        option += ",media=cdrom,readonly=on";
    }
    return option;
}

} // namespace

fs::path Materials::path(const std::string& name) const
{
    return fs::absolute(store_->path_of(digest(name)));
}

Result<Materials> Materials::gather(const Store& store, const Recipe& recipe,
                                    const FetchedSet& fetched)
{
    Materials materials{store};
    for (const auto& [name, media] : fetched) {
        materials.digests_[name] = media.sha256;
    }
    for (const Build& build : recipe.builds) {
        auto cpio = make_cpio(build, [&](const std::string& name) -> Result<fs::path> {
            return materials.path(name);
        });
        auto packed = cpio ? gzip(cpio.value()) : std::move(cpio);
        if (!packed) {
            return std::move(packed).error().in("building " + build.name);
        }
        const std::string digest = sha256_of(packed.value());
        if (!store.has(digest)) {
            auto file = store.temporary();
            if (!file) {
                return std::move(file).error();
            }
            auto written = file.value().append(
                {reinterpret_cast<const base::u8*>(packed.value().data()), packed.value().size()});
            if (!written) {
                return std::move(written).error();
            }
            auto adopted = store.adopt(std::move(file).value(), {digest, {}});
            if (!adopted) {
                return std::move(adopted).error();
            }
        }
        materials.digests_[build.name] = digest;
    }
    return materials;
}

fs::path MachineFolder::image(const Drive& drive) const
{
    return folder_ / (drive_name(drive) + ".qcow2");
}

Result<MachineFolder> MachineFolder::open(const fs::path& folder, const Recipe& recipe,
                                          const Materials& materials, Reuse reuse)
{
    auto made = make_folder(folder);
    if (!made) {
        return std::move(made).error();
    }
    auto lock = FileLock::attempt(folder / "lock");
    if (!lock) {
        return base::fail(lock.error().code,
                          lock.error().code == Errc::invalid_argument
                              ? "this machine is running already (" + folder.string() + ")"
                              : lock.error().message);
    }
    MachineFolder machine{fs::absolute(folder), std::move(lock).value()};
    const nlohmann::json manifest = make_manifest(recipe, materials);
    auto text = read_text(folder / kManifest, kMaxManifestSize);
    const auto known = nlohmann::json::parse(text ? text.value() : "", nullptr, false);
    if (reuse == Reuse::keep && !known.is_discarded()) {
        if (known != manifest) {
            return base::fail(Errc::invalid_argument,
                              fmt::format("the machine in {} was made from other media than the "
                                          "recipe has now; `zoo reset {}` or --fresh makes it anew",
                                          folder.string(), recipe.id));
        }
        return machine;
    }
    std::error_code error;
    fs::remove(folder / kManifest, error); // a half-made machine has none
    for (const Drive& drive : recipe.machine.drives) {
        if (!has_overlay(drive)) {
            continue;
        }
        fs::remove(machine.image(drive), error);
        auto overlay =
            make_overlay(machine.image(drive), materials.path(drive.media), drive.format);
        if (!overlay) {
            return std::move(overlay).error().in("making the overlay " + drive_name(drive));
        }
    }
    auto written = write_text(folder / kManifest, manifest.dump(2) + "\n");
    if (!written) {
        return std::move(written).error();
    }
    return machine;
}

std::vector<std::string> digests_in_use(const fs::path& machines)
{
    std::vector<std::string> digests;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator{machines, error}) {
        auto text = read_text(entry.path() / kManifest, kMaxManifestSize);
        const auto manifest = nlohmann::json::parse(text ? text.value() : "", nullptr, false);
        if (!manifest.is_object() || !manifest.contains("drives")) {
            continue;
        }
        for (const auto& [name, digest] : manifest["drives"].items()) {
            digests.push_back(digest.is_string() ? digest.get<std::string>() : "");
        }
    }
    return digests;
}

Result<fs::path> find_emulator()
{
    const char* named = std::getenv("MENAGERIE_EMULATOR");
    const fs::path path =
        named != nullptr && *named != '\0' ? fs::path{named} : program_folder() / "emulator";
    if (::access(path.c_str(), X_OK) != 0) {
        return system_error(path).in("the emulator");
    }
    return path;
}

std::vector<std::string> emulator_command(const fs::path& emulator, const Recipe& recipe,
                                          const Materials& materials, const MachineFolder& machine)
{
    // The LGPL VGA BIOS of Debian's vgabios package, for the standard VGA; the emulator finds it.
    constexpr const char* kLgplVgaBios = "vgabios.stdvga.bin";
    const Machine& spec = recipe.machine;
    std::vector<std::string> command{emulator,   "-name", escape_commas(recipe.title),    "-M",
                                     spec.board, "-m",    std::to_string(spec.memory_mib)};
    const auto add = [&](const char* option, const std::string& value) {
        if (!value.empty()) {
            command.insert(command.end(), {option, value});
        }
    };
    add("-cpu", spec.cpu);
    add("-nic", spec.nic);
    if (spec.vga_bios == "lgpl") {
        add("-vga", "none");
        add("-device", std::string{"VGA,romfile="} + kLgplVgaBios);
    } else {
        add("-vga", spec.vga);
    }
    for (const Drive& drive : spec.drives) {
        add("-drive", drive_option(drive, machine, materials));
    }
    add("-boot", spec.boot.empty() ? "" : "order=" + spec.boot);
    if (!spec.kernel.empty()) {
        add("-kernel", materials.path(spec.kernel));
    }
    if (!spec.initrd.empty()) {
        add("-initrd", materials.path(spec.initrd));
    }
    add("-append", spec.append);
    add("--rtc-start", spec.rtc_start);
    add("--seed", spec.seed ? std::to_string(*spec.seed) : "");
    add("--ips", spec.ips ? std::to_string(*spec.ips) : "");
    return command;
}

std::string script_text(const Recipe& recipe)
{
    std::string script = fmt::format("# The [run] steps of {}\nschema = 1\nhost_limit_s = {}\n",
                                     recipe.id, recipe.run.host_limit_s);
    for (const Step& step : recipe.run.steps) {
        script += "\n[[steps]]\n" + step.toml;
    }
    return script;
}

} // namespace zoo
