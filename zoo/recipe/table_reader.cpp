#include "zoo/recipe/table_reader.hpp"

#include "zoo/store/digest.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace zoo {

using base::i64;
using base::u64;

int line_of(const toml::node& node)
{
    return static_cast<int>(node.source().begin.line);
}

TableReader::TableReader(const toml::table& table, std::string what, std::vector<Problem>& problems)
    : table_{table}, what_{std::move(what)}, problems_{problems}, line_{line_of(table)}
{}

void TableReader::problem(int line, std::string text)
{
    problems_.push_back({line, what_.empty() ? std::move(text) : what_ + ": " + text});
}

void TableReader::problem_at(std::string_view key, std::string text)
{
    const toml::node* node = table_.get(key);
    problem(node != nullptr ? line_of(*node) : line_, std::move(text));
}

const toml::node* TableReader::node(std::string_view key, Need need)
{
    asked_.emplace(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr && need == Need::required) {
        problem(line_, fmt::format("{} is missing", key));
    }
    return node;
}

std::string TableReader::text(std::string_view key, Need need)
{
    const toml::node* found = node(key, need);
    if (found == nullptr) {
        return {};
    }
    const auto* value = found->as_string();
    if (value == nullptr) {
        problem(line_of(*found), fmt::format("{} must be a text", key));
        return {};
    }
    if (value->get().empty()) {
        problem(line_of(*found), fmt::format("{} must not be empty", key));
    }
    return value->get();
}

std::string TableReader::word(std::string_view key, Need need,
                              std::span<const std::string_view> words)
{
    const std::string value = text(key, need);
    if (value.empty()) {
        return std::string{words.front()};
    }
    if (std::ranges::find(words, value) == words.end()) {
        std::string list;
        for (const std::string_view word : words) {
            list += (list.empty() ? "" : ", ") + std::string{word};
        }
        problem_at(key, fmt::format("{} = \"{}\" is not one of: {}", key, value, list));
    }
    return value;
}

std::optional<u64> TableReader::integer(std::string_view key, Need need, Range range)
{
    const toml::node* found = node(key, need);
    if (found == nullptr) {
        return std::nullopt;
    }
    const auto* value = found->as_integer();
    if (value == nullptr || value->get() < range.least || value->get() > range.most) {
        problem(line_of(*found),
                fmt::format("{} must be an integer from {} to {}", key, range.least, range.most));
        return std::nullopt;
    }
    return static_cast<u64>(value->get());
}

bool TableReader::flag(std::string_view key)
{
    const toml::node* found = node(key, Need::optional);
    if (found == nullptr) {
        return false;
    }
    const auto* value = found->as_boolean();
    if (value == nullptr) {
        problem(line_of(*found), fmt::format("{} must be true or false", key));
        return false;
    }
    return value->get();
}

std::vector<std::string> TableReader::texts(std::string_view key, Need need)
{
    const toml::node* found = node(key, need);
    if (found == nullptr) {
        return {};
    }
    std::vector<std::string> values;
    const toml::array* array = found->as_array();
    for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
        if (const auto* value = (*array)[i].as_string();
            value != nullptr && !value->get().empty()) {
            values.push_back(value->get());
        }
    }
    if (array == nullptr || values.size() != array->size()) {
        problem(line_of(*found), fmt::format("{} must be an array of texts", key));
    }
    return values;
}

std::string TableReader::digest(std::string_view key, Need need, std::size_t digits)
{
    const std::string value = text(key, need);
    if (value.empty()) {
        return {};
    }
    auto normal = normalise_digest(value, digits);
    if (!normal) {
        problem_at(key, fmt::format("{} must be {} hexadecimal digits, not all 0", key, digits));
        return {};
    }
    return *normal;
}

const toml::table* TableReader::table(std::string_view key, Need need)
{
    const toml::node* found = node(key, need);
    if (found == nullptr) {
        return nullptr;
    }
    if (!found->is_table()) {
        problem(line_of(*found), fmt::format("{} must be a table", key));
    }
    return found->as_table();
}

std::vector<const toml::table*> TableReader::tables(std::string_view key)
{
    const toml::node* found = node(key, Need::optional);
    if (found == nullptr) {
        return {};
    }
    std::vector<const toml::table*> tables;
    const toml::array* array = found->as_array();
    for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
        if (const toml::table* table = (*array)[i].as_table(); table != nullptr) {
            tables.push_back(table);
        }
    }
    if (array == nullptr || tables.size() != array->size()) {
        problem(line_of(*found), fmt::format("{} must be an array of tables", key));
    }
    return tables;
}

void TableReader::finish()
{
    for (const auto& [key, value] : table_) {
        if (!asked_.contains(key.str())) {
            problem(line_of(value), fmt::format("unknown key {}", key.str()));
        }
    }
}

} // namespace zoo
