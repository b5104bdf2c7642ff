// boot, test, rm, reset: what makes machines and runs them.

#include "base/output.hpp"
#include "zoo/cli/session.hpp"
#include "zoo/host/process.hpp"
#include "zoo/machine/machine.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <cstdlib>

namespace zoo::cli {

namespace fs = std::filesystem;
using base::Result;
using nlohmann::json;

namespace {

constexpr base::u64 kMaxReportSize = 16 * 1024 * 1024;

/// A machine with everything that it needs on this host's disk.
struct Prepared {
    Materials materials;
    MachineFolder machine;
    std::vector<std::string> command;
};

Result<Prepared> prepare(const Common& common, const Session& session, const Recipe& recipe,
                         const fs::path& folder, Reuse reuse)
{
    auto emulator = find_emulator();
    if (!emulator) {
        return std::move(emulator).error();
    }
    const auto progress = make_terminal_progress();
    auto fetched =
        Fetcher{session.store, session.data, fetch_options(common), *progress}.fetch(recipe);
    if (!fetched) {
        return std::move(fetched).error();
    }
    for (const auto& [name, media] : fetched.value()) {
        if (!media.version.empty()) {
            base::print(stderr,
                        "zoo: '{}' is not the version that the recipe was tested with, but {}, "
                        "verified by the signature of Debian's archive\n",
                        name, media.version);
        }
    }
    auto materials = Materials::gather(session.store, recipe, fetched.value());
    if (!materials) {
        return std::move(materials).error();
    }
    auto machine = MachineFolder::open(folder, recipe, materials.value(), reuse);
    if (!machine) {
        return std::move(machine).error();
    }
    auto command = emulator_command(emulator.value(), recipe, materials.value(), machine.value());
    return Prepared{std::move(materials).value(), std::move(machine).value(), std::move(command)};
}

/// A folder that goes when the run is over.
class TemporaryFolder {
public:
    explicit TemporaryFolder(fs::path path) : path_{std::move(path)} {}
    ~TemporaryFolder()
    {
        std::error_code error;
        fs::remove_all(path_, error);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    const fs::path& path() const { return path_; }

private:
    fs::path path_;
};

fs::path run_folder(const Session& session, const Recipe& recipe)
{
    return session.data / "runs" / fmt::format("{}-{}", recipe.id, ::getpid());
}

bool has_window_system()
{
    return std::getenv("DISPLAY") != nullptr || std::getenv("WAYLAND_DISPLAY") != nullptr ||
           std::getenv("SDL_VIDEODRIVER") != nullptr;
}

void choose_front(std::vector<std::string>& command, bool headless, const fs::path& folder)
{
    if (!headless && !has_window_system()) {
        base::print(stderr, "zoo: there is no window system here (DISPLAY is not set): going "
                            "on as with --headless\n");
        headless = true;
    }
    if (headless) {
        base::print(stderr, "zoo: headless; this terminal is the guest's first serial port\n");
        command.insert(command.end(), {"-display", "none", "-serial", "stdio"});
    } else {
        command.insert(command.end(),
                       {"-display", "sdl", "-serial", "file:" + (folder / "serial0.log").string()});
    }
}

struct Outcome {
    bool passed = false;
    std::string reason;
    double guest_s = 0, host_s = 0;
    fs::path report;
};

Outcome judge(const Result<Finished>& finished, const fs::path& report)
{
    Outcome outcome;
    outcome.report = report;
    if (!finished) {
        outcome.reason = finished.error().message;
        return outcome;
    }
    outcome.passed = finished.value().exit_status == 0;
    auto text = read_text(report / "report.json", kMaxReportSize);
    const json said = json::parse(text ? text.value() : "", nullptr, false);
    if (said.is_object()) {
        outcome.guest_s = said.value("guest_s", 0.0);
        outcome.host_s = said.value("host_s", 0.0);
        outcome.reason = said.value("reason", "");
    }
    if (!outcome.passed && outcome.reason.empty()) {
        outcome.reason = fmt::format("the emulator ended with status {}: {}",
                                     finished.value().exit_status, finished.value().output);
    }
    return outcome;
}

Outcome test_recipe(const Common& common, const Session& session, const Recipe& recipe,
                    const TestCommand& command)
{
    const TemporaryFolder folder{run_folder(session, recipe)};
    const fs::path report =
        fs::absolute(command.report.empty() ? session.data / "reports" / recipe.id
                                            : fs::path{command.report} / recipe.id);
    std::error_code error;
    fs::remove_all(report, error);
    auto made = make_folder(report);
    auto prepared = prepare(common, session, recipe, folder.path(), Reuse::fresh);
    if (!made || !prepared) {
        return {false, made ? prepared.error().message : made.error().message, 0, 0, report};
    }
    const fs::path script = report / "script.toml";
    auto written = write_text(script, script_text(recipe));
    if (!written) {
        return {false, written.error().message, 0, 0, report};
    }
    std::vector<std::string>& arguments = prepared.value().command;
    arguments.insert(arguments.end(), {"-display", "none", "--script", script.string(), "--report",
                                       report.string()});
    arguments.insert(arguments.end(), command.extra.begin(), command.extra.end());
    (void)write_text(report / "command.txt", quote_command(arguments) + "\n");
    return judge(run_captured({arguments, {}, {}}), report);
}

} // namespace

int boot_machine(const Common& common, const BootCommand& command)
{
    const auto recipes = find_recipes({command.name}, false);
    const auto session = Session::open();
    if (!recipes || !session) {
        return kMisused;
    }
    const Recipe& recipe = recipes->front();
    std::optional<TemporaryFolder> temporary;
    fs::path folder = session->machines() / recipe.id;
    if (command.ephemeral) {
        temporary.emplace(run_folder(*session, recipe));
        folder = temporary->path();
    }
    auto prepared = prepare(common, *session, recipe, folder,
                            command.fresh || command.ephemeral ? Reuse::fresh : Reuse::keep);
    if (!prepared) {
        return complain(prepared.error(), kFailed);
    }
    std::vector<std::string>& arguments = prepared.value().command;
    choose_front(arguments, command.headless, prepared.value().machine.path());
    arguments.insert(arguments.end(), command.extra.begin(), command.extra.end());
    if (command.print_command) {
        base::print("{}\n", quote_command(arguments));
        return kDone;
    }
    auto finished = run_in_terminal({arguments, {}, {}});
    return finished ? finished.value().exit_status : complain(finished.error(), kFailed);
}

int test_recipes(const Common& common, const TestCommand& command)
{
    const auto recipes = find_recipes(command.names, command.all);
    const auto session = Session::open();
    if (!recipes || !session) {
        return kMisused;
    }
    json results = json::array();
    std::size_t passed = 0;
    for (const Recipe& recipe : *recipes) {
        const Outcome outcome = test_recipe(common, *session, recipe, command);
        passed += outcome.passed ? 1 : 0;
        results.push_back({{"id", recipe.id},
                           {"passed", outcome.passed},
                           {"reason", outcome.reason},
                           {"guest_s", outcome.guest_s},
                           {"host_s", outcome.host_s},
                           {"report", outcome.report.string()}});
        if (!common.json) {
            base::note(
                fmt::format("{} {:<18} {:.1f} s of guest time in {:.1f} s{}{}\n",
                            outcome.passed ? "PASS" : "FAIL", recipe.id, outcome.guest_s,
                            outcome.host_s, outcome.passed ? "" : "\n     " + outcome.reason,
                            outcome.passed ? "" : "\n     report: " + outcome.report.string()));
        }
    }
    if (common.json) {
        base::print("{}\n", results.dump(2));
    } else {
        base::note(fmt::format("{} of {} passed\n", passed, recipes->size()));
    }
    return passed == recipes->size() ? kDone : kFailed;
}

int remove_machines(const Common&, const std::vector<std::string>& names)
{
    const auto session = Session::open();
    if (!session) {
        return kFailed;
    }
    for (const std::string& name : names) {
        const auto recipes = find_recipes({name}, false);
        if (!recipes) {
            return kMisused;
        }
        const fs::path folder = session->machines() / recipes->front().id;
        if (!fs::exists(folder)) {
            base::print(stderr, "zoo: {} has no machine\n", recipes->front().id);
            return kFailed;
        }
        auto lock = FileLock::attempt(folder / "lock");
        if (!lock) {
            return complain(std::move(lock).error().in("the machine is running"), kFailed);
        }
        std::error_code error;
        fs::remove_all(folder, error);
        if (error) {
            base::print(stderr, "zoo: {}: {}\n", folder.string(), error.message());
            return kFailed;
        }
    }
    return kDone;
}

int reset_machine(const Common& common, const std::string& name)
{
    const auto recipes = find_recipes({name}, false);
    const auto session = Session::open();
    if (!recipes || !session) {
        return kMisused;
    }
    const Recipe& recipe = recipes->front();
    auto prepared =
        prepare(common, *session, recipe, session->machines() / recipe.id, Reuse::fresh);
    return prepared ? kDone : complain(prepared.error(), kFailed);
}

} // namespace zoo::cli
