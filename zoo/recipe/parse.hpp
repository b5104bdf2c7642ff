// TOML to Recipe. Authors fix all of it in one go, so every problem is reported, not the first
// alone.
#pragma once

#include "zoo/recipe/recipe.hpp"

#include <string_view>

namespace zoo {

struct Problem {
    int line = 0;
    std::string text;
};

struct ParsedRecipe {
    Recipe recipe;                 // meaningful when there are no problems
    std::vector<Problem> problems; // in the order of the file
};

/// `file` is only used for names: the recipe's id must be its stem and its OS the folder's name,
/// and pictures are looked for beside it.
ParsedRecipe parse_recipe(std::string_view text, const std::filesystem::path& file);

/// Reads the file too. A file that cannot be read is a problem of line 0.
ParsedRecipe load_recipe(const std::filesystem::path& file);

} // namespace zoo
