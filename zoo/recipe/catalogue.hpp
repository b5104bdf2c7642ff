// All recipes of a folder, and how a name that a person types picks one.
#pragma once

#include "base/result.hpp"
#include "zoo/recipe/parse.hpp"

#include <vector>

namespace zoo {

class Catalogue {
public:
    /// Reads <folder>/<os>/<id>.toml, sorted by id. Broken recipes are kept, with their problems.
    static base::Result<Catalogue> load(const std::filesystem::path& folder);

    const std::vector<ParsedRecipe>& recipes() const { return recipes_; }

    /// A recipe by id; or an OS by name, which picks its default or its only one; or the path of a
    /// recipe's file. The error lists near names, or the recipe's problems.
    base::Result<Recipe> find(const std::string& name) const;

    /// Problems that only show across recipes: an OS with two defaults.
    std::vector<std::string> conflicts() const;

private:
    std::vector<ParsedRecipe> recipes_;
};

/// ZOO_RECIPES, or where the build tree or an installation has them.
base::Result<std::filesystem::path> find_recipes_folder();

/// "FILE:LINE: text", one line each.
std::string format_problems(const ParsedRecipe& parsed);

} // namespace zoo
