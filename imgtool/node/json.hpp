// JSON (RFC 8259) as far as image names need it: "json:{...}" and the names we show.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace img::node {

/// A JSON value. Numbers stay as they are written.
struct Value {
    enum class Kind : base::u8 { null, boolean, number, text, list, object };

    Kind kind = Kind::null;
    std::string text = {}; // of a boolean ("true"), number or text
    std::vector<std::pair<std::string, Value>> members = {}; // of an object; keys of a list: empty

    static Value of_text(std::string text) { return {Kind::text, std::move(text), {}}; }
    static Value of_number(base::u64 n) { return {Kind::number, std::to_string(n), {}}; }
    static Value of_boolean(bool on) { return {Kind::boolean, on ? "true" : "false", {}}; }
    static Value object() { return {Kind::object, {}, {}}; }

    /// Appends a member to an object.
    void add(std::string key, Value value)
    {
        members.emplace_back(std::move(key), std::move(value));
    }
};

/// Parses one value and nothing after it. Strings may also be in single quotes, as QEMU has it.
/// Errors: `invalid_argument`, in qemu-img's words.
base::Result<Value> parse_json(std::string_view text);

/// The value on one line, the members of objects in the order in which QEMU shows them.
std::string write_json(const Value& value);

/// Where QEMU has a key among others: it goes through the buckets of a hash table.
base::u32 key_order(std::string_view key);

} // namespace img::node
