#include "imgtool/formats/shared/parent_path.hpp"

#include <algorithm>

namespace img {

std::string from_windows(std::string path)
{
    std::ranges::replace(path, '\\', '/');
    if ((path.size() > 1 && path[1] == ':') || path.starts_with("//")) {
        return path.substr(path.find_last_of("/:") + 1);
    }
    return path.starts_with("./") ? path.substr(2) : path;
}

std::string choose_parent(std::span<const std::string> names, const OpenContext& context)
{
    const auto leads_to_file = [&](const std::string& name) {
        return context.sibling_exists && context.sibling_exists(name);
    };
    const auto found = std::ranges::find_if(names, leads_to_file);
    return found != names.end() ? *found : names.empty() ? "" : names.front();
}

} // namespace img
