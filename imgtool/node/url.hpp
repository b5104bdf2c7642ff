// URLs (RFC 3986) as far as image names have them.
#pragma once

#include "base/result.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace img::node {

struct Url {
    std::string scheme;
    std::string host = {}; // without the brackets of an IPv6 address
    std::string port = {}; // empty: not given
    std::string path = {}; // decoded, with its first slash
    std::vector<std::pair<std::string, std::string>> query = {};
};

/// Parses "scheme://host:port/path?key=value". Error: `invalid_argument`.
base::Result<Url> parse_url(std::string_view text);

} // namespace img::node
