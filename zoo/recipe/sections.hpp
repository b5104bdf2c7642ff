// The parts of a recipe, one function each. Private to zoo/recipe.
#pragma once

#include "zoo/recipe/table_reader.hpp"

namespace zoo {

using Problems = std::vector<Problem>;

Media parse_media(const toml::table& table, bool published, Problems& problems);
Build parse_build(const toml::table& table, Problems& problems);
Machine parse_machine(const toml::table& table, Problems& problems);

/// Names of media and builds: short, and safe as parts of file names.
bool is_plain_name(std::string_view text);

} // namespace zoo
