#include "imgtool/cli/text.hpp"

#include <array>
#include <cstdio>

namespace img::cli {

std::string size_text(base::u64 bytes)
{
    constexpr std::array kUnits{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    // The next unit is used from 1000 on, so that there are never four digits before the point.
    std::size_t unit = 0;
    double number = static_cast<double>(bytes);
    while (number >= 1000 && unit + 1 < kUnits.size()) {
        number /= 1024;
        ++unit;
    }
    char text[32];
    std::snprintf(text, sizeof text, "%0.3g %sB", number, kUnits[unit]);
    return text;
}

void JsonWriter::begin_value()
{
    if (!after_key_ && !has_members_.empty()) {
        text_ += has_members_.back() ? ",\n" : "\n";
        text_.append(has_members_.size() * 4, ' ');
        has_members_.back() = true;
    }
    after_key_ = false;
}

void JsonWriter::open(char bracket)
{
    begin_value();
    text_ += bracket;
    has_members_.push_back(false);
}

void JsonWriter::close(char bracket)
{
    has_members_.pop_back();
    text_ += '\n';
    text_.append(has_members_.size() * 4, ' ');
    text_ += bracket;
}

void JsonWriter::quote(std::string_view text)
{
    text_ += '"';
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            text_ += '\\';
            text_ += c;
        } else if (c == '\n') {
            text_ += "\\n";
        } else if (c == '\t') {
            text_ += "\\t";
        } else if (byte < 0x20 || byte == 0x7f) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04X", byte);
            text_ += escape;
        } else {
            text_ += c;
        }
    }
    text_ += '"';
}

void JsonWriter::key(std::string_view name)
{
    begin_value();
    quote(name);
    text_ += ": ";
    after_key_ = true;
}

void JsonWriter::value(std::string_view text)
{
    begin_value();
    quote(text);
}

void JsonWriter::raw(std::string_view json)
{
    begin_value();
    text_ += json;
}

} // namespace img::cli
