#include "imgtool/node/json.hpp"

#include "imgtool/unicode.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace img::node {

namespace {

using base::Errc;
using base::fail;
using base::Result;
using base::u32;
using base::u64;
using base::u8;

constexpr int kMaxDepth = 1024; // of brackets; QEMU's limit

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/// Where a number that begins at `at` ends (RFC 8259, section 6), or npos.
std::size_t number_end(std::string_view s, std::size_t at)
{
    const auto digits = [&s](std::size_t i) {
        while (i < s.size() && is_digit(s[i])) {
            ++i;
        }
        return i;
    };
    at += at < s.size() && s[at] == '-' ? 1 : 0;
    std::size_t end = digits(at);
    if (end == at || (s[at] == '0' && end != at + 1)) {
        return std::string_view::npos;
    }
    if (end < s.size() && s[end] == '.') {
        at = end + 1;
        end = digits(at);
        if (end == at) {
            return std::string_view::npos;
        }
    }
    if (end < s.size() && (s[end] == 'e' || s[end] == 'E')) {
        at = end + 1;
        at += at < s.size() && (s[at] == '+' || s[at] == '-') ? 1 : 0;
        end = digits(at);
        if (end == at) {
            return std::string_view::npos;
        }
    }
    return end;
}

class Parser {
public:
    explicit Parser(std::string_view text) : text_{text} {}

    Result<Value> document()
    {
        skip_space();
        if (at_end()) {
            return fail(Errc::invalid_argument, "Expecting a JSON value");
        }
        auto value = parse_value(0);
        skip_space();
        if (value && !at_end()) {
            return fail(Errc::invalid_argument, "Expecting at most one JSON value");
        }
        return value;
    }

private:
    static base::Error wrong(std::string_view what)
    {
        return fail(Errc::invalid_argument, fmt::format("JSON parse error, {}", what));
    }
    base::Error stray(std::size_t from) const
    {
        std::size_t end = from + 1;
        while (end < text_.size() && (text_[from] == '"' || text_[from] == '\'' ||
                                      (is_digit(text_[from]) && is_digit(text_[end])))) {
            ++end;
        }
        return wrong(fmt::format("stray '{}'", text_.substr(from, end - from)));
    }

    bool at_end() const { return at_ == text_.size(); }
    void skip_space()
    {
        while (!at_end() && std::strchr(" \t\r\n", text_[at_]) != nullptr && text_[at_] != '\0') {
            ++at_;
        }
    }
    bool eat(char c)
    {
        skip_space();
        if (at_end() || text_[at_] != c) {
            return false;
        }
        ++at_;
        return true;
    }

    Result<Value> parse_value(int depth)
    {
        skip_space();
        if (at_end()) {
            return wrong("premature EOI");
        }
        if (depth == kMaxDepth) {
            return wrong("nested too deeply");
        }
        const char c = text_[at_];
        if (c == '{') {
            return parse_members(depth, '}');
        }
        if (c == '[') {
            return parse_members(depth, ']');
        }
        if (c == '"' || c == '\'') {
            auto text = parse_string();
            return text ? Result<Value>{Value::of_text(std::move(text).value())}
                        : Result<Value>{std::move(text).error()};
        }
        if (c >= 'a' && c <= 'z') {
            return parse_keyword();
        }
        if (c == '-' || is_digit(c)) {
            const std::size_t end = number_end(text_, at_);
            if (end == std::string_view::npos) {
                return stray(at_);
            }
            Value number{Value::Kind::number, std::string{text_.substr(at_, end - at_)}, {}};
            at_ = end;
            return number;
        }
        return std::strchr("}],:", c) != nullptr ? wrong("expecting value") : stray(at_);
    }

    Result<Value> parse_keyword()
    {
        std::size_t end = at_;
        while (end < text_.size() && text_[end] >= 'a' && text_[end] <= 'z') {
            ++end;
        }
        const std::string_view word = text_.substr(at_, end - at_);
        at_ = end;
        if (word == "null") {
            return Value{};
        }
        if (word == "true" || word == "false") {
            return Value::of_boolean(word == "true");
        }
        return wrong(fmt::format("invalid keyword '{}'", word));
    }

    /// The members of an object or a list.
    Result<Value> parse_members(int depth, char closing)
    {
        ++at_; // the opening bracket
        const bool is_object = closing == '}';
        Value value{is_object ? Value::Kind::object : Value::Kind::list, {}, {}};
        if (eat(closing)) {
            return value;
        }
        while (true) {
            std::string key;
            if (is_object) {
                auto parsed = parse_key(value);
                if (!parsed) {
                    return std::move(parsed).error();
                }
                key = std::move(parsed).value();
            }
            auto member = parse_value(depth + 1);
            if (!member) {
                return member;
            }
            value.add(std::move(key), std::move(member).value());
            if (eat(closing)) {
                return value;
            }
            if (!eat(',')) {
                return at_end()    ? wrong("premature EOI")
                       : is_object ? wrong("expected separator in dict")
                                   : wrong("expected separator in list");
            }
        }
    }

    Result<std::string> parse_key(const Value& object)
    {
        skip_space();
        if (at_end()) {
            return wrong("premature EOI");
        }
        if (text_[at_] != '"' && text_[at_] != '\'') {
            return text_[at_] == '}' ? wrong("expecting value")
                                     : wrong("key is not a string in object");
        }
        auto key = parse_string();
        if (!key) {
            return key;
        }
        if (!eat(':')) {
            return at_end() ? wrong("premature EOI") : wrong("missing : in object pair");
        }
        const auto same = [&key](const auto& member) { return member.first == key.value(); };
        if (std::ranges::any_of(object.members, same)) {
            return wrong("duplicate key");
        }
        return key;
    }

    Result<std::string> parse_string()
    {
        const std::size_t begin = at_;
        const char quote = text_[at_++];
        std::string text;
        while (!at_end() && text_[at_] != quote) {
            const char c = text_[at_];
            if (static_cast<u8>(c) < 0x20) {
                return stray(begin);
            }
            ++at_;
            if (c != '\\') {
                text += c;
            } else if (auto good = parse_escape(text); !good) {
                return std::move(good).error();
            }
        }
        if (at_end()) {
            return stray(begin);
        }
        ++at_;
        return text;
    }

    base::Status parse_escape(std::string& text)
    {
        static constexpr std::string_view kLetters = "\"'\\/bfnrt";
        static constexpr std::string_view kMeanings = "\"'\\/\b\f\n\r\t";
        const char c = at_end() ? '\0' : text_[at_++];
        if (c != 'u') {
            const std::size_t i = kLetters.find(c);
            if (i == std::string_view::npos) {
                return wrong("invalid escape sequence in string");
            }
            text += kMeanings[i];
            return base::ok();
        }
        u32 point = 0;
        if (!parse_hex(point)) {
            return wrong("invalid escape sequence in string");
        }
        if (point >= 0xd800 && point < 0xdc00) { // the first of a surrogate pair
            u32 low = 0;
            if (text_.substr(at_, 2) != "\\u") {
                return wrong("invalid escape sequence in string");
            }
            at_ += 2;
            if (!parse_hex(low) || low < 0xdc00 || low >= 0xe000) {
                return wrong("invalid escape sequence in string");
            }
            point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
        } else if (point >= 0xdc00 && point < 0xe000) {
            return wrong("invalid escape sequence in string");
        }
        if (point == 0) {
            return wrong("a zero character in a string"); // names end there for the host
        }
        append_utf8(text, point);
        return base::ok();
    }

    bool parse_hex(u32& value)
    {
        for (int i = 0; i < 4; ++i) {
            static constexpr std::string_view kDigits = "0123456789abcdef0123456789ABCDEF";
            const std::size_t digit = at_end() ? std::string_view::npos : kDigits.find(text_[at_]);
            if (digit == std::string_view::npos) {
                return false;
            }
            value = value * 16 + static_cast<u32>(digit % 16);
            ++at_;
        }
        return true;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

/// The code point at `text[at]` (RFC 3629), moving `at` behind it; U+FFFD for what is none.
u32 next_point(std::string_view text, std::size_t& at)
{
    constexpr u32 kReplacement = 0xfffd;
    const auto byte = static_cast<u8>(text[at++]);
    const int more = byte < 0x80 ? 0 : byte < 0xc2 ? -1 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    if (more <= 0) {
        return more == 0 ? byte : kReplacement;
    }
    u32 point = byte & (0x3fU >> more);
    for (int i = 0; i < more; ++i) {
        if (at == text.size() || (static_cast<u8>(text[at]) & 0xc0) != 0x80) {
            return kReplacement;
        }
        point = point << 6 | (static_cast<u8>(text[at++]) & 0x3fU);
    }
    const bool overlong = (more == 2 && point < 0x800) || (more == 3 && point < 0x10000);
    const bool surrogate = point >= 0xd800 && point < 0xe000;
    return overlong || surrogate || point > 0x10ffff ? kReplacement : point;
}

void write_text(std::string& to, std::string_view text)
{
    static constexpr std::string_view kMeanings = "\"\\\b\f\n\r\t";
    static constexpr std::string_view kLetters = "\"\\bfnrt";
    to += '"';
    for (std::size_t at = 0; at < text.size();) {
        const u32 point = next_point(text, at);
        const std::size_t i =
            point < 0x80 ? kMeanings.find(static_cast<char>(point)) : std::string_view::npos;
        if (i != std::string_view::npos) {
            to += '\\';
            to += kLetters[i];
        } else if (point >= 0x10000) {
            fmt::format_to(std::back_inserter(to), "\\u{:04X}\\u{:04X}",
                           0xd800 + ((point - 0x10000) >> 10), 0xdc00 + (point & 0x3ff));
        } else if (point < 0x20 || point >= 0x7f) {
            fmt::format_to(std::back_inserter(to), "\\u{:04X}", point);
        } else {
            to += static_cast<char>(point);
        }
    }
    to += '"';
}

void write(std::string& to, const Value& value)
{
    switch (value.kind) {
    case Value::Kind::null:
        to += "null";
        return;
    case Value::Kind::boolean:
    case Value::Kind::number:
        to += value.text;
        return;
    case Value::Kind::text:
        write_text(to, value.text);
        return;
    case Value::Kind::list:
    case Value::Kind::object:
        break;
    }
    const bool is_object = value.kind == Value::Kind::object;
    std::vector<const std::pair<std::string, Value>*> members;
    for (auto member = value.members.rbegin(); member != value.members.rend(); ++member) {
        members.push_back(&*member); // what came last is the first of its bucket
    }
    if (is_object) {
        std::ranges::stable_sort(members, {}, [](const auto* m) { return key_order(m->first); });
    } else {
        std::ranges::reverse(members);
    }
    to += is_object ? '{' : '[';
    bool first = true;
    for (const auto* member : members) {
        to += first ? "" : ", ";
        first = false;
        if (is_object) {
            write_text(to, member->first);
            to += ": ";
        }
        write(to, member->second);
    }
    to += is_object ? '}' : ']';
}

} // namespace

base::Result<Value> parse_json(std::string_view text)
{
    return Parser{text}.document();
}

std::string write_json(const Value& value)
{
    std::string text;
    write(text, value);
    return text;
}

base::u32 key_order(std::string_view key)
{
    // The hash of the Trivial Database (Samba's tdb), in 512 buckets.
    u32 sum = 0x238f13afU * static_cast<u32>(key.size());
    u32 shift = 0;
    for (const char c : key) {
        sum += static_cast<u32>(static_cast<u8>(c)) << shift;
        shift = (shift + 5) % 24;
    }
    return (1103515243U * sum + 12345U) % 512;
}

} // namespace img::node
