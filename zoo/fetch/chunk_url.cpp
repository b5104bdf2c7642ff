#include "zoo/fetch/chunk_url.hpp"

#include <fmt/core.h>

namespace zoo {

std::optional<std::string> expand_chunk_url(std::string_view url, base::u64 n)
{
    const std::size_t open = url.find("{n");
    const std::size_t close = url.find('}', open);
    if (open == url.npos || close == url.npos) {
        return std::nullopt;
    }
    std::string_view form = url.substr(open + 2, close - open - 2);
    std::string number = fmt::format("{}", n);
    if (!form.empty()) {
        // ":0W" and d or x, W one digit: the forms that are in use
        if (form.size() != 4 || form[0] != ':' || form[1] != '0' || form[2] < '1' ||
            form[2] > '9' || (form[3] != 'd' && form[3] != 'x')) {
            return std::nullopt;
        }
        const int width = form[2] - '0';
        number =
            form[3] == 'x' ? fmt::format("{:0{}x}", n, width) : fmt::format("{:0{}}", n, width);
    }
    const std::string_view rest = url.substr(close + 1);
    if (rest.find_first_of("{}") != rest.npos || url.substr(0, open).find('}') != url.npos) {
        return std::nullopt;
    }
    return std::string{url.substr(0, open)} + number + std::string{rest};
}

} // namespace zoo
