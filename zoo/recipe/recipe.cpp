#include "zoo/recipe/recipe.hpp"

#include <algorithm>

namespace zoo {

const Media* Recipe::find_media(std::string_view name) const
{
    const auto found = std::ranges::find(media, name, &Media::name);
    return found == media.end() ? nullptr : &*found;
}

const Build* Recipe::find_build(std::string_view name) const
{
    const auto found = std::ranges::find(builds, name, &Build::name);
    return found == builds.end() ? nullptr : &*found;
}

} // namespace zoo
