#include "emulator/debug/expression.hpp"

#include <array>
#include <cctype>
#include <charconv>
#include <string>

namespace emu::debug {

namespace {

using base::Errc;
using base::fail;
using base::i64;
using base::Result;

constexpr int kMaxDepth = 100; // of parentheses and unary operators

/// A level of binary operators of the same strength, read from the left.
struct Level {
    std::string_view operators;
};
constexpr std::array<Level, 3> kLevels{{{"+-"}, {"&|^"}, {"*/%"}}};

Result<u64> apply(char operation, u64 left, u64 right)
{
    if ((operation == '/' || operation == '%') && right == 0) {
        return fail(Errc::invalid_argument, "division by zero");
    }
    switch (operation) {
    case '+':
        return left + right;
    case '-':
        return left - right;
    case '&':
        return left & right;
    case '|':
        return left | right;
    case '^':
        return left ^ right;
    case '*':
        return left * right;
    default:
        break;
    }
    const auto signed_left = static_cast<i64>(left);
    const auto signed_right = static_cast<i64>(right);
    if (signed_right == -1) { // the smallest number has no positive counterpart
        return operation == '/' ? 0 - left : 0;
    }
    return static_cast<u64>(operation == '/' ? signed_left / signed_right
                                             : signed_left % signed_right);
}

class Parser {
public:
    Parser(std::string_view text, const RegisterLookup& registers)
        : text_{text}, registers_{registers}
    {}

    Result<u64> all()
    {
        auto value = binary(0);
        if (value && next() != '\0') {
            return fail(Errc::invalid_argument,
                        "extraneous characters at the end of the expression");
        }
        return value;
    }

private:
    /// The next character that is no blank; 0 at the end.
    char next()
    {
        while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) {
            ++at_;
        }
        return at_ < text_.size() ? text_[at_] : '\0';
    }

    Result<u64> binary(std::size_t level)
    {
        if (level == kLevels.size()) {
            return unary();
        }
        auto value = binary(level + 1);
        while (value) {
            const char operation = next();
            if (operation == '\0' ||
                kLevels[level].operators.find(operation) == std::string_view::npos) {
                break;
            }
            ++at_;
            auto right = binary(level + 1);
            if (!right) {
                return right;
            }
            value = apply(operation, value.value(), right.value());
        }
        return value;
    }

    Result<u64> unary()
    {
        if (++depth_ > kMaxDepth) {
            return fail(Errc::invalid_argument, "the expression is nested too deeply");
        }
        auto value = primary();
        --depth_;
        return value;
    }

    Result<u64> primary()
    {
        const char c = next();
        if (c == '\0') {
            return fail(Errc::invalid_argument, "unexpected end of expression");
        }
        if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
            return number();
        }
        ++at_;
        switch (c) {
        case '+':
            return unary();
        case '-':
            return negated(unary(), 1);
        case '~':
            return negated(unary(), 0);
        case '(':
            return parenthesis();
        case '\'':
            return character();
        case '$':
            return named_register();
        default:
            return fail(Errc::invalid_argument,
                        std::string{"invalid char '"} + c + "' in expression");
        }
    }

    static Result<u64> negated(Result<u64> value, u64 add)
    {
        return value ? Result<u64>{~value.value() + add} : std::move(value);
    }

    Result<u64> parenthesis()
    {
        auto value = binary(0);
        if (value && next() != ')') {
            return fail(Errc::invalid_argument, "')' expected");
        }
        ++at_;
        return value;
    }

    Result<u64> character()
    {
        if (at_ + 1 >= text_.size() || text_[at_ + 1] != '\'') {
            return fail(Errc::invalid_argument, "missing terminating ' character");
        }
        const auto value = static_cast<unsigned char>(text_[at_]);
        at_ += 2;
        return u64{value};
    }

    Result<u64> number()
    {
        int radix = 10;
        if (text_[at_] == '0') {
            const bool hex = at_ + 1 < text_.size() && (text_[at_ + 1] | 0x20) == 'x';
            radix = hex ? 16 : 8;
            at_ += hex ? 2 : 0;
        }
        u64 value = 0;
        const char* const begin = text_.data() + at_;
        const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value, radix);
        if (error == std::errc::result_out_of_range) {
            return fail(Errc::invalid_argument, "number too large");
        }
        if (error != std::errc{}) {
            return fail(Errc::invalid_argument, "invalid number in expression");
        }
        at_ += static_cast<std::size_t>(end - begin);
        return value;
    }

    Result<u64> named_register()
    {
        const std::size_t begin = at_;
        while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
                                      text_[at_] == '_' || text_[at_] == '.')) {
            ++at_;
        }
        const auto value = registers_(text_.substr(begin, at_ - begin));
        if (!value) {
            return fail(Errc::invalid_argument, "unknown register");
        }
        return *value;
    }

    std::string_view text_;
    const RegisterLookup& registers_;
    std::size_t at_ = 0;
    int depth_ = 0;
};

} // namespace

base::Result<u64> evaluate(std::string_view text, const RegisterLookup& registers)
{
    return Parser{text, registers}.all();
}

} // namespace emu::debug
