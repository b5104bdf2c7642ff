#include "emulator/hostio/keys.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace emu::hostio {

namespace {

struct Named {
    std::string_view name;
    KeyCode code;
};

// Names: QEMU's QKeyCode ("qapi/ui.json", QKeyCode). Codes: linux/input-event-codes.h.
constexpr Named kNames[] = {
    {"esc", 1},
    {"1", 2},
    {"2", 3},
    {"3", 4},
    {"4", 5},
    {"5", 6},
    {"6", 7},
    {"7", 8},
    {"8", 9},
    {"9", 10},
    {"0", 11},
    {"minus", 12},
    {"equal", 13},
    {"backspace", 14},
    {"tab", 15},
    {"q", 16},
    {"w", 17},
    {"e", 18},
    {"r", 19},
    {"t", 20},
    {"y", 21},
    {"u", 22},
    {"i", 23},
    {"o", 24},
    {"p", 25},
    {"bracket_left", 26},
    {"bracket_right", 27},
    {"ret", 28},
    {"kp_enter", 96},
    {"ctrl", 29},
    {"a", 30},
    {"s", 31},
    {"d", 32},
    {"f", 33},
    {"g", 34},
    {"h", 35},
    {"j", 36},
    {"k", 37},
    {"l", 38},
    {"semicolon", 39},
    {"apostrophe", 40},
    {"grave_accent", 41},
    {"shift", 42},
    {"backslash", 43},
    {"z", 44},
    {"x", 45},
    {"c", 46},
    {"v", 47},
    {"b", 48},
    {"n", 49},
    {"m", 50},
    {"comma", 51},
    {"dot", 52},
    {"slash", 53},
    {"shift_r", 54},
    {"kp_multiply", 55},
    {"asterisk", 55},
    {"alt", 56},
    {"spc", 57},
    {"caps_lock", 58},
    {"f1", 59},
    {"f2", 60},
    {"f3", 61},
    {"f4", 62},
    {"f5", 63},
    {"f6", 64},
    {"f7", 65},
    {"f8", 66},
    {"f9", 67},
    {"f10", 68},
    {"num_lock", 69},
    {"scroll_lock", 70},
    {"kp_7", 71},
    {"kp_8", 72},
    {"kp_9", 73},
    {"kp_subtract", 74},
    {"kp_4", 75},
    {"kp_5", 76},
    {"kp_6", 77},
    {"kp_add", 78},
    {"kp_1", 79},
    {"kp_2", 80},
    {"kp_3", 81},
    {"kp_0", 82},
    {"kp_decimal", 83},
    {"less", 86},
    {"f11", 87},
    {"f12", 88},
    {"ctrl_r", 97},
    {"kp_divide", 98},
    {"sysrq", 99},
    {"print", 99},
    {"alt_r", 100},
    {"home", 102},
    {"up", 103},
    {"pgup", 104},
    {"left", 105},
    {"right", 106},
    {"end", 107},
    {"down", 108},
    {"pgdn", 109},
    {"insert", 110},
    {"delete", 111},
    {"pause", 119},
    {"meta_l", 125},
    {"meta_r", 126},
    {"menu", 127},
    {"compose", 127},
    {"enter", 28},
    {"space", 57},
    {"kp_equals", 117},
    {"power", 116},
    {"sleep", 142},
    {"wake", 143},
};

struct Typed {
    char plain;
    char shifted; // 0: the key gives none
    KeyCode code;
};

constexpr Typed kUsLayout[] = {
    {'\x1b', 0, 1},  {'1', '!', 2},  {'2', '@', 3},  {'3', '#', 4},   {'4', '$', 5},
    {'5', '%', 6},   {'6', '^', 7},  {'7', '&', 8},  {'8', '*', 9},   {'9', '(', 10},
    {'0', ')', 11},  {'-', '_', 12}, {'=', '+', 13}, {'\b', 0, 14},   {'\t', 0, 15},
    {'q', 'Q', 16},  {'w', 'W', 17}, {'e', 'E', 18}, {'r', 'R', 19},  {'t', 'T', 20},
    {'y', 'Y', 21},  {'u', 'U', 22}, {'i', 'I', 23}, {'o', 'O', 24},  {'p', 'P', 25},
    {'[', '{', 26},  {']', '}', 27}, {'\n', 0, 28},  {'a', 'A', 30},  {'s', 'S', 31},
    {'d', 'D', 32},  {'f', 'F', 33}, {'g', 'G', 34}, {'h', 'H', 35},  {'j', 'J', 36},
    {'k', 'K', 37},  {'l', 'L', 38}, {';', ':', 39}, {'\'', '"', 40}, {'`', '~', 41},
    {'\\', '|', 43}, {'z', 'Z', 44}, {'x', 'X', 45}, {'c', 'C', 46},  {'v', 'V', 47},
    {'b', 'B', 48},  {'n', 'N', 49}, {'m', 'M', 50}, {',', '<', 51},  {'.', '>', 52},
    {'/', '?', 53},  {' ', 0, 57},
};

std::optional<KeyCode> scan_code(std::string_view text)
{
    if (!text.starts_with("0x")) {
        return std::nullopt;
    }
    unsigned value = 0;
    const auto [end, error] =
        std::from_chars(text.data() + 2, text.data() + text.size(), value, 16);
    if (error != std::errc{} || end != text.data() + text.size() || value == 0 || value > 88) {
        return std::nullopt; // above 88 the numbers are no longer those of set 1
    }
    return static_cast<KeyCode>(value);
}

} // namespace

std::optional<KeyCode> find_key(std::string_view name)
{
    for (const Named& named : kNames) {
        if (named.name == name) {
            return named.code;
        }
    }
    return scan_code(name);
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
    for (const Typed& typed : kUsLayout) {
        if (typed.plain == character) {
            return KeyStroke{typed.code, false};
        }
        if (typed.shifted != 0 && typed.shifted == character) {
            return KeyStroke{typed.code, true};
        }
    }
    return std::nullopt;
}

std::vector<std::string_view> key_names()
{
    std::vector<std::string_view> names;
    for (const Named& named : kNames) {
        names.push_back(named.name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

} // namespace emu::hostio
