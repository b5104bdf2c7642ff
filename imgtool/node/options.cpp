#include "imgtool/node/options.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img::node {

namespace {

using base::Errc;
using base::fail;
using base::Result;

void flatten(Options& into, const std::string& prefix, const Value& value)
{
    const bool is_list = value.kind == Value::Kind::list;
    if (!is_list && value.kind != Value::Kind::object) {
        into.set(prefix, value);
        return;
    }
    std::size_t index = 0;
    for (const auto& [key, member] : value.members) {
        const std::string name = is_list ? std::to_string(index++) : key;
        std::string path = prefix;
        path += prefix.empty() ? "" : ".";
        path += name;
        flatten(into, path, member);
    }
}

/// Takes "key=value" up to a comma off the front of `text`; a doubled comma stands for one.
std::string take_part(std::string_view& text)
{
    std::string part;
    std::size_t i = 0;
    for (; i < text.size(); ++i) {
        if (text[i] == ',') {
            if (i + 1 == text.size() || text[i + 1] != ',') {
                break;
            }
            ++i;
        }
        part += text[i];
    }
    text.remove_prefix(std::min(i + 1, text.size()));
    return part;
}

} // namespace

void Options::set(std::string_view key, Value value)
{
    for (auto& [name, old] : entries_) {
        if (name == key) {
            old = std::move(value);
            return;
        }
    }
    entries_.emplace_back(key, std::move(value));
}

const Value* Options::find(std::string_view key) const
{
    for (const auto& [name, value] : entries_) {
        if (name == key) {
            return &value;
        }
    }
    return nullptr;
}

std::optional<Value> Options::take_value(std::string_view key)
{
    const auto found =
        std::ranges::find_if(entries_, [&](const auto& e) { return e.first == key; });
    if (found == entries_.end()) {
        return std::nullopt;
    }
    Value value = std::move(found->second);
    entries_.erase(found);
    return value;
}

std::optional<std::string> Options::take(std::string_view key)
{
    const auto value = take_value(key);
    if (!value || value->kind == Value::Kind::null) {
        return std::nullopt;
    }
    return text_of(*value);
}

Options Options::take_under(std::string_view child)
{
    const std::string prefix = std::string{child} + '.';
    Options under;
    std::erase_if(entries_, [&](auto& entry) {
        if (!entry.first.starts_with(prefix)) {
            return false;
        }
        under.entries_.emplace_back(entry.first.substr(prefix.size()), std::move(entry.second));
        return true;
    });
    return under;
}

std::vector<Options> Options::take_list(std::string_view list)
{
    std::vector<Options> all;
    while (true) {
        Options element = take_under(fmt::format("{}.{}", list, all.size()));
        if (element.empty()) {
            return all;
        }
        all.push_back(std::move(element));
    }
}

void Options::add_missing(const Options& other)
{
    for (const auto& [key, value] : other.entries_) {
        if (!has(key)) {
            set(key, value);
        }
    }
}

std::string_view Options::first_key() const
{
    std::string_view first;
    for (const auto& [key, value] : entries_) {
        if (first.empty() || key_order(key) <= key_order(first)) {
            first = key;
        }
    }
    return first;
}

std::string text_of(const Value& value)
{
    if (value.kind == Value::Kind::boolean) {
        return value.text == "true" ? "on" : "off";
    }
    return value.text;
}

bool has_protocol(std::string_view name)
{
    const std::size_t end = name.find_first_of(":/");
    return end != std::string_view::npos && name[end] == ':';
}

Result<Options> parse_image_opts(std::string_view text)
{
    Options options;
    for (bool first = true; !text.empty(); first = false) {
        const std::string part = take_part(text);
        const std::size_t equals = part.find('=');
        if (equals != std::string::npos) {
            options.set(part.substr(0, equals), part.substr(equals + 1));
        } else if (first) {
            options.set("file", part);
        } else if (part.starts_with("no")) {
            options.set(part.substr(2), std::string{"off"});
        } else if (!part.empty()) {
            options.set(part, std::string{"on"});
        }
    }
    options.take("id");
    return options;
}

Result<Options> parse_json_options(std::string_view text)
{
    auto value = parse_json(text);
    if (!value) {
        return std::move(value).error().in("Could not parse the JSON options");
    }
    if (value.value().kind != Value::Kind::object) {
        return fail(Errc::invalid_argument, "Invalid JSON object given");
    }
    Options options;
    // Nested members count more than names with dots.
    for (const bool nested : {false, true}) {
        for (const auto& [key, member] : value.value().members) {
            const bool is_nested =
                member.kind == Value::Kind::object || member.kind == Value::Kind::list;
            if (nested == is_nested) {
                flatten(options, key, member);
            }
        }
    }
    return options;
}

} // namespace img::node
