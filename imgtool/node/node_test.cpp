// Images reached through block nodes, and which of them an image may lead to.
#include "imgtool/node/name.hpp"
#include "imgtool/node/node.hpp"
#include "imgtool/tests/support.hpp"

#include <filesystem>

using namespace img;
using img::test::need;
using img::test::noise;
using img::test::read_all;
using img::test::TempDir;

namespace {

OpenOptions image_opts(const std::string& text)
{
    OpenOptions options;
    const auto used = node::use_image_opts(options, text);
    REQUIRE(used);
    return options;
}

OpenOptions named(const std::string& name, const std::string& format = {})
{
    OpenOptions options{.path = {}, .format = format};
    const auto used = node::use_name(options, name);
    if (!used) {
        FAIL(used.error().message);
    }
    return options;
}

std::string refusal(const OpenOptions& options)
{
    const auto chain = open_chain(options);
    REQUIRE_FALSE(chain);
    return chain.error().message;
}

/// A qcow2 image whose header names `backing`, which is not looked at.
void make_overlay_of(const std::string& path, const std::string& backing, const std::string& format)
{
    REQUIRE(create_qcow2(path, {.size = 65536}));
    auto layer = need(open_layer({.path = path, .read_only = false}, OpenFor::use));
    const auto set = layer.image->set_backing(backing, format);
    if (!set) {
        FAIL(set.error().message);
    }
    REQUIRE(layer.image->flush());
}

} // namespace

TEST_CASE("node: a part of a raw file is a disk")
{
    const TempDir dir;
    const std::vector<u8> bytes = noise(4096, 1);
    test::write_file(dir / "r", bytes);
    const std::string file = "file.filename=" + (dir / "r");

    auto part = need(open_chain(image_opts("driver=raw,offset=512,size=1024," + file)));

    CHECK(read_all(*part) == std::vector<u8>(bytes.begin() + 512, bytes.begin() + 1536));
    CHECK(part->layers()[0].path ==
          "json:{\"offset\": \"512\", \"driver\": \"raw\", \"size\": \"1024\", \"file\": "
          "{\"driver\": \"file\", \"filename\": \"" +
              (dir / "r") + "\"}}");
    CHECK(refusal(image_opts("driver=raw,offset=4097," + file)) ==
          "Offset (4097) cannot be greater than size of the containing file (4096)");
    CHECK(refusal(image_opts("driver=raw,size=100," + file)) ==
          "Specified size is not multiple of 512");
}

TEST_CASE("node: a part that ends with its file is resized behind its offset, others not at all")
{
    const TempDir dir;
    test::write_file(dir / "r", std::vector<u8>(4096, 7));
    const auto open_part = [&](const std::string& part) {
        OpenOptions options = image_opts("driver=raw," + part + "file.filename=" + (dir / "r"));
        options.read_only = false;
        return need(open_chain(options));
    };

    CHECK(open_part("offset=1024,")->resize(8192, Preallocate::none));
    const auto refused = open_part("offset=1024,size=512,")->resize(1024, Preallocate::none);

    CHECK(std::filesystem::file_size(dir / "r") == 9216);
    CHECK(refused.error().message == "Cannot resize fixed-size raw disks");
    CHECK(std::filesystem::file_size(dir / "r") == 9216);
}

TEST_CASE("node: writes into a part of a file stay there")
{
    const TempDir dir;
    std::vector<u8> bytes(4096, 7);
    test::write_file(dir / "r", bytes);
    OpenOptions options =
        image_opts("driver=raw,offset=1024,size=1024,file.filename=" + (dir / "r"));
    options.read_only = false;
    {
        auto part = need(open_chain(options));
        CHECK(part->write(0, std::vector<u8>(512, 9)));
        CHECK(part->write_zeroes(512, 512));
        CHECK_FALSE(part->write(1024, std::vector<u8>(1, 9)));
    }
    std::fill_n(bytes.begin() + 1024, 512, u8{9});
    std::fill_n(bytes.begin() + 1536, 512, u8{0});
    CHECK(read_all(*need(open_disk({.path = dir / "r", .format = "raw"}))) == bytes);
}

TEST_CASE("node: options that nobody knows are refused with the driver's name")
{
    const TempDir dir;
    REQUIRE(create_qcow2(dir / "q", {.size = 65536}));
    const std::string file = "file.filename=" + (dir / "q");
    CHECK(refusal(image_opts("driver=qcow2,x=1," + file)) ==
          "Block format 'qcow2' does not support the option 'x'");
    CHECK(refusal(image_opts("driver=qcow2,file.x=1," + file)) ==
          "Block protocol 'file' doesn't support the option 'x'");
    CHECK(refusal(image_opts("driver=raw,backing.driver=raw," + file)) ==
          "Driver doesn't support backing files");
    CHECK(refusal(image_opts("driver=qcow2,l2-cache-entry-size=700," + file)) ==
          "L2 cache entry size must be a power of two between 512 and the cluster size (65536)");
    CHECK(refusal(image_opts("driver=qcow2,overlap-check=x," + file)) ==
          "Unsupported value 'x' for qcow2 option 'overlap-check'. Allowed are any of the "
          "following: none, constant, cached, all");
    CHECK(refusal(image_opts("driver=qcow2,lazy-refcounts=maybe," + file)) ==
          "Parameter 'lazy-refcounts' expects 'on' or 'off'");
}

TEST_CASE("node: a format inside another is read through both")
{
    const TempDir dir;
    const std::vector<u8> bytes = noise(65536, 2);
    REQUIRE(create_qcow2(dir / "outer", {.size = 1 << 20}));
    REQUIRE(create_qcow2(dir / "inner", {.size = 65536}));
    {
        auto inner = need(open_disk({.path = dir / "inner", .read_only = false}));
        REQUIRE(inner->write(0, bytes));
    }
    {
        auto raw = need(open_disk({.path = dir / "inner", .format = "raw"}));
        auto outer = need(open_disk({.path = dir / "outer", .read_only = false}));
        REQUIRE(outer->write(0, read_all(*raw)));
    }
    auto both = need(open_chain(
        image_opts("driver=qcow2,file.driver=qcow2,file.file.filename=" + (dir / "outer"))));
    CHECK(read_all(*both) == bytes);
}

TEST_CASE("node: nesting has an end")
{
    std::string text = "driver=raw";
    std::string prefix;
    for (int i = 0; i < 40; ++i) {
        prefix += "file.";
        text += "," + prefix + "driver=raw";
    }
    CHECK(refusal(image_opts(text + "," + prefix + "file.filename=/dev/null"))
              .find("nested too deeply") != std::string::npos);
}

TEST_CASE("node: the backing file can be chosen, or left out, where the image is named")
{
    const TempDir dir;
    test::write_file(dir / "one", std::vector<u8>(65536, 1));
    test::write_file(dir / "two", std::vector<u8>(65536, 2));
    make_overlay_of(dir / "o", dir / "one", "raw");
    const std::string file = "driver=qcow2,file.filename=" + (dir / "o");

    CHECK(read_all(*need(open_disk(image_opts(file)))) == std::vector<u8>(65536, 1));
    CHECK(read_all(*need(open_disk(image_opts(file + ",backing=")))) == std::vector<u8>(65536, 0));
    CHECK(read_all(*need(open_disk(image_opts(file + ",backing.driver=raw,backing.file.filename=" +
                                              (dir / "two"))))) == std::vector<u8>(65536, 2));
    const auto part =
        read_all(*need(open_disk(image_opts(file + ",backing.driver=raw,backing.size=512"))));
    CHECK(part[511] == 1);
    CHECK(part[512] == 0);
}

TEST_CASE("node: null-co reads as zero and keeps nothing")
{
    auto disk = need(open_chain(named("json:{'driver':'null-co','size':65536}")));
    CHECK(disk->size() == 65536);
    CHECK(read_all(*disk) == std::vector<u8>(65536));
    CHECK(need(open_chain(named("null-co://")))->size() == u64{1} << 30);
}

TEST_CASE("node: faults come where they are asked for, once or always")
{
    const TempDir dir;
    test::write_file(dir / "r", noise(8192, 3));
    const std::string file = ",file.driver=blkdebug,file.image.filename=" + (dir / "r");
    std::vector<u8> sector(512);

    OpenOptions once = image_opts("driver=raw" + file +
                                  ",file.inject-error.0.event=write_aio,"
                                  "file.inject-error.0.errno=28,file.inject-error.0.once=on");
    once.read_only = false;
    auto writer = need(open_chain(once));
    const auto first = writer->write(0, sector);
    REQUIRE_FALSE(first);
    CHECK(first.error().message == "No space left on device");
    CHECK(writer->write(0, sector));
    writer.reset();

    auto reader = need(open_chain(image_opts("driver=raw" + file +
                                             ",file.inject-error.0.event=none,"
                                             "file.inject-error.0.iotype=read,"
                                             "file.inject-error.0.sector=3")));
    CHECK(reader->read(1024, sector));
    CHECK_FALSE(reader->read(1536, sector));
    CHECK_FALSE(reader->read(1536, sector));
    reader.reset();

    CHECK(refusal(image_opts("driver=raw" + file + ",file.inject-error.0.event=cor_write")) ==
          "blkdebug's event 'cor_write' is not supported");
}

TEST_CASE("node: rules for faults are read from blkdebug's configuration files")
{
    const TempDir dir;
    test::write_file(dir / "r", noise(8192, 3));
    const std::string config = dir / "c";
    const auto rules = [&](std::string_view text) {
        test::write_file(config, {reinterpret_cast<const u8*>(text.data()), text.size()});
        return named("blkdebug:" + config + ":" + (dir / "r"), "raw");
    };
    std::vector<u8> sector(512);

    auto disk = need(open_chain(rules("# what follows\n\n"
                                      "[set-state]\n  event = \"read_aio\"\nstate = \"1\"\n"
                                      "new_state = \"2\"\n"
                                      "[inject-error \"name\"]\nevent = \"read_aio\"\n"
                                      "state = \"2\"\nerrno = \"28\"\nonce = \"on\"\n"
                                      "immediately = \"off\"")));
    CHECK(disk->read(0, sector));
    const auto failed = disk->read(0, sector);
    REQUIRE_FALSE(failed);
    CHECK(failed.error().message == "No space left on device");
    CHECK(disk->read(0, sector));

    disk = need(open_chain(rules("[inject-error]\nevent = \"none\"\niotype = \"read\"\n"
                                 "sector = \"3\"\n")));
    CHECK(disk->read(1024, sector));
    CHECK_FALSE(disk->read(1536, sector));
    CHECK_FALSE(disk->read(1536, sector));

    CHECK(refusal(rules("event = \"none\"\n")) == "no group defined");
    CHECK(refusal(rules("[inject]\n")) == "There is no option group 'inject'");
    CHECK(refusal(rules("[inject-error\n")) == "There is no option group 'inject-error\n'");
    CHECK(refusal(rules("[inject-error]\n")) == "Missing event name for rule");
    CHECK(refusal(rules("[inject-error]\n[set-state]\n")) == "Missing event name for rule");
    CHECK(refusal(rules("[set-state]\nerrno = \"5\"\n")) == "Invalid parameter 'errno'");
    CHECK(refusal(rules("[set-state]\nevent = none\n")) == "blkdebug's event '' is not supported");
    CHECK(refusal(rules("[set-state]\nevent = \"pwritev_rmw_head\"\n")) ==
          "blkdebug's event 'pwritev_rmw_head' is not supported");
    CHECK(refusal(rules("[inject-error]\nevent = \"none\"\nerrno = \"x\"\n")) ==
          "Parameter 'errno' expects a number");
    CHECK(refusal(rules("[inject-error]\nevent = \"none\"\nonce = \"x\"\n")) ==
          "Parameter 'once' expects 'on' or 'off'");
    CHECK(refusal(named("blkdebug:" + (dir / "none") + ":" + (dir / "r"))) ==
          "Could not read blkdebug config file: No such file or directory");
}

TEST_CASE("node: a quorum reads what enough of its files say")
{
    const TempDir dir;
    test::write_file(dir / "a", std::vector<u8>(512, 1));
    test::write_file(dir / "b", std::vector<u8>(512, 2));
    test::write_file(dir / "c", std::vector<u8>(512, 1));
    const auto quorum = [&dir](int threshold) {
        return image_opts("driver=raw,file.driver=quorum,file.vote-threshold=" +
                          std::to_string(threshold) + ",file.children.0.filename=" + (dir / "a") +
                          ",file.children.1.filename=" + (dir / "b") +
                          ",file.children.2.filename=" + (dir / "c"));
    };
    CHECK(read_all(*need(open_chain(quorum(2)))) == std::vector<u8>(512, 1));
    std::vector<u8> sector(512);
    CHECK_FALSE(need(open_chain(quorum(3)))->read(0, sector));
    CHECK(refusal(quorum(4)) == "threshold may not exceed children count");
}

TEST_CASE("backing names: json: and protocols are refused unless the caller allows them")
{
    const TempDir dir;
    test::write_file(dir / "base", std::vector<u8>(65536, 5));
    const std::string json =
        "json:{\"driver\":\"raw\",\"file\":{\"filename\":\"" + (dir / "base") + "\"}}";
    make_overlay_of(dir / "o", json, "raw");
    make_overlay_of(dir / "n", "nbd+unix:///?socket=/nonexistent/s", "raw");

    CHECK(refusal({.path = dir / "o", .format = "qcow2"}) ==
          "backing file name '" + json + "' is not a plain file name");
    CHECK(refusal({.path = dir / "n", .format = "qcow2"}) ==
          "backing file name 'nbd+unix:///?socket=/nonexistent/s' is not a plain file name");
    CHECK(read_all(*need(open_disk({.path = dir / "o", .backing = {.nodes = true}}))) ==
          std::vector<u8>(65536, 5));
}

TEST_CASE("backing names: what was found by probing a backing file chooses no nodes")
{
    // CVE-2024-4467 and kin: a guest that writes an image header into a disk that is probed.
    const TempDir dir;
    test::write_file(dir / "secret", std::vector<u8>(65536, 5));
    const std::string json =
        "json:{\"driver\":\"raw\",\"file\":{\"filename\":\"" + (dir / "secret") + "\"}}";
    make_overlay_of(dir / "guest", json, "raw");
    make_overlay_of(dir / "probed", dir / "guest", "");
    make_overlay_of(dir / "declared", dir / "guest", "qcow2");

    CHECK(refusal({.path = dir / "probed", .backing = {.nodes = true, .trust_probed = true}}) ==
          "backing file name '" + json + "' is not a plain file name");
    CHECK(read_all(*need(open_disk({.path = dir / "declared", .backing = {.nodes = true}}))) ==
          std::vector<u8>(65536, 5));
}

TEST_CASE("backing names: the caller's gate is asked about file: names too")
{
    const TempDir dir;
    test::write_file(dir / "base", std::vector<u8>(65536, 5));
    make_overlay_of(dir / "o", "file:" + (dir / "base"), "raw");
    std::string asked;
    const auto gate = [&asked](const std::string& path) {
        asked = path;
        return false;
    };

    CHECK_FALSE(open_chain({.path = dir / "o", .backing = {.allow = gate, .nodes = true}}));
    CHECK(asked == dir / "base");
    CHECK(need(open_chain({.path = dir / "o"}))->layers().size() == 2);
}

TEST_CASE("backing names: a loop through json: is found")
{
    const TempDir dir;
    const std::string json =
        "json:{\"driver\":\"qcow2\",\"file\":{\"filename\":\"" + (dir / "o") + "\"}}";
    make_overlay_of(dir / "o", json, "qcow2");
    CHECK(refusal({.path = dir / "o", .backing = {.nodes = true}}) ==
          "Backing file '" + (dir / "o") + "' creates an infinite loop.");
}

TEST_CASE("node: names of plain files are not parsed by the library")
{
    const TempDir dir;
    const std::string odd = dir.path() + "/json:{}";
    test::write_file(odd, noise(512, 1));
    CHECK(need(open_disk({.path = odd, .format = "raw"}))->size() == 512);
    CHECK_FALSE(open_disk({.path = "json:{\"driver\":\"null-co\"}"}));
}
