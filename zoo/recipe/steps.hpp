// The steps of [run], as docs/script-format.md defines them for the emulator.
#pragma once

#include "zoo/recipe/table_reader.hpp"

namespace zoo {

/// Checks the step and prints it. Pictures are taken from `folder` and named absolutely.
Step parse_step(const toml::table& table, std::size_t number, const std::filesystem::path& folder,
                std::vector<Problem>& problems);

} // namespace zoo
