#include "emulator/debug/expression.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace emu::debug;

namespace {

using base::u64;

std::optional<u64> registers(std::string_view name)
{
    if (name == "eax") {
        return 0x10;
    }
    return name == "cs.base" ? std::optional<u64>{0xf0000} : std::nullopt;
}

u64 value(std::string_view text)
{
    const auto result = evaluate(text, registers);
    INFO((result ? std::string{} : result.error().message));
    REQUIRE(result);
    return result.value();
}

std::string complaint(std::string_view text)
{
    const auto result = evaluate(text, registers);
    REQUIRE_FALSE(result);
    return result.error().message;
}

} // namespace

TEST_CASE("expression: numbers, characters and registers")
{
    CHECK(value("42") == 42);
    CHECK(value("0xFf") == 255);
    CHECK(value("010") == 8);
    CHECK(value("0") == 0);
    CHECK(value("'A'+1") == 66);
    CHECK(value("$eax + 4") == 0x14);
    CHECK(value("$cs.base+0xfff0") == 0xffff0);
}

TEST_CASE("expression: products bind before bits, and those before sums")
{
    CHECK(value("7*3+1") == 22);
    CHECK(value("(3+4)*2") == 14);
    CHECK(value("0x10|0x3+1") == 0x14);
    CHECK(value("0xff & 3*2") == 6);
    CHECK(value("10-2-3") == 5);
    CHECK(value("17%5") == 2);
    CHECK(value("~0") == ~u64{0});
    CHECK(value("-1") == ~u64{0});
    CHECK(value("- -5") == 5);
    CHECK(value("-6/2") == ~u64{0} - 2);
    CHECK(value("0x8000000000000000/-1") == 0x8000'0000'0000'0000);
}

TEST_CASE("expression: what is wrong is said")
{
    CHECK(complaint("") == "unexpected end of expression");
    CHECK(complaint("1+") == "unexpected end of expression");
    CHECK(complaint("$foo") == "unknown register");
    CHECK(complaint("5/0") == "division by zero");
    CHECK(complaint("5%(1-1)") == "division by zero");
    CHECK(complaint("!1") == "invalid char '!' in expression");
    CHECK(complaint("(1") == "')' expected");
    CHECK(complaint("'A") == "missing terminating ' character");
    CHECK(complaint("1 2") == "extraneous characters at the end of the expression");
    CHECK(complaint("0x") == "invalid number in expression");
    CHECK(complaint("99999999999999999999") == "number too large");
    CHECK(complaint(std::string(100'000, '(')) == "the expression is nested too deeply");
    CHECK(complaint(std::string(100'000, '-')) == "the expression is nested too deeply");
}
