// The URL form of a Debian package: deb:PACKAGE[=VERSION]/ARCH.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace zoo {

struct DebUrl {
    std::string package;
    std::string version; // empty: the current one
    std::string arch;
};

/// Nothing when the text is not such a URL. The parts have only the characters that Debian's policy
/// gives them (sections 5.6.1 and 5.6.12), so they are safe as arguments of programs.
std::optional<DebUrl> parse_deb_url(std::string_view url);

bool is_debian_name(std::string_view text);

} // namespace zoo
