#include "emulator/hostio/keys.hpp"

#include <charconv>

namespace emu::hostio {

namespace {

std::optional<KeyCode> scan_code(std::string_view text)
{
    unsigned value = 0;
    const char* end = text.data() + text.size();
    const auto [parsed, error] = std::from_chars(text.data() + 2, end, value, 16);
    const bool known = error == std::errc{} && parsed == end && value <= 0xff &&
                       devices::find_key(static_cast<KeyCode>(value)) != nullptr;
    return known ? std::optional{static_cast<KeyCode>(value)} : std::nullopt;
}

} // namespace

std::optional<KeyCode> find_key(std::string_view name)
{
    return name.starts_with("0x") ? scan_code(name) : devices::key_by_name(name);
}

base::Result<std::vector<KeyCode>> parse_chord(std::string_view text)
{
    std::vector<KeyCode> keys;
    while (!text.empty()) {
        const std::size_t dash = text.find('-');
        const std::string_view name = text.substr(0, dash);
        const auto key = find_key(name);
        if (!key) {
            return base::fail(base::Errc::invalid_argument,
                              "unknown key: '" + std::string{name} + "'");
        }
        keys.push_back(*key);
        text = dash == std::string_view::npos ? std::string_view{} : text.substr(dash + 1);
    }
    constexpr std::size_t kMaxChord = 16;
    if (keys.empty() || keys.size() > kMaxChord) {
        return base::fail(base::Errc::invalid_argument, "a chord has 1 to 16 keys");
    }
    return keys;
}

std::optional<KeyStroke> us_key(char character)
{
    return devices::key_for_character(character);
}

} // namespace emu::hostio
