#include "zoo/cli/session.hpp"

#include "base/output.hpp"

#include <cstdio>
#include <cstdlib>

namespace zoo::cli {

int complain(const base::Error& error, int status)
{
    base::print(stderr, "zoo: {}\n", error.message);
    return status;
}

std::optional<Catalogue> load_catalogue()
{
    auto folder = find_recipes_folder();
    if (!folder) {
        complain(folder.error(), kMisused);
        return std::nullopt;
    }
    auto catalogue = Catalogue::load(folder.value());
    if (!catalogue) {
        complain(catalogue.error(), kMisused);
        return std::nullopt;
    }
    return std::move(catalogue).value();
}

std::optional<std::vector<Recipe>> find_recipes(const std::vector<std::string>& names, bool all)
{
    const auto catalogue = load_catalogue();
    if (!catalogue) {
        return std::nullopt;
    }
    std::vector<std::string> wanted = names;
    if (all) {
        wanted.clear();
        for (const ParsedRecipe& parsed : catalogue->recipes()) {
            wanted.push_back(parsed.recipe.file.stem());
        }
    }
    std::vector<Recipe> recipes;
    for (const std::string& name : wanted) {
        auto recipe = catalogue->find(name);
        if (!recipe) {
            complain(recipe.error(), kMisused);
            return std::nullopt;
        }
        recipes.push_back(std::move(recipe).value());
    }
    if (recipes.empty()) {
        base::print(stderr, "zoo: no recipe was named; --all takes every one\n");
        return std::nullopt;
    }
    return recipes;
}

std::optional<Session> Session::open()
{
    auto data = default_data_folder();
    if (!data) {
        complain(data.error(), kFailed);
        return std::nullopt;
    }
    auto store = Store::open(data.value() / "store");
    if (!store) {
        complain(store.error(), kFailed);
        return std::nullopt;
    }
    return Session{data.value(), std::move(store).value()};
}

FetchOptions fetch_options(const Common& common)
{
    FetchOptions options;
    options.network = common.offline ? Network::offline : Network::allowed;
    const char* mirror = std::getenv("ZOO_MIRROR");
    options.mirror = mirror != nullptr ? mirror : "";
    while (options.mirror.ends_with('/')) {
        options.mirror.pop_back();
    }
    return options;
}

} // namespace zoo::cli
