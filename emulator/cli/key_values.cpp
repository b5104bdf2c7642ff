#include "emulator/cli/key_values.hpp"

#include "imgtool/ops/create.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace emu::cli {

using base::Errc;

std::vector<std::string> split_at_commas(const std::string& text)
{
    std::vector<std::string> parts;
    for (std::size_t at = 0; at < text.size(); ++at) { // past the comma
        std::string part;
        while (at < text.size()) {
            if (text[at] == ',') {
                if (at + 1 < text.size() && text[at + 1] == ',') {
                    ++at;
                } else {
                    break;
                }
            }
            part += text[at++];
        }
        parts.push_back(std::move(part));
    }
    return parts;
}

base::Result<KeyValues> KeyValues::parse(const std::string& text, const std::string& implied)
{
    KeyValues result;
    bool first = true;
    for (const std::string& part : split_at_commas(text)) {
        const std::size_t equals = part.find('=');
        if (part.empty()) {
            return base::fail(Errc::invalid_argument, "an empty part in '" + text + "'");
        }
        if (equals != std::string::npos) {
            result.values_.emplace_back(part.substr(0, equals), part.substr(equals + 1));
        } else if (first && !implied.empty()) {
            result.values_.emplace_back(implied, part);
        } else {
            result.values_.emplace_back(part, "on");
        }
        first = false;
    }
    return result;
}

std::optional<std::string> KeyValues::take(const std::string& key)
{
    std::optional<std::string> value;
    std::erase_if(values_, [&](const auto& pair) {
        if (pair.first != key) {
            return false;
        }
        value = pair.second; // the last one counts
        return true;
    });
    return value;
}

std::string KeyValues::take_or(const std::string& key, const std::string& fallback)
{
    return take(key).value_or(fallback);
}

base::Result<bool> KeyValues::take_bool(const std::string& key, bool fallback)
{
    const auto value = take(key);
    if (!value) {
        return fallback;
    }
    if (*value == "on" || *value == "yes" || *value == "true") {
        return true;
    }
    if (*value == "off" || *value == "no" || *value == "false") {
        return false;
    }
    return base::fail(Errc::invalid_argument, "'" + key + "' is on or off, not '" + *value + "'");
}

base::Result<u64> KeyValues::take_number(const std::string& key, u64 fallback)
{
    const auto value = take(key);
    return value ? parse_number(*value, key) : base::Result<u64>{fallback};
}

base::Status KeyValues::finish() const
{
    if (values_.empty()) {
        return base::ok();
    }
    return base::fail(Errc::invalid_argument, "'" + values_.front().first + "': no such setting");
}

base::Result<u64> parse_number(const std::string& text, const std::string& what)
{
    const bool hex = text.starts_with("0x") || text.starts_with("0X");
    u64 value = 0;
    const char* begin = text.data() + (hex ? 2 : 0);
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(begin, end, value, hex ? 16 : 10);
    if (error != std::errc{} || stop != end || begin == end) {
        return base::fail(Errc::invalid_argument, what + ": '" + text + "' is not a number");
    }
    return value;
}

base::Result<u64> parse_size(const std::string& text, u64 unit, const std::string& what)
{
    const bool hex = text.starts_with("0x") || text.starts_with("0X");
    const bool has_suffix =
        !hex && !text.empty() && std::isalpha(static_cast<unsigned char>(text.back())) != 0;
    auto size = img::parse_size(text);
    const u64 factor = has_suffix ? 1 : unit;
    if (!size && size.error().code != Errc::unsupported) {
        return base::fail(Errc::invalid_argument, what + ": '" + text + "' is not a size");
    }
    if (!size || size.value() > ~u64{0} / factor / 2) {
        return base::fail(Errc::invalid_argument, what + ": '" + text + "' is too large");
    }
    return size.value() * factor;
}

} // namespace emu::cli
