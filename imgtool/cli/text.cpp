#include "imgtool/cli/text.hpp"

#include <array>
#include <cstdio>

namespace img::cli {

namespace {

/// Takes one character out of UTF-8 (RFC 3629, section 3); U+FFFD for a byte that is none.
base::u32 take_code_point(std::string_view& text)
{
    constexpr base::u32 kInvalid = 0xfffd;
    const auto first = static_cast<unsigned char>(text.front());
    text.remove_prefix(1);
    if (first < 0x80) {
        return first;
    }
    const std::size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    if (first < 0xc2 || first > 0xf4 || text.size() < more) {
        return kInvalid;
    }
    base::u32 c = first & (0x3fU >> more);
    for (std::size_t i = 0; i < more; ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if ((byte & 0xc0) != 0x80) {
            return kInvalid;
        }
        c = c << 6 | (byte & 0x3f);
    }
    constexpr base::u32 kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (c < kLeast[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
        return kInvalid;
    }
    text.remove_prefix(more);
    return c;
}

} // namespace

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

/// All that is not ASCII is escaped, as qemu-img does it.
void JsonWriter::quote(std::string_view text)
{
    const auto escape = [this](base::u32 unit) {
        char escaped[8];
        std::snprintf(escaped, sizeof escaped, "\\u%04X", unit & 0xffff);
        text_ += escaped;
    };
    text_ += '"';
    while (!text.empty()) {
        const base::u32 c = take_code_point(text);
        if (c == '"' || c == '\\') {
            text_ += '\\';
            text_ += static_cast<char>(c);
        } else if (c == '\n') {
            text_ += "\\n";
        } else if (c == '\t') {
            text_ += "\\t";
        } else if (c >= 0x20 && c < 0x7f) {
            text_ += static_cast<char>(c);
        } else if (c < 0x10000) {
            escape(c);
        } else { // RFC 8259, section 7: a surrogate pair
            escape(0xd800 + ((c - 0x10000) >> 10));
            escape(0xdc00 + (c & 0x3ff));
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
