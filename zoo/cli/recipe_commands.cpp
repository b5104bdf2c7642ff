// list, search, info, check: what looks at recipes only.

#include "base/output.hpp"
#include "zoo/cli/session.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace zoo::cli {

using nlohmann::json;

namespace {

bool is_fetched(const Session& session, const Recipe& recipe)
{
    return std::ranges::all_of(
        recipe.media, [&](const Media& media) { return session.store.has(media.final_sha256()); });
}

base::u64 total_size(const Recipe& recipe)
{
    base::u64 total = 0;
    for (const Media& media : recipe.media) {
        total += media.final_size();
    }
    return total;
}

std::string lower(std::string text)
{
    for (char& c : text) {
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    return text;
}

/// Every word must be in the id, OS, title, summary or tags.
bool matches(const Recipe& recipe, const std::string& words)
{
    std::string text = recipe.id + " " + recipe.os + " " + recipe.title + " " + recipe.summary;
    for (const std::string& tag : recipe.tags) {
        text += " " + tag;
    }
    text = lower(text);
    std::string word;
    for (const char c : lower(words) + " ") {
        if (c != ' ') {
            word += c;
        } else if (text.find(word) == text.npos) {
            return false;
        } else {
            word.clear();
        }
    }
    return true;
}

int print_list(const Common& common, const std::string& words)
{
    const auto catalogue = load_catalogue();
    const auto session = Session::open();
    if (!catalogue || !session) {
        return kMisused;
    }
    json list = json::array();
    int status = kDone;
    for (const ParsedRecipe& parsed : catalogue->recipes()) {
        const Recipe& recipe = parsed.recipe;
        if (!parsed.problems.empty()) {
            base::print(stderr, "zoo: {} has problems; see `zoo check`\n", recipe.file.string());
            status = kFailed;
            continue;
        }
        if (!matches(recipe, words)) {
            continue;
        }
        const bool fetched = is_fetched(*session, recipe);
        list.push_back({{"id", recipe.id},
                        {"os", recipe.os},
                        {"title", recipe.title},
                        {"version", recipe.version},
                        {"summary", recipe.summary},
                        {"tier", recipe.tier},
                        {"default", recipe.is_default},
                        {"size", total_size(recipe)},
                        {"fetched", fetched}});
        if (!common.json) {
            base::print("{:<18} {:<9} {:>10}  {}{}\n", recipe.id, fetched ? "fetched" : "",
                        format_size(total_size(recipe)), recipe.title,
                        recipe.is_default ? fmt::format("  (the default of {})", recipe.os) : "");
        }
    }
    if (common.json) {
        base::print("{}\n", list.dump(2));
    } else if (list.empty()) {
        base::print(stderr, "zoo: nothing found\n");
    }
    return list.empty() ? kFailed : status;
}

json describe_media(const Session& session, const Media& media)
{
    json provenance = json::array();
    for (const Provenance& said : media.provenance) {
        provenance.push_back(
            {{"source", said.source}, {"seen", said.seen}, {"confirmed", said.confirmed}});
    }
    json described{{"name", media.name},
                   {"size", media.final_size()},
                   {"sha256", media.final_sha256()},
                   {"urls", media.urls},
                   {"fetched", session.store.has(media.final_sha256())},
                   {"provenance", provenance}};
    if (!media.unpack.empty()) {
        described["archive"] = {
            {"unpack", media.unpack}, {"size", media.size}, {"sha256", media.sha256}};
        described["member"] = media.member;
    }
    if (media.chunks) {
        described["chunks"] = media.chunks->url;
    }
    if (session.store.has(media.final_sha256())) {
        described["path"] = session.store.path_of(media.final_sha256()).string();
    }
    return described;
}

void print_media(const json& media)
{
    base::print("\n  {}: {}, SHA-256 {}\n", media["name"].get<std::string>(),
                format_size(media["size"]), media["sha256"].get<std::string>());
    for (const json& url : media["urls"]) {
        base::print("    from {}\n", url.get<std::string>());
    }
    if (media.contains("chunks")) {
        base::print("    from {}\n", media["chunks"].get<std::string>());
    }
    if (media.contains("archive")) {
        base::print(
            "    there: {}, {}, SHA-256 {}\n", media["archive"]["unpack"].get<std::string>(),
            format_size(media["archive"]["size"]), media["archive"]["sha256"].get<std::string>());
    }
    for (const json& said : media["provenance"]) {
        base::print("    digest: {} ({}{})\n", said["source"].get<std::string>(),
                    said["seen"].get<std::string>(), said["confirmed"] ? ", confirmed" : "");
    }
    base::print("    {}\n", media.contains("path") ? media["path"].get<std::string>()
                                                   : std::string{"not fetched"});
}

} // namespace

int list_recipes(const Common& common)
{
    return print_list(common, "");
}

int search_recipes(const Common& common, const std::string& words)
{
    return print_list(common, words);
}

int show_recipe(const Common& common, const std::string& name)
{
    const auto recipes = find_recipes({name}, false);
    const auto session = Session::open();
    if (!recipes || !session) {
        return kMisused;
    }
    const Recipe& recipe = recipes->front();
    json media = json::array();
    for (const Media& one : recipe.media) {
        media.push_back(describe_media(*session, one));
    }
    const Machine& machine = recipe.machine;
    if (common.json) {
        const json all{
            {"id", recipe.id},
            {"os", recipe.os},
            {"title", recipe.title},
            {"version", recipe.version},
            {"summary", recipe.summary},
            {"homepage", recipe.homepage},
            {"tags", recipe.tags},
            {"tier", recipe.tier},
            {"default", recipe.is_default},
            {"license", recipe.license.spdx},
            {"file", recipe.file.string()},
            {"media", media},
            {"machine",
             {{"board", machine.board}, {"cpu", machine.cpu}, {"memory_mib", machine.memory_mib}}},
            {"steps", recipe.run.steps.size()}};
        base::print("{}\n", all.dump(2));
        return kDone;
    }
    base::print(
        "{} ({} {})\n{}\n\n  licence: {}{}\n  machine: {}{}, {} MiB\n  steps that prove it: {}\n",
        recipe.title, recipe.os, recipe.version, recipe.summary, recipe.license.spdx,
        recipe.license.note.empty() ? "" : "; " + recipe.license.note, machine.board,
        machine.cpu.empty() ? "" : ", " + machine.cpu, machine.memory_mib, recipe.run.steps.size());
    std::ranges::for_each(media, print_media);
    return kDone;
}

int check_recipes(const Common& common, const std::vector<std::string>& names)
{
    std::vector<ParsedRecipe> checked;
    std::vector<std::string> conflicts;
    if (names.empty()) {
        const auto catalogue = load_catalogue();
        if (!catalogue) {
            return kMisused;
        }
        checked = catalogue->recipes();
        conflicts = catalogue->conflicts();
    }
    for (const std::string& name : names) {
        checked.push_back(load_recipe(name));
    }
    json problems = json::array();
    for (const ParsedRecipe& parsed : checked) {
        for (const Problem& problem : parsed.problems) {
            problems.push_back({{"file", parsed.recipe.file.string()},
                                {"line", problem.line},
                                {"text", problem.text}});
        }
        if (!common.json) {
            base::print("{}", format_problems(parsed));
        }
    }
    for (const std::string& conflict : conflicts) {
        problems.push_back({{"file", ""}, {"line", 0}, {"text", conflict}});
        if (!common.json) {
            base::print("{}\n", conflict);
        }
    }
    if (common.json) {
        base::print("{}\n", problems.dump(2));
    } else if (problems.empty()) {
        base::print("{} recipes, no problems\n", checked.size());
    }
    return problems.empty() ? kDone : kMisused;
}

} // namespace zoo::cli
