// Any bytes as a recipe: problems, never a crash. What has none prints as a script.
#include "zoo/machine/machine.hpp"
#include "zoo/recipe/parse.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    const zoo::ParsedRecipe parsed = zoo::parse_recipe(text, "recipes/tiny/tiny.toml");
    if (parsed.problems.empty()) {
        (void)zoo::script_text(parsed.recipe);
    }
    return 0;
}
