#include "zoo/recipe/parse.hpp"

#include "zoo/host/file.hpp"
#include "zoo/recipe/sections.hpp"
#include "zoo/recipe/steps.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <set>

namespace zoo {

using namespace base;

namespace {

constexpr u64 kMaxRecipeSize = 1_MiB;
constexpr Range kHostLimit{1, 24 * 3600};
constexpr std::array<std::string_view, 3> kTiers{"smoke", "nightly", "manual"};
constexpr std::array<std::string_view, 3> kYesNo{"yes", "no", "unknown"};

License parse_license(const toml::table& table, Problems& problems)
{
    TableReader reader{table, "license", problems};
    License license;
    license.spdx = reader.text("spdx", Need::required);
    const std::string may = reader.word("redistributable", Need::required, kYesNo);
    license.redistributable = may == "yes"  ? Redistributable::yes
                              : may == "no" ? Redistributable::no
                                            : Redistributable::unknown;
    license.note = reader.text("note", Need::optional);
    reader.finish();
    return license;
}

Run parse_run(const toml::table& table, const std::filesystem::path& folder, Problems& problems)
{
    TableReader reader{table, "run", problems};
    Run run;
    run.host_limit_s = static_cast<unsigned>(
        reader.integer("host_limit_s", Need::optional, kHostLimit).value_or(run.host_limit_s));
    for (const toml::table* step : reader.tables("steps")) {
        run.steps.push_back(parse_step(*step, run.steps.size() + 1, folder, problems));
    }
    std::set<std::string> pictures;
    for (const Step& step : run.steps) {
        if (step.toml.starts_with("screenshot") && !pictures.insert(step.toml).second) {
            problems.push_back({step.line, "run: two screenshots have the same name"});
        }
    }
    if (run.steps.empty()) {
        reader.problem(reader.line(), "no steps: what proves that it is up?");
    }
    reader.finish();
    return run;
}

void parse_head(TableReader& reader, Recipe& recipe)
{
    (void)reader.integer("schema", Need::required, {1, 1});
    recipe.id = reader.text("id", Need::required);
    recipe.title = reader.text("title", Need::required);
    recipe.version = reader.text("version", Need::required);
    recipe.summary = reader.text("summary", Need::required);
    recipe.homepage = reader.text("homepage", Need::optional);
    recipe.tags = reader.texts("tags", Need::optional);
    recipe.tier = reader.word("tier", Need::required, kTiers);
    recipe.is_default = reader.flag("default");
    recipe.draft = reader.flag("draft");
    const std::string stem = recipe.file.stem();
    if (!recipe.id.empty() && recipe.id != stem) {
        reader.problem_at("id", fmt::format("id must be the file's name, {}", stem));
    }
    if (!recipe.id.empty() && !is_plain_name(recipe.id)) {
        reader.problem_at("id", "id must be of a-z, 0-9, '.', '_' and '-'");
    }
}

/// Names that one part uses and another defines.
void check_references(const Recipe& recipe, Problems& problems)
{
    std::set<std::string> names;
    const auto define = [&](const std::string& name, int line) {
        if (!name.empty() && !names.insert(name).second) {
            problems.push_back({line, fmt::format("two media or builds are called '{}'", name)});
        }
    };
    for (const Media& media : recipe.media) {
        define(media.name, media.line);
    }
    for (const Build& build : recipe.builds) {
        define(build.name, build.line);
    }
    const auto use = [&](const std::string& name, int line, std::string_view user) {
        if (!name.empty() && !names.contains(name)) {
            problems.push_back({line, fmt::format("{}: no media is called '{}'", user, name)});
        }
    };
    for (const Build& build : recipe.builds) {
        for (const BuildEntry& entry : build.entries) {
            if (entry.kind == EntryKind::file_of_media &&
                recipe.find_media(entry.content) == nullptr) {
                problems.push_back({entry.line, fmt::format("build '{}': no media is called '{}'",
                                                            build.name, entry.content)});
            }
        }
    }
    use(recipe.machine.kernel, 0, "machine: kernel");
    use(recipe.machine.initrd, 0, "machine: initrd");
    for (const Drive& drive : recipe.machine.drives) {
        use(drive.media, drive.line, "drive");
    }
}

void parse_table(const toml::table& table, Recipe& recipe, Problems& problems)
{
    TableReader reader{table, "", problems};
    parse_head(reader, recipe);
    if (const toml::table* license = reader.table("license", Need::required)) {
        recipe.license = parse_license(*license, problems);
    }
    for (const toml::table* media : reader.tables("media")) {
        recipe.media.push_back(parse_media(*media, !recipe.draft, problems));
    }
    for (const toml::table* build : reader.tables("build")) {
        recipe.builds.push_back(parse_build(*build, problems));
    }
    if (const toml::table* machine = reader.table("machine", Need::required)) {
        recipe.machine = parse_machine(*machine, problems);
    }
    if (const toml::table* run = reader.table("run", Need::required)) {
        recipe.run = parse_run(*run, recipe.file.parent_path(), problems);
    }
    for (const char* key : {"install", "expect"}) {
        if (reader.has(key)) {
            (void)reader.node(key, Need::optional);
            reader.problem_at(key, fmt::format("[{}] is not known to this version of zoo", key));
        }
    }
    reader.finish();
    check_references(recipe, problems);
}

} // namespace

ParsedRecipe parse_recipe(std::string_view text, const std::filesystem::path& file)
{
    ParsedRecipe parsed;
    parsed.recipe.file = file;
    parsed.recipe.os = file.parent_path().filename();
    if (text.size() > kMaxRecipeSize) {
        parsed.problems.push_back({0, "larger than 1 MiB"});
        return parsed;
    }
    try {
        const toml::table table = toml::parse(text);
        parse_table(table, parsed.recipe, parsed.problems);
    } catch (const toml::parse_error& error) {
        parsed.problems.push_back({static_cast<int>(error.source().begin.line),
                                   fmt::format("not TOML: {}", error.description())});
    }
    std::ranges::stable_sort(parsed.problems, {}, &Problem::line);
    return parsed;
}

ParsedRecipe load_recipe(const std::filesystem::path& file)
{
    auto text = read_text(file, kMaxRecipeSize);
    if (!text) {
        ParsedRecipe parsed;
        parsed.recipe.file = file;
        parsed.problems.push_back({0, text.error().message});
        return parsed;
    }
    return parse_recipe(text.value(), file);
}

} // namespace zoo
