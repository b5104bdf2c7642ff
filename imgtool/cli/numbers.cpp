#include "imgtool/cli/numbers.hpp"

#include "imgtool/cli/command.hpp"
#include "imgtool/ops/create.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace img::cli {

std::optional<u64> parse_bytes(const char* text, std::string_view what, u64 min, u64 max)
{
    auto parsed = parse_size(text);
    const bool too_large = !parsed && parsed.error().code == base::Errc::unsupported;
    if (parsed && parsed.value() >= min && parsed.value() <= max) {
        return parsed.value();
    }
    if (parsed || too_large) {
        report(fmt::format("Invalid {} specified. Must be between {} and {}.", what, min, max));
        return std::nullopt;
    }
    report(fmt::format("Invalid {} specified. You may use k, M, G, T, P or E suffixes for", what));
    report("kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.");
    return std::nullopt;
}

std::optional<u64> parse_count(const char* text, u64 max)
{
    char* end = nullptr;
    errno = 0;
    const unsigned long long number = std::strtoull(text, &end, 0);
    if (end == text || *end != '\0' || errno != 0 || std::strchr(text, '-') != nullptr ||
        number > max) {
        return std::nullopt;
    }
    return number;
}

} // namespace img::cli
