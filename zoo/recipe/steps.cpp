#include "zoo/recipe/steps.hpp"

#include "zoo/unpack/unpack.hpp"

#include <fmt/core.h>

#include <array>
#include <sstream>

namespace zoo {

using base::i64;

namespace {

enum class ValueKind { text, name, picture, seconds, mouse };

/// A modifier of an action and the integers it takes; within_guest_s may be a fraction as well.
struct Modifier {
    std::string_view key;
    Need need;
    Range range;
};

constexpr i64 kMaxGuestSeconds = 30 * 24 * 3600;
constexpr Range kNoRange{0, 0};
constexpr Modifier kWithin{"within_guest_s", Need::required, {1, kMaxGuestSeconds}};
constexpr Modifier kNone{"", Need::optional, kNoRange};
constexpr std::size_t kMaxModifiers = 4;

struct Action {
    std::string_view key;
    ValueKind kind;
    std::array<Modifier, kMaxModifiers> modifiers;
};

constexpr std::array kActions{
    Action{"wait_screen", ValueKind::text, {kWithin, kNone, kNone, kNone}},
    Action{"wait_serial",
           ValueKind::text,
           {kWithin,
            {"count", Need::optional, {1, 1'000'000}},
            {"port", Need::optional, {0, 1}},
            kNone}},
    Action{"wait_image",
           ValueKind::picture,
           {kWithin,
            {"x", Need::optional, {0, 65535}},
            {"y", Need::optional, {0, 65535}},
            {"tolerance", Need::optional, {0, 255}}}},
    Action{"wait_idle", ValueKind::seconds, {kWithin, kNone, kNone, kNone}},
    Action{"type",
           ValueKind::text,
           {Modifier{"gap_guest_ms", Need::optional, {1, 10'000}}, kNone, kNone, kNone}},
    Action{"key",
           ValueKind::text,
           {Modifier{"hold_guest_ms", Need::optional, {1, 10'000}},
            {"repeat", Need::optional, {1, 1000}},
            kNone,
            kNone}},
    Action{"mouse", ValueKind::mouse, {kNone, kNone, kNone, kNone}},
    Action{"screenshot", ValueKind::name, {kNone, kNone, kNone, kNone}},
    Action{"assert_screen", ValueKind::text, {kNone, kNone, kNone, kNone}},
    Action{"forbid_screen", ValueKind::text, {kNone, kNone, kNone, kNone}},
};

constexpr std::array<std::string_view, 3> kButtons{"left", "right", "middle"};
constexpr i64 kMaxMickeys = 10'000;

// Quoted and on one line: a literal has no escapes, and a multi-line string loses the line feed
// that opens it.
std::string print(const toml::node& node)
{
    constexpr auto kQuoted =
        toml::toml_formatter::default_flags &
        ~(toml::format_flags::allow_multi_line_strings | toml::format_flags::allow_literal_strings);
    std::ostringstream out;
    node.visit([&](const auto& value) { out << toml::toml_formatter{value, kQuoted}; });
    return out.str();
}

bool is_positive_number(const toml::node& node)
{
    const auto value = node.value<double>();
    return node.is_number() && value && *value > 0 && *value <= kMaxGuestSeconds;
}

void check_mouse_move(TableReader& reader)
{
    const toml::node* move = reader.node("move", Need::optional);
    if (move == nullptr) {
        return;
    }
    const toml::array* pair = move->as_array();
    bool good = pair != nullptr && pair->size() == 2;
    for (std::size_t i = 0; good && i < 2; ++i) {
        const auto* value = (*pair)[i].as_integer();
        good = value != nullptr && value->get() >= -kMaxMickeys && value->get() <= kMaxMickeys;
    }
    if (!good) {
        reader.problem(line_of(*move), "move must be two integers from -10000 to 10000");
    }
}

void check_mouse(const toml::node& node, const std::string& what, std::vector<Problem>& problems)
{
    const toml::table* table = node.as_table();
    if (table == nullptr || table->empty()) {
        problems.push_back({line_of(node), what + ": mouse must be a table that says what to do"});
        return;
    }
    TableReader reader{*table, what + ": mouse", problems};
    check_mouse_move(reader);
    for (const char* key : {"press", "click", "double", "release"}) {
        (void)reader.word(key, Need::optional, kButtons);
    }
    (void)reader.integer("wheel", Need::optional, {-100, 100});
    reader.finish();
}

/// Checks the action's value and returns it as TOML.
std::string check_value(const Action& action, const toml::node& node,
                        const std::filesystem::path& folder, TableReader& reader,
                        std::vector<Problem>& problems)
{
    const auto text = node.value<std::string>();
    const bool is_text = node.is_string() && text && !text->empty();
    switch (action.kind) {
    case ValueKind::text:
        if (!is_text) {
            reader.problem_at(action.key, fmt::format("{} must be a text", action.key));
        } else if (action.key.ends_with("_screen") &&
                   (text->ends_with(' ') || text->find(" \n") != text->npos)) {
            reader.problem_at(action.key, "rows of the screen do not end in blanks");
        }
        break;
    case ValueKind::name: // "end" is the picture at the end of the run
        if (!is_text || *text == "end" ||
            text->find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789_-") != std::string::npos) {
            reader.problem_at(
                action.key, fmt::format("{} must be a name of A-Z, a-z, 0-9, _ and -, not \"end\"",
                                        action.key));
        }
        break;
    case ValueKind::picture:
        if (!is_text || !is_inside_path(*text) || !text->ends_with(".png")) {
            reader.problem_at(action.key, fmt::format("{} must be the path of a .png below the "
                                                      "recipe's folder",
                                                      action.key));
            break;
        }
        if (!std::filesystem::is_regular_file(folder / *text)) {
            reader.problem_at(action.key, fmt::format("there is no file {}", *text));
        }
        return print(toml::value{std::filesystem::absolute(folder / *text).string()});
    case ValueKind::seconds:
        if (!is_positive_number(node)) {
            reader.problem_at(action.key,
                              fmt::format("{} must be a number of seconds above 0", action.key));
        }
        break;
    case ValueKind::mouse:
        check_mouse(node, reader.what(), problems);
        break;
    }
    return print(node);
}

std::string check_modifier(const Modifier& modifier, TableReader& reader)
{
    const toml::node* node = reader.node(modifier.key, modifier.need);
    if (node == nullptr) {
        return {};
    }
    if (modifier.key == kWithin.key) {
        if (!is_positive_number(*node)) {
            reader.problem(line_of(*node), "within_guest_s must be a number of seconds above 0");
        }
    } else {
        (void)reader.integer(modifier.key, modifier.need, modifier.range);
    }
    return fmt::format("{} = {}\n", modifier.key, print(*node));
}

} // namespace

Step parse_step(const toml::table& table, std::size_t number, const std::filesystem::path& folder,
                std::vector<Problem>& problems)
{
    TableReader reader{table, fmt::format("step {}", number), problems};
    Step step{.line = reader.line(), .toml = {}};
    const Action* chosen = nullptr;
    int actions = 0;
    for (const Action& action : kActions) {
        if (reader.has(action.key)) {
            ++actions;
            chosen = &action;
        }
    }
    if (actions != 1) {
        reader.problem(reader.line(), actions == 0 ? "no action: one key says what to do"
                                                   : "more than one action");
        return step;
    }
    const toml::node& value = *reader.node(chosen->key, Need::required);
    step.toml = fmt::format("{} = {}\n", chosen->key,
                            check_value(*chosen, value, folder, reader, problems));
    for (const Modifier& modifier : chosen->modifiers) {
        if (!modifier.key.empty()) {
            step.toml += check_modifier(modifier, reader);
        }
    }
    if (reader.has("x") != reader.has("y")) {
        reader.problem(reader.line(), "x and y go together");
    }
    reader.finish();
    return step;
}

} // namespace zoo
