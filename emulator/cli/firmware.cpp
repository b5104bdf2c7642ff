#include "emulator/cli/firmware.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace emu::cli {

namespace {

using base::Errc;
using base::u64;
using base::u8;

constexpr u64 kMaxFirmware = u64{16} << 20;

} // namespace

std::vector<std::string> default_firmware_folders()
{
    std::vector<std::string> folders;
    std::error_code error;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
    if (!error) {
        folders.push_back(
            (program.parent_path() / "../share/menagerie/firmware").lexically_normal());
    }
    std::istringstream path{MENAGERIE_FIRMWARE_PATH};
    for (std::string folder; std::getline(path, folder, ':');) {
        folders.push_back(folder);
    }
    return folders;
}

base::Result<std::vector<u8>> read_file(const std::string& path, u64 limit)
{
    std::error_code error;
    const u64 size = std::filesystem::file_size(path, error);
    if (error) {
        return base::fail(Errc::io, "cannot open '" + path + "': " + error.message());
    }
    if (size > limit) {
        return base::fail(Errc::unsupported,
                          "'" + path + "' is larger than " + std::to_string(limit >> 20) + " MiB");
    }
    std::vector<u8> bytes(size);
    std::ifstream file{path, std::ios::binary};
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
    if (!file) {
        return base::fail(Errc::io, "cannot read '" + path + "'");
    }
    return bytes;
}

base::Result<std::vector<u8>> read_firmware(const std::string& name,
                                            const std::vector<std::string>& folders)
{
    std::vector<std::string> candidates;
    const auto look_in = [&](const std::vector<std::string>& places) {
        for (const std::string& folder : places) {
            candidates.push_back(folder);
            candidates.back().append("/").append(name);
        }
    };
    look_in(folders);
    candidates.push_back(name);
    if (name.find('/') == std::string::npos) {
        look_in(default_firmware_folders());
    }
    std::string tried;
    for (const std::string& path : candidates) {
        std::error_code error;
        if (std::filesystem::is_regular_file(path, error)) {
            return read_file(path, kMaxFirmware);
        }
        tried += (tried.empty() ? "" : ", ") + path;
    }
    return base::fail(Errc::io, "firmware '" + name + "' not found (looked for " + tried +
                                    "; Debian's packages seabios and vgabios have it)");
}

} // namespace emu::cli
