// Numbers and JSON as qemu-img prints them.
#pragma once

#include "base/types.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace img::cli {

/// "196 KiB": three significant digits and a binary unit.
std::string size_text(base::u64 bytes);

/// Writes JSON with four spaces to a level and one member to a line.
class JsonWriter {
public:
    void begin_object() { open('{'); }
    void end_object() { close('}'); }
    void begin_array() { open('['); }
    void end_array() { close(']'); }
    void key(std::string_view name);
    void value(std::string_view text);
    void value(base::u64 number) { raw(std::to_string(number)); }
    void value_bool(bool on) { raw(on ? "true" : "false"); }
    /// A value that is JSON already.
    void raw(std::string_view json);

    const std::string& text() const { return text_; }
    /// What was written since the last call, for output too long to be kept.
    std::string take() { return std::exchange(text_, {}); }

private:
    void open(char bracket);
    void close(char bracket);
    void begin_value();
    void quote(std::string_view text);

    std::string text_;
    std::vector<bool> has_members_; // of each open bracket
    bool after_key_ = false;
};

} // namespace img::cli
