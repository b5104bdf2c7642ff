#include "imgtool/node/name.hpp"
#include "imgtool/node/node.hpp"
#include "imgtool/node/url.hpp"

#include <catch2/catch.hpp>

using namespace img::node;

namespace {

std::string listed(const base::Result<Options>& options)
{
    if (!options) {
        return options.error().message;
    }
    std::string text;
    for (const auto& [key, value] : options.value().entries()) {
        text += key + "=" + text_of(value) + ";";
    }
    return text;
}

} // namespace

TEST_CASE("node options: key=value lists have doubled commas, a first word and switches")
{
    CHECK(listed(parse_image_opts("driver=qcow2,file.filename=a,,b=c")) ==
          "driver=qcow2;file.filename=a,b=c;");
    CHECK(listed(parse_image_opts("disk,a.b,nox")) == "file=disk;a.b=on;x=off;");
    CHECK(listed(parse_image_opts("a=1,a=2")) == "a=2;");
    CHECK(listed(parse_image_opts("")).empty());
}

TEST_CASE("node options: nested JSON is flattened, and counts more than names with dots")
{
    CHECK(listed(parse_json_options("{'a':{'b':[{'c':1},{'c':true}]},'d':null}")) ==
          "d=;a.b.0.c=1;a.b.1.c=on;");
    CHECK(listed(parse_json_options("{'a':{'b':1},'a.b':2}")) == "a.b=1;");
    CHECK(listed(parse_json_options("[1]")) == "Invalid JSON object given");
}

TEST_CASE("node options: children and lists are taken out whole")
{
    auto options = parse_image_opts("c.1.x=b,file.a.b=1,c.0.x=a,c.3.x=d,filex=2").value();
    CHECK(listed(options.take_under("file")) == "a.b=1;");
    const auto list = options.take_list("c");
    REQUIRE(list.size() == 2); // the list ends at the gap
    CHECK(listed(list[0]) == "x=a;");
    CHECK(listed(list[1]) == "x=b;");
    CHECK(listed(options) == "c.3.x=d;filex=2;");
}

TEST_CASE("node names: protocols have a colon before the first slash")
{
    CHECK(has_protocol("nbd:x/y"));
    CHECK_FALSE(has_protocol("/x:y"));
    CHECK_FALSE(has_protocol("./x:y"));
    CHECK_FALSE(has_protocol("x"));
}

TEST_CASE("node names: those of servers become options")
{
    CHECK(listed(parse_name("nbd:unix:/tmp/s:exportname=e")) ==
          "file.driver=nbd;file.export=e;file.server.type=unix;file.server.path=/tmp/s;");
    CHECK(listed(parse_name("nbd:[::1]:99")) ==
          "file.driver=nbd;file.server.type=inet;file.server.host=::1;file.server.port=99;");
    CHECK(listed(parse_name("nbd://h/a%20b")) ==
          "file.driver=nbd;file.export=a b;file.server.type=inet;file.server.host=h;"
          "file.server.port=10809;");
    CHECK(listed(parse_name("nbd+unix:///e?socket=/tmp/s")) ==
          "file.driver=nbd;file.export=e;file.server.type=unix;file.server.path=/tmp/s;");
    CHECK(listed(parse_name("http://h/x?y")) == "file.driver=http;file.url=http://h/x?y;");
    CHECK(listed(parse_name("fat:floppy:12:/x")) ==
          "file.driver=vvfat;file.fat-type=12;file.floppy=on;file.rw=off;file.dir=/x;");
}

TEST_CASE("node names: other protocols are refused by name")
{
    CHECK(listed(parse_name("ssh://h/x")) == "the protocol 'ssh' is not supported");
    CHECK(listed(parse_name("ftp://h/x")) == "the protocol 'ftp' is not supported");
    CHECK(listed(parse_name("json")) == "'json' names no protocol");
    CHECK(listed(parse_name("nbd")) == "'nbd' names no protocol");
    CHECK(listed(parse_name("foo:x")) == "Unknown protocol 'foo'");
    CHECK(unknown_driver("throttle").message == "the driver 'throttle' is not supported");
    CHECK(unknown_driver("foo").message == "Unknown driver 'foo'");
}

TEST_CASE("node names: relative ones are joined to the folder of their origin")
{
    CHECK(join_name("/x/a.qcow2", "b") == "/x/b");
    CHECK(join_name("http://h/x/a.qcow2", "b") == "http://h/x/b");
    CHECK(join_name("a", "b") == "b");
    CHECK(join_name(std::nullopt, "/b") == "/b");
    CHECK(join_name(std::nullopt, "nbd:h:1") == "nbd:h:1");
    CHECK_FALSE(join_name(std::nullopt, "b"));
}

TEST_CASE("url: parts are told apart and decoded")
{
    const Url url = parse_url("nbd://user@[::1]:12/a%2fb?x=1&y=%3d#z").value();
    CHECK(url.host == "::1");
    CHECK(url.port == "12");
    CHECK(url.path == "/a/b");
    REQUIRE(url.query.size() == 2);
    CHECK(url.query[1].second == "=");
    CHECK_FALSE(parse_url("nbd://h/%zz"));
    CHECK_FALSE(parse_url("nbd://h/a%00b"));
    CHECK_FALSE(parse_url("nbd:h"));
}
