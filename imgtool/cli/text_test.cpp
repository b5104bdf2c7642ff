#include "imgtool/cli/text.hpp"

#include <catch2/catch.hpp>

using img::cli::JsonWriter;
using img::cli::size_text;

TEST_CASE("size text: three digits and a unit, which changes at 1000")
{
    CHECK(size_text(0) == "0 B");
    CHECK(size_text(999) == "999 B");
    CHECK(size_text(1000) == "0.977 KiB");
    CHECK(size_text(200704) == "196 KiB");
    CHECK(size_text(10485760) == "10 MiB");
    CHECK(size_text(4697620) == "4.48 MiB");
    CHECK(size_text(~base::u64{0}) == "16 EiB");
}

TEST_CASE("json: members are indented by four, texts are escaped")
{
    JsonWriter json;
    json.begin_object();
    json.key("name");
    json.value("a\"b\\c\n\x01");
    json.key("list");
    json.begin_array();
    json.value(base::u64{7});
    json.end_array();
    json.end_object();

    CHECK(json.text() == "{\n"
                         "    \"name\": \"a\\\"b\\\\c\\n\\u0001\",\n"
                         "    \"list\": [\n"
                         "        7\n"
                         "    ]\n"
                         "}");
}

TEST_CASE("json: what is not ASCII is escaped, what is no text is replaced")
{
    JsonWriter json;
    json.value("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xbe \xff \xc0\xaf \xed\xa0\x80 \xc3");

    CHECK(json.text() == "\"\\u00E9 \\u20AC \\uD83D\\uDCBE \\uFFFD \\uFFFD\\uFFFD "
                         "\\uFFFD\\uFFFD\\uFFFD \\uFFFD\"");
}
