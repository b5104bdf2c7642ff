#include "imgtool/node/url.hpp"

namespace img::node {

namespace {

using base::Errc;
using base::fail;
using base::Result;

int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

Result<std::string> decode(std::string_view text)
{
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            decoded += text[i];
            continue;
        }
        const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
        const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0 || high + low == 0) { // a zero byte would cut names short
            return fail(Errc::invalid_argument, "a wrong percent sign in the URL");
        }
        decoded += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return decoded;
}

/// Cuts `text` at the first of `marks`; what follows it is returned.
std::string_view cut(std::string_view& text, std::string_view marks)
{
    const std::size_t at = text.find_first_of(marks);
    const std::string_view rest =
        at == std::string_view::npos ? std::string_view{} : text.substr(at + 1);
    text = text.substr(0, at);
    return rest;
}

} // namespace

Result<Url> parse_url(std::string_view text)
{
    const std::size_t colon = text.find("://");
    if (colon == std::string_view::npos) {
        return fail(Errc::invalid_argument, "not a URL");
    }
    Url url{.scheme = std::string{text.substr(0, colon)}};
    text.remove_prefix(colon + 3);
    cut(text, "#");
    std::string_view query = cut(text, "?");
    std::string_view authority = text.substr(0, text.find('/'));
    const std::string_view path = text.substr(authority.size());
    if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
        authority.remove_prefix(at + 1);
    }
    if (authority.starts_with('[')) { // an IPv6 address (RFC 3986, section 3.2.2)
        authority.remove_prefix(1);
        std::string_view port = cut(authority, "]");
        if (!port.empty() && port[0] != ':') {
            return fail(Errc::invalid_argument, "a wrong host in the URL");
        }
        url.port = port.substr(port.empty() ? 0 : 1);
    } else {
        url.port = cut(authority, ":");
    }
    auto host = decode(authority);
    auto decoded_path = decode(path);
    if (!host || !decoded_path) {
        return host ? std::move(decoded_path).error() : std::move(host).error();
    }
    url.host = std::move(host).value();
    url.path = std::move(decoded_path).value();
    while (!query.empty()) {
        const std::string_view more = cut(query, "&");
        const std::string_view value = cut(query, "=");
        auto key = decode(query);
        auto decoded = decode(value);
        if (!key || !decoded) {
            return key ? std::move(decoded).error() : std::move(key).error();
        }
        url.query.emplace_back(std::move(key).value(), std::move(decoded).value());
        query = more;
    }
    return url;
}

} // namespace img::node
