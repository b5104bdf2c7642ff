// The options of a block node, as QEMU's block layer takes them: "driver", "file.filename",
// "backing.file.driver", "children.0.driver"; nested JSON is flattened into such names.
#pragma once

#include "imgtool/node/json.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace img::node {

class Options {
public:
    /// Sets an option, in place of what it was. Only null, booleans, numbers and texts.
    void set(std::string_view key, Value value);
    void set(std::string_view key, std::string text) { set(key, Value::of_text(std::move(text))); }

    bool has(std::string_view key) const { return find(key) != nullptr; }
    bool empty() const { return entries_.empty(); }
    const Value* find(std::string_view key) const;

    /// Takes an option out. As text whatever its type was (booleans are "on" and "off"); nothing
    /// when it is not there or null.
    std::optional<std::string> take(std::string_view key);
    /// The same with its type.
    std::optional<Value> take_value(std::string_view key);
    /// Takes out all that begin with "child." and returns them without that.
    Options take_under(std::string_view child);
    /// The elements "list.0.", "list.1.", ... as far as they go without a gap.
    std::vector<Options> take_list(std::string_view list);

    /// Those of `other` that are not set here.
    void add_missing(const Options& other);

    /// The option that QEMU would find first, for messages about those nobody took.
    std::string_view first_key() const;
    const std::vector<std::pair<std::string, Value>>& entries() const { return entries_; }

private:
    std::vector<std::pair<std::string, Value>> entries_;
};

/// An option's value as text.
std::string text_of(const Value& value);

/// Whether `name` begins as a protocol or "json:" does: with a colon before the first slash.
bool has_protocol(std::string_view name);

/// Parses "driver=qcow2,file.filename=x"; ",," is a comma. What has no "=" is `file=` when it is
/// the first, else on (or off after "no").
base::Result<Options> parse_image_opts(std::string_view text);

/// Parses what follows "json:".
base::Result<Options> parse_json_options(std::string_view text);

} // namespace img::node
