#include "zoo/fetch/deb_url.hpp"

namespace zoo {

namespace {

constexpr std::string_view kNameCharacters = "abcdefghijklmnopqrstuvwxyz0123456789+-.";
constexpr std::string_view kVersionCharacters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-.:~";

bool consists_of(std::string_view text, std::string_view characters)
{
    return !text.empty() && text.find_first_not_of(characters) == text.npos;
}

} // namespace

bool is_debian_name(std::string_view text)
{
    return consists_of(text, kNameCharacters) && text.front() >= '0' && text.front() <= 'z' &&
           text.front() != ':';
}

std::optional<DebUrl> parse_deb_url(std::string_view url)
{
    constexpr std::string_view kScheme = "deb:";
    if (!url.starts_with(kScheme)) {
        return std::nullopt;
    }
    url.remove_prefix(kScheme.size());
    const std::size_t slash = url.find('/');
    if (slash == url.npos) {
        return std::nullopt;
    }
    const std::string_view arch = url.substr(slash + 1);
    std::string_view package = url.substr(0, slash);
    std::string_view version;
    if (const std::size_t equals = package.find('='); equals != package.npos) {
        version = package.substr(equals + 1);
        package = package.substr(0, equals);
        if (!consists_of(version, kVersionCharacters)) {
            return std::nullopt;
        }
    }
    if (!is_debian_name(package) || !is_debian_name(arch)) {
        return std::nullopt;
    }
    return DebUrl{std::string{package}, std::string{version}, std::string{arch}};
}

} // namespace zoo
