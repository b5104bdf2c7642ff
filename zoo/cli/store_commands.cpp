// fetch, add, verify, gc: what fills and keeps the store.

#include "base/output.hpp"
#include "zoo/cli/session.hpp"
#include "zoo/machine/machine.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <set>

namespace zoo::cli {

using nlohmann::json;

namespace {

/// Machines of single runs whose zoo was killed: runs/<id>-<process>.
int remove_stale_runs(const std::filesystem::path& data)
{
    std::vector<std::filesystem::path> stale;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator{data / "runs", error}) {
        const std::string name = entry.path().filename();
        const std::string process = name.substr(name.rfind('-') + 1);
        if (!std::filesystem::exists("/proc/" + process)) {
            stale.push_back(entry.path());
        }
    }
    for (const auto& path : stale) {
        std::filesystem::remove_all(path, error);
    }
    return static_cast<int>(stale.size());
}

} // namespace

int fetch_recipes(const Common& common, const FetchCommand& command)
{
    const auto recipes = find_recipes(command.names, command.all);
    const auto session = Session::open();
    if (!recipes || !session) {
        return kMisused;
    }
    const auto progress = make_terminal_progress();
    Fetcher fetcher{session->store, session->data, fetch_options(common), *progress};
    json results = json::array();
    int status = kDone;
    for (const Recipe& recipe : *recipes) {
        auto fetched = fetcher.fetch(recipe);
        json result{{"id", recipe.id}, {"fetched", static_cast<bool>(fetched)}};
        if (!fetched) {
            status = complain(fetched.error(), kFailed);
            result["error"] = fetched.error().message;
        } else {
            for (const auto& [name, media] : fetched.value()) {
                result["media"].push_back(
                    {{"name", name},
                     {"sha256", media.sha256},
                     {"size", media.size},
                     {"version", media.version},
                     {"path", session->store.path_of(media.sha256).string()}});
            }
            if (!common.json) {
                base::note(recipe.id + ": all media are there and verified\n");
            }
        }
        results.push_back(result);
    }
    if (common.json) {
        base::print("{}\n", results.dump(2));
    }
    return status;
}

int add_files(const Common& common, const std::vector<std::string>& files)
{
    const auto session = Session::open();
    if (!session) {
        return kFailed;
    }
    json added = json::array();
    for (const std::string& name : files) {
        auto file = session->store.temporary();
        if (!file) {
            return complain(file.error(), kFailed);
        }
        auto copied = read_file(
            name, [&](std::span<const base::u8> bytes) { return file.value().append(bytes); });
        if (!copied) {
            file.value().discard();
            return complain(copied.error(), kFailed);
        }
        auto digest = session->store.adopt(std::move(file).value(), {});
        if (!digest) {
            return complain(digest.error(), kFailed);
        }
        added.push_back({{"file", name}, {"sha256", digest.value()}});
        if (!common.json) {
            base::print("{}  {}\n", digest.value(), name);
        }
    }
    if (common.json) {
        base::print("{}\n", added.dump(2));
    }
    return kDone;
}

int verify_store(const Common& common)
{
    const auto session = Session::open();
    if (!session) {
        return kFailed;
    }
    json bad = json::array();
    const auto digests = session->store.objects();
    for (const std::string& digest : digests) {
        auto verified = session->store.verify(digest);
        if (!verified) {
            complain(verified.error(), kFailed);
            bad.push_back(digest);
        }
    }
    if (common.json) {
        base::print("{}\n", json{{"objects", digests.size()}, {"bad", bad}}.dump(2));
    } else {
        base::note(fmt::format("{} objects, {} bad\n", digests.size(), bad.size()));
    }
    return bad.empty() ? kDone : kFailed;
}

int collect_garbage(const Common& common, const CollectCommand& command)
{
    const auto session = Session::open();
    const auto catalogue = load_catalogue();
    if (!session || !catalogue) {
        return kFailed;
    }
    std::set<std::string> wanted;
    for (std::string& digest : digests_in_use(session->machines())) {
        wanted.insert(std::move(digest));
    }
    for (const ParsedRecipe& parsed : catalogue->recipes()) {
        for (const Media& media : parsed.recipe.media) {
            if (!command.all) { // archives go: what was taken out of them stays
                wanted.insert(media.final_sha256());
            }
        }
    }
    json removed = json::array();
    base::u64 freed = 0;
    for (const std::string& digest : session->store.objects()) {
        if (wanted.contains(digest)) {
            continue;
        }
        freed += session->store.size_of(digest).value_or(0);
        auto gone = command.dry_run ? base::ok() : session->store.remove(digest);
        if (!gone) {
            return complain(gone.error(), kFailed);
        }
        removed.push_back(digest);
    }
    const int partials =
        command.dry_run ? 0
                        : session->store.remove_stale_partials() + remove_stale_runs(session->data);
    if (common.json) {
        base::print("{}\n",
                    json{{"removed", removed}, {"bytes", freed}, {"partials", partials}}.dump(2));
    } else {
        const std::string told = fmt::format("{} {} objects ({}) and {} leftovers\n",
                                             command.dry_run ? "would remove" : "removed",
                                             removed.size(), format_size(freed), partials);
        command.dry_run ? base::put(stdout, told) : base::note(told);
    }
    return kDone;
}

} // namespace zoo::cli
