#include "imgtool/node/json.hpp"

#include <catch2/catch.hpp>

using namespace img::node;

namespace {

std::string round_trip(std::string_view text)
{
    const auto value = parse_json(text);
    return value ? write_json(value.value()) : value.error().message;
}

} // namespace

TEST_CASE("json: values are read and written again")
{
    CHECK(round_trip(" null ") == "null");
    CHECK(round_trip("[true, -1.5e3, 'a\\'b', \"\\u00e9\\ud83d\\ude00\"]") ==
          "[true, -1.5e3, \"a'b\", \"\\u00E9\\uD83D\\uDE00\"]");
    CHECK(round_trip("{}") == "{}");
    CHECK(round_trip("[]") == "[]");
}

TEST_CASE("json: members are shown in QEMU's order")
{
    CHECK(round_trip("{'driver':'raw','size':1,'offset':2,'file':{'filename':'x','driver':'f'}}") ==
          "{\"offset\": 2, \"driver\": \"raw\", \"size\": 1, "
          "\"file\": {\"driver\": \"f\", \"filename\": \"x\"}}");
}

TEST_CASE("json: what is wrong is said in qemu-img's words")
{
    CHECK(round_trip("") == "Expecting a JSON value");
    CHECK(round_trip("{") == "JSON parse error, premature EOI");
    CHECK(round_trip("{\"a\"}") == "JSON parse error, missing : in object pair");
    CHECK(round_trip("{\"a\":}") == "JSON parse error, expecting value");
    CHECK(round_trip("{\"a\":1,}") == "JSON parse error, expecting value");
    CHECK(round_trip("{\"a\":1,\"a\":2}") == "JSON parse error, duplicate key");
    CHECK(round_trip("{\"a\":qcow2}") == "JSON parse error, invalid keyword 'qcow'");
    CHECK(round_trip("01") == "JSON parse error, stray '01'");
    CHECK(round_trip("\"abc") == "JSON parse error, stray '\"abc'");
    CHECK(round_trip("\"\\q\"") == "JSON parse error, invalid escape sequence in string");
    CHECK(round_trip("1 2") == "Expecting at most one JSON value");
}

TEST_CASE("json: zero characters, lone surrogates and endless nesting are refused")
{
    CHECK_FALSE(parse_json("\"\\u0000\""));
    CHECK_FALSE(parse_json("\"\\ud800\""));
    CHECK_FALSE(parse_json("\"\\ude00\""));
    CHECK_FALSE(parse_json(std::string(100000, '[')));
}

TEST_CASE("json: bytes that are not UTF-8 are shown as replacement characters")
{
    CHECK(write_json(Value::of_text("a\xff\xc3(")) == "\"a\\uFFFD\\uFFFD(\"");
}
