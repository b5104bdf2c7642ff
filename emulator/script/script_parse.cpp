#include "emulator/script/input_program.hpp"
#include "emulator/script/script.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <toml++/toml.h>

namespace emu::script {

namespace {

using base::i64;
constexpr u64 kMillisecond = 1'000'000; // ns
constexpr double kMaxSeconds = 1e9;

/// Walks the document and collects every mistake with its line.
class Parser {
public:
    Parser(std::string name, std::string folder)
        : name_{std::move(name)}, folder_{std::move(folder)}
    {}

    base::Result<Script> parse(const std::string& text);

private:
    void problem(const toml::source_region& where, const std::string& text);
    void top_level(const toml::table& root);
    void step(const toml::table& table);
    void known_modifiers(const toml::table& table, Action action);
    void fill(Step& step, const toml::table& table, const toml::node& value);
    void fill_waits(Step& step, const toml::table& table, const toml::node& value);
    void fill_image(Step& step, const toml::table& table, const toml::node& value);
    void fill_screenshot(Step& step, const toml::node& value);
    void fill_input(Step& step, const toml::table& table, const toml::node& value);
    void fill_mouse(Step& step, const toml::node& value);
    u8 button(const toml::table& table, const char* key);
    void move(const toml::table& table, MouseRequest& request);

    std::string text_of(const toml::node& node, std::string_view key);
    u64 seconds_of(const toml::node& node, std::string_view key);
    u64 limit(const toml::table& table);
    i64 integer(const toml::table& table, std::string_view key, i64 low, i64 high, i64 fallback);

    std::string name_;
    std::string folder_;
    std::string problems_;
    Script script_;
    std::set<std::string> screenshots_;
};

void Parser::problem(const toml::source_region& where, const std::string& text)
{
    if (!problems_.empty()) {
        problems_ += '\n';
    }
    problems_ += name_ + ":" + std::to_string(where.begin.line) + ": " + text;
}

nlohmann::json to_json(const toml::node& node)
{
    if (const auto* text = node.as_string()) {
        return text->get();
    }
    if (const auto* number = node.as_integer()) {
        return number->get();
    }
    if (const auto* number = node.as_floating_point()) {
        return number->get();
    }
    if (const auto* truth = node.as_boolean()) {
        return truth->get();
    }
    nlohmann::json result;
    if (const auto* list = node.as_array()) {
        result = nlohmann::json::array();
        for (const toml::node& item : *list) {
            result.push_back(to_json(item));
        }
    } else if (const auto* table = node.as_table()) {
        result = nlohmann::json::object();
        for (const auto& [key, item] : *table) {
            result[std::string{key.str()}] = to_json(item);
        }
    }
    return result;
}

base::Result<Script> Parser::parse(const std::string& text)
{
    try {
        const toml::table root = toml::parse(text, name_);
        top_level(root);
    } catch (const toml::parse_error& error) {
        problem(error.source(), std::string{error.description()});
    }
    if (!problems_.empty()) {
        return base::fail(base::Errc::invalid_argument, problems_);
    }
    return std::move(script_);
}

void Parser::top_level(const toml::table& root)
{
    for (const auto& [key, node] : root) {
        const std::string name{key.str()};
        if (name != "schema" && name != "host_limit_s" && name != "steps") {
            problem(key.source(), "unknown key '" + name + "'");
        }
    }
    if (integer(root, "schema", 1, 1, 0) != 1 && !root.contains("schema")) {
        problem(root.source(), "'schema = 1' is missing");
    }
    script_.host_limit_s = static_cast<u64>(integer(root, "host_limit_s", 1, 1'000'000, 600));
    const toml::node* steps = root.get("steps");
    const toml::array* list = steps == nullptr ? nullptr : steps->as_array();
    if (list == nullptr || list->empty()) {
        problem(steps == nullptr ? root.source() : steps->source(),
                "'steps' must be an array of tables with at least one");
        return;
    }
    for (const toml::node& node : *list) {
        if (const toml::table* table = node.as_table()) {
            step(*table);
        } else {
            problem(node.source(), "a step must be a table");
        }
    }
}

/// The modifiers each action takes, in the order of Action.
constexpr std::array<std::string_view, 10> kModifiers{
    " within_guest_s ",
    " within_guest_s count port ",
    " within_guest_s x y tolerance ",
    " within_guest_s ",
    " gap_guest_ms ",
    " hold_guest_ms repeat ",
    " ",
    " ",
    " ",
    " ",
};

void Parser::known_modifiers(const toml::table& table, Action action)
{
    const std::string_view known = kModifiers[static_cast<std::size_t>(action)];
    for (const auto& [key, node] : table) {
        const std::string name{key.str()};
        if (name != name_of(action) && known.find(" " + name + " ") == std::string_view::npos) {
            problem(key.source(),
                    "'" + name + "' does not belong to " + std::string{name_of(action)});
        }
    }
}

void Parser::step(const toml::table& table)
{
    std::optional<Action> action;
    const toml::node* value = nullptr;
    for (std::size_t i = 0; i < kActionNames.size(); ++i) {
        if (const toml::node* found = table.get(kActionNames[i])) {
            if (action) {
                problem(found->source(), "a step has one action, not both " +
                                             std::string{name_of(*action)} + " and " +
                                             std::string{kActionNames[i]});
                return;
            }
            action = static_cast<Action>(i);
            value = found;
        }
    }
    if (!action) {
        problem(table.source(), "a step without an action");
        return;
    }
    known_modifiers(table, *action);
    Step step;
    step.action = *action;
    step.value_json =
        to_json(*value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    fill(step, table, *value);
    script_.steps.push_back(std::move(step));
}

void Parser::fill(Step& step, const toml::table& table, const toml::node& value)
{
    switch (step.action) {
    case Action::wait_screen:
    case Action::wait_serial:
    case Action::wait_idle:
        fill_waits(step, table, value);
        break;
    case Action::wait_image:
        fill_image(step, table, value);
        break;
    case Action::type:
    case Action::key:
        fill_input(step, table, value);
        break;
    case Action::mouse:
        fill_mouse(step, value);
        break;
    case Action::screenshot:
        fill_screenshot(step, value);
        break;
    case Action::assert_screen:
    case Action::forbid_screen:
        step.text = text_of(value, name_of(step.action));
        break;
    }
}

void Parser::fill_waits(Step& step, const toml::table& table, const toml::node& value)
{
    step.limit_ns = limit(table);
    if (step.action == Action::wait_idle) {
        step.idle_ns = seconds_of(value, "wait_idle");
        return;
    }
    step.text = text_of(value, name_of(step.action));
    step.count = static_cast<u32>(integer(table, "count", 1, 1'000'000, 1));
    step.port = static_cast<u32>(integer(table, "port", 0, 1, 0));
}

void Parser::fill_image(Step& step, const toml::table& table, const toml::node& value)
{
    step.limit_ns = limit(table);
    step.tolerance = static_cast<u32>(integer(table, "tolerance", 0, 255, 0));
    if (table.contains("x") != table.contains("y")) {
        problem(table.source(), "'x' and 'y' go together");
    } else if (table.contains("x")) {
        step.place = hostio::Place{static_cast<u32>(integer(table, "x", 0, 65535, 0)),
                                   static_cast<u32>(integer(table, "y", 0, 65535, 0))};
    }
    step.text = text_of(value, "wait_image");
    if (step.text.empty()) {
        return;
    }
    const std::string path = step.text.front() == '/' ? step.text : folder_ + "/" + step.text;
    auto picture = hostio::read_png(path);
    if (!picture) {
        problem(value.source(), picture.error().message);
        return;
    }
    step.image = std::move(picture).value();
}

void Parser::fill_screenshot(Step& step, const toml::node& value)
{
    step.text = text_of(value, "screenshot");
    const bool plain = std::all_of(step.text.begin(), step.text.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
    });
    if (!plain) {
        problem(value.source(), "a screenshot's name has letters, digits, '_' and '-' only");
    } else if (step.text == "end") {
        problem(value.source(), "'end' is the name of the picture at the end of the run");
    } else if (!step.text.empty() && !screenshots_.insert(step.text).second) {
        problem(value.source(), "two screenshots are named '" + step.text + "'");
    }
}

void Parser::fill_input(Step& step, const toml::table& table, const toml::node& value)
{
    step.text = text_of(value, name_of(step.action));
    if (step.text.empty()) {
        return;
    }
    auto program = base::Result<std::vector<InputAction>>{std::vector<InputAction>{}};
    if (step.action == Action::type) {
        const i64 gap = integer(table, "gap_guest_ms", 1, 10'000, 30);
        program = type_program(step.text, static_cast<u64>(gap) * kMillisecond);
    } else {
        const i64 hold = integer(table, "hold_guest_ms", 1, 10'000, 50);
        const i64 repeat = integer(table, "repeat", 1, 1000, 1);
        program =
            key_program(step.text, static_cast<u64>(hold) * kMillisecond, static_cast<u32>(repeat));
    }
    if (!program) {
        problem(value.source(), program.error().message);
        return;
    }
    step.input = std::move(program).value();
}

u8 Parser::button(const toml::table& table, const char* key)
{
    const toml::node* node = table.get(key);
    if (node == nullptr) {
        return 0;
    }
    const std::string name = text_of(*node, key);
    constexpr std::array<std::pair<std::string_view, hostio::MouseButton>, 3> kButtons{
        {{"left", hostio::MouseButton::left},
         {"right", hostio::MouseButton::right},
         {"middle", hostio::MouseButton::middle}}};
    for (const auto& [known, mask] : kButtons) {
        if (known == name) {
            return static_cast<u8>(mask);
        }
    }
    problem(node->source(), "no such mouse button: '" + name + "' (left, right, middle)");
    return 0;
}

void Parser::move(const toml::table& table, MouseRequest& request)
{
    const toml::node* node = table.get("move");
    if (node == nullptr) {
        return;
    }
    const toml::array* list = node->as_array();
    const bool pair =
        list != nullptr && list->size() == 2 && (*list)[0].is_integer() && (*list)[1].is_integer();
    const i64 dx = pair ? (*list)[0].as_integer()->get() : 10'001;
    const i64 dy = pair ? (*list)[1].as_integer()->get() : 10'001;
    if (std::max(dx, dy) > 10'000 || std::min(dx, dy) < -10'000) {
        problem(node->source(), "'move' is two integers from -10000 to 10000");
        return;
    }
    request.dx = static_cast<int>(dx);
    request.dy = static_cast<int>(dy);
}

void Parser::fill_mouse(Step& step, const toml::node& value)
{
    const toml::table* table = value.as_table();
    if (table == nullptr || table->empty()) {
        problem(value.source(), "'mouse' is a table with at least one of move, press, click, "
                                "double, wheel, release");
        return;
    }
    for (const auto& [key, node] : *table) {
        constexpr std::string_view kKnown = " move press click double wheel release ";
        if (kKnown.find(" " + std::string{key.str()} + " ") == std::string_view::npos) {
            problem(key.source(), "unknown key '" + std::string{key.str()} + "' in mouse");
        }
    }
    MouseRequest request;
    move(*table, request);
    request.press = button(*table, "press");
    request.click = button(*table, "click");
    request.double_click = button(*table, "double");
    request.wheel = static_cast<int>(integer(*table, "wheel", -100, 100, 0));
    request.release = button(*table, "release");
    step.input = mouse_program(request);
}

std::string Parser::text_of(const toml::node& node, std::string_view key)
{
    const auto* text = node.as_string();
    if (text == nullptr || text->get().empty()) {
        problem(node.source(), "'" + std::string{key} + "' must be a text that is not empty");
        return {};
    }
    return text->get();
}

u64 Parser::seconds_of(const toml::node& node, std::string_view key)
{
    const std::optional<double> seconds = node.value<double>();
    const bool number = node.is_integer() || node.is_floating_point();
    if (!number || !seconds || !(*seconds > 0) || *seconds > kMaxSeconds) {
        problem(node.source(), "'" + std::string{key} + "' must be a number of seconds above 0");
        return 1;
    }
    return static_cast<u64>(std::llround(*seconds * 1e9));
}

u64 Parser::limit(const toml::table& table)
{
    const toml::node* node = table.get("within_guest_s");
    if (node == nullptr) {
        problem(table.source(), "a wait needs 'within_guest_s'");
        return 1;
    }
    return seconds_of(*node, "within_guest_s");
}

i64 Parser::integer(const toml::table& table, std::string_view key, i64 low, i64 high, i64 fallback)
{
    const toml::node* node = table.get(key);
    if (node == nullptr) {
        return fallback;
    }
    const auto* number = node->as_integer();
    if (number == nullptr || number->get() < low || number->get() > high) {
        problem(node->source(), "'" + std::string{key} + "' must be an integer from " +
                                    std::to_string(low) + " to " + std::to_string(high));
        return fallback;
    }
    return number->get();
}

} // namespace

bool Script::takes_screenshots() const
{
    return std::any_of(steps.begin(), steps.end(),
                       [](const Step& step) { return step.action == Action::screenshot; });
}

base::Result<Script> parse_script(const std::string& toml, const std::string& name,
                                  const std::string& folder)
{
    return Parser{name, folder}.parse(toml);
}

base::Result<Script> read_script(const std::string& path)
{
    std::ifstream file{path, std::ios::binary};
    if (!file) {
        return base::fail(base::Errc::io, "cannot open script " + path);
    }
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    const std::size_t slash = path.rfind('/');
    return parse_script(text, path, slash == std::string::npos ? "." : path.substr(0, slash));
}

} // namespace emu::script
