// What most commands need: folders, recipes, the store. Private to zoo/cli.
#pragma once

#include "zoo/cli/commands.hpp"
#include "zoo/fetch/fetcher.hpp"
#include "zoo/recipe/catalogue.hpp"

#include <optional>

namespace zoo::cli {

/// Prints "zoo: message" to standard error and returns the status.
int complain(const base::Error& error, int status);

/// The recipes; a complaint was printed when there are none.
std::optional<Catalogue> load_catalogue();

/// The recipes of the names; complaints were printed when one is unknown or broken.
std::optional<std::vector<Recipe>> find_recipes(const std::vector<std::string>& names, bool all);

/// Folders and store. A complaint was printed when they cannot be made.
struct Session {
    std::filesystem::path data;
    Store store;

    std::filesystem::path machines() const { return data / "machines"; }
    static std::optional<Session> open();
};

FetchOptions fetch_options(const Common& common);

} // namespace zoo::cli
