#include "zoo/recipe/catalogue.hpp"

#include "zoo/host/process.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <numeric>

namespace zoo {

namespace fs = std::filesystem;
using base::Errc;
using base::Result;

namespace {

/// Levenshtein's distance: how many letters a typing error changed.
std::size_t distance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), 0);
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
        }
    }
    return row.back();
}

Result<Recipe> unless_broken(const ParsedRecipe& parsed)
{
    if (!parsed.problems.empty()) {
        return base::fail(Errc::invalid_argument,
                          "the recipe has problems:\n" + format_problems(parsed));
    }
    return parsed.recipe;
}

} // namespace

Result<Catalogue> Catalogue::load(const fs::path& folder)
{
    Catalogue catalogue;
    std::error_code error;
    for (const auto& os : fs::directory_iterator{folder, error}) {
        std::error_code not_a_folder;
        for (const auto& file : fs::directory_iterator{os.path(), not_a_folder}) {
            if (file.path().extension() == ".toml") {
                catalogue.recipes_.push_back(load_recipe(file.path()));
            }
        }
    }
    if (error) {
        return base::fail(Errc::io, folder.string() + ": " + error.message());
    }
    std::ranges::sort(catalogue.recipes_, {}, [](const ParsedRecipe& parsed) {
        return parsed.recipe.file.stem().string();
    });
    return catalogue;
}

Result<Recipe> Catalogue::find(const std::string& name) const
{
    if (name.ends_with(".toml")) {
        return unless_broken(load_recipe(name));
    }
    std::vector<const ParsedRecipe*> of_os;
    for (const ParsedRecipe& parsed : recipes_) {
        if (parsed.recipe.file.stem() == name) {
            return unless_broken(parsed);
        }
        if (parsed.recipe.os == name) {
            of_os.push_back(&parsed);
        }
    }
    for (const ParsedRecipe* parsed : of_os) {
        if (parsed->recipe.is_default || of_os.size() == 1) {
            return unless_broken(*parsed);
        }
    }
    std::string near;
    for (const ParsedRecipe& parsed : recipes_) {
        const std::string id = parsed.recipe.file.stem();
        if (parsed.recipe.os == name || distance(id, name) <= 2 || id.find(name) != id.npos) {
            near += (near.empty() ? "" : ", ") + id;
        }
    }
    return base::fail(Errc::invalid_argument, fmt::format("no recipe is called '{}'; {}", name,
                                                          near.empty() ? "`zoo list` names them all"
                                                                       : "there are: " + near));
}

std::vector<std::string> Catalogue::conflicts() const
{
    std::map<std::string, std::string> defaults;
    std::vector<std::string> conflicts;
    for (const ParsedRecipe& parsed : recipes_) {
        const Recipe& recipe = parsed.recipe;
        if (recipe.is_default && !defaults.emplace(recipe.os, recipe.id).second) {
            conflicts.push_back(fmt::format("{} and {} are both the default of {}",
                                            defaults[recipe.os], recipe.id, recipe.os));
        }
    }
    return conflicts;
}

Result<fs::path> find_recipes_folder()
{
    if (const char* named = std::getenv("ZOO_RECIPES"); named != nullptr && *named != '\0') {
        return fs::path{named};
    }
    const fs::path program = program_folder(); // <prefix>/bin, or build/bin
    for (const fs::path& folder :
         {program / "../share/menagerie/recipes", program / "../../recipes"}) {
        if (fs::is_directory(folder)) {
            return folder.lexically_normal();
        }
    }
    return base::fail(Errc::io, "no folder of recipes; ZOO_RECIPES names one");
}

std::string format_problems(const ParsedRecipe& parsed)
{
    std::string lines;
    for (const Problem& problem : parsed.problems) {
        lines +=
            fmt::format("{}:{}: {}\n", parsed.recipe.file.string(), problem.line, problem.text);
    }
    return lines;
}

} // namespace zoo
