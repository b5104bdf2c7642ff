#include "zoo/fetch/deb_archive.hpp"

#include "zoo/host/process.hpp"
#include "zoo/unpack/unpack.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <sstream>

namespace zoo {

namespace fs = std::filesystem;
using base::Errc;
using base::Result;
using base::Status;

namespace {

using Note = std::function<void(std::string)>;

// Lists younger than this are not refreshed when the current version is asked for.
constexpr auto kFreshLists = std::chrono::hours{24};

/// The system's settings on how to reach the archive (proxies, retries); none of its hooks.
std::string acquire_settings()
{
    auto dump = run_captured({{"apt-config", "dump"}, {}, {}});
    std::string kept;
    if (dump && dump.value().exit_status == 0) {
        std::istringstream lines{dump.value().output};
        for (std::string line; std::getline(lines, line);) {
            if (line.starts_with("Acquire::")) {
                kept += line + "\n";
            }
        }
    }
    return kept;
}

std::string last_complaint(const std::string& output)
{
    std::string complaint;
    std::istringstream lines{output};
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("E: ")) {
            complaint += (complaint.empty() ? "" : "; ") + line.substr(3);
        }
    }
    return complaint.empty() ? "apt failed without saying why" : complaint;
}

/// apt with private state for one architecture; locked while this lives.
class Apt {
public:
    static Result<Apt> prepare(const fs::path& root, const std::string& arch,
                               const DebOptions& options)
    {
        const fs::path folder = fs::absolute(root) / arch;
        for (const char* sub : {"state/lists/partial", "cache/archives/partial", "download"}) {
            auto made = make_folder(folder / sub);
            if (!made) {
                return std::move(made).error();
            }
        }
        auto lock = FileLock::wait(folder / "lock", [] {});
        if (!lock) {
            return std::move(lock).error();
        }
        std::error_code error;
        for (const auto& left : fs::directory_iterator{folder / "download", error}) {
            fs::remove(left.path(), error); // of a run that was killed
        }
        const std::string configuration =
            acquire_settings() + fmt::format(R"(
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "false";
APT::Architecture "{0}";
APT::Architectures {{ "{0}"; }};
APT::Get::AllowUnauthenticated "false";
APT::Sandbox::User "root";
Dir::Etc::Parts "/dev/null";
Dir::Etc::Main "/dev/null";
Dir::State "{1}/state";
Dir::State::status "{1}/status";
Dir::Cache "{1}/cache";
{2}
)",
                                             arch, folder.string(), options.extra_configuration);
        for (const auto& [name, text] :
             {std::pair{"status", std::string{}}, std::pair{"apt.conf", configuration}}) {
            auto written = write_text(folder / name, text);
            if (!written) {
                return std::move(written).error();
            }
        }
        return Apt{folder, std::move(lock).value()};
    }

    Result<Finished> run(std::vector<std::string> arguments) const
    {
        return run_captured({std::move(arguments),
                             {{"APT_CONFIG", (folder_ / "apt.conf").string()}, {"LC_ALL", "C"}},
                             folder_ / "download"});
    }

    /// Some source that cannot be reached must not stop us: what is needed may come from another.
    Status update(const Note& note)
    {
        if (updated_) {
            return base::ok();
        }
        updated_ = true;
        note("refreshing the package lists");
        auto done = run({"apt-get", "-q", "update"});
        if (!done) {
            return std::move(done).error();
        }
        auto stamped = write_text(folder_ / "updated", "");
        if (done.value().exit_status != 0) {
            note("not every package source could be refreshed");
        }
        return stamped;
    }

    bool lists_are_fresh() const
    {
        std::error_code error;
        const auto when = fs::last_write_time(folder_ / "updated", error);
        return !error && fs::file_time_type::clock::now() - when < kFreshLists;
    }

    const fs::path& folder() const { return folder_; }

private:
    Apt(fs::path folder, FileLock lock) : folder_{std::move(folder)}, lock_{std::move(lock)} {}
    fs::path folder_;
    FileLock lock_;
    bool updated_ = false;
};

/// Runs a query or download with the lists at hand, and again with fresh ones when it failed.
Result<std::string> ask(Apt& apt, const std::vector<std::string>& arguments, bool must_be_fresh,
                        const Note& note)
{
    if (must_be_fresh && !apt.lists_are_fresh()) {
        auto updated = apt.update(note);
        if (!updated) {
            return std::move(updated).error();
        }
    }
    auto done = apt.run(arguments);
    if (done && done.value().exit_status != 0) {
        auto updated = apt.update(note);
        if (!updated) {
            return std::move(updated).error();
        }
        done = apt.run(arguments);
    }
    if (!done) {
        return std::move(done).error();
    }
    if (done.value().exit_status != 0) {
        return base::fail(Errc::io, last_complaint(done.value().output));
    }
    return std::move(done).value().output;
}

/// The version in PACKAGE_VERSION_ARCH.deb; apt writes a colon as %3a.
std::string version_in_name(const std::string& file_name)
{
    const std::size_t first = file_name.find('_');
    const std::size_t last = file_name.rfind('_');
    if (first == file_name.npos || last <= first) {
        return {};
    }
    std::string version = file_name.substr(first + 1, last - first - 1);
    if (const std::size_t colon = version.find("%3a"); colon != version.npos) {
        version.replace(colon, 3, ":");
    }
    return version;
}

} // namespace

Result<DebFile> DebArchive::download(const DebUrl& url, const Note& note)
{
    auto apt = Apt::prepare(folder_, url.arch, options_);
    if (!apt) {
        return std::move(apt).error();
    }
    const std::string wanted =
        url.package + ":" + url.arch + (url.version.empty() ? "" : "=" + url.version);
    auto done = ask(apt.value(), {"apt-get", "-q", "download", wanted}, url.version.empty(), note);
    if (!done) {
        return std::move(done).error().in("apt");
    }
    std::error_code error;
    for (const auto& entry : fs::directory_iterator{apt.value().folder() / "download", error}) {
        const std::string name = entry.path().filename();
        if (name.starts_with(url.package + "_") && name.ends_with(".deb")) {
            // Out of the folder that the next user of the lock clears.
            const fs::path kept = folder_ / (name + "." + std::to_string(::getpid()));
            fs::rename(entry.path(), kept, error);
            if (error) {
                return base::fail(Errc::io, kept.string() + ": " + error.message());
            }
            return DebFile{kept, url.package, version_in_name(name)};
        }
    }
    return base::fail(Errc::io, "apt: " + wanted + " was not downloaded");
}

Result<std::string> DebArchive::dependency(const DebUrl& url, const std::string& glob,
                                           const Note& note)
{
    auto apt = Apt::prepare(folder_, url.arch, options_);
    if (!apt) {
        return std::move(apt).error();
    }
    auto shown =
        ask(apt.value(), {"apt-cache", "depends", url.package + ":" + url.arch}, true, note);
    if (!shown) {
        return std::move(shown).error().in("apt");
    }
    std::istringstream lines{shown.value()};
    for (std::string line; std::getline(lines, line);) {
        constexpr std::string_view kDepends = "Depends: ";
        const std::size_t at = line.find(kDepends);
        if (at == line.npos) {
            continue;
        }
        std::string name = line.substr(at + kDepends.size());
        name = name.substr(0, name.find(':')); // "name:any"
        if (is_debian_name(name) && matches_glob(glob, name)) {
            return name;
        }
    }
    return base::fail(Errc::corrupt, url.package + " has no dependency like " + glob);
}

} // namespace zoo
