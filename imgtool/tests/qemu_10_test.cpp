// What qemu-img 10.0 has that 7.2 has not. The expected values are what 10.0.2 prints; it is not
// needed.
#include "imgtool/tests/duel.hpp"

using namespace img;
using test::run;
using test::TempDir;
using test::tool;

namespace {

class Bench {
public:
    Bench()
    {
        REQUIRE(in("$T create -q -f qcow2 base.qcow2 1M && printf x > x && truncate -s 128k x && "
                   "$T convert -q -n -f raw -O qcow2 -S 0 x base.qcow2 && "
                   "$T create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2")
                    .code == 0);
    }

    test::Outcome in(const std::string& command)
    {
        return run("T=$(realpath " + tool() + "); cd " + dir_.path() + " && " + command);
    }

private:
    TempDir dir_;
};

} // namespace

TEST_CASE("qemu-img 10: map tells what is compressed")
{
    Bench bench;
    CHECK(bench.in("$T convert -c -O qcow2 base.qcow2 c && $T map --output=json c").output ==
          R"([{ "start": 0, "length": 65536, "depth": 0, "present": true, "zero": false, )"
          R"("data": true, "compressed": true},)"
          "\n"
          R"({ "start": 65536, "length": 983040, "depth": 0, "present": false, "zero": true, )"
          R"("data": false, "compressed": false}])"
          "\n");
    CHECK(bench.in("$T map --output=json base.qcow2").output.find("\"compressed\": true") ==
          std::string::npos);
}

TEST_CASE("qemu-img 10: info tells of the files that an image is made of")
{
    Bench bench;
    const auto info = [&](const std::string& arguments) {
        return bench
            .in("$T info --output=json " + arguments + " | sed 's/\"actual-size\": [0-9]*/N/'")
            .output;
    };
    CHECK(info("-f raw x") == R"({
    "children": [
        {
            "name": "file",
            "info": {
                "children": [
                ],
                "virtual-size": 131072,
                "filename": "x",
                "format": "file",
                N,
                "format-specific": {
                    "type": "file",
                    "data": {
                    }
                },
                "dirty-flag": false
            }
        }
    ],
    "virtual-size": 131072,
    "filename": "x",
    "format": "raw",
    N,
    "dirty-flag": false
}
)");
    CHECK(info("--image-opts driver=file,filename=x")
              .starts_with("{\n    \"children\": [\n    ],\n"));
    REQUIRE(bench.in("$T create -q -f vmdk -o subformat=twoGbMaxExtentFlat v.vmdk 3G").code == 0);
    const auto vmdk = info("v.vmdk");
    const auto at = [&](const std::string& text) { return vmdk.find(text); };
    CHECK(at("\"name\": \"extents.1\"") < at("\"filename\": \"v-f002.vmdk\""));
    CHECK(at("\"filename\": \"v-f002.vmdk\"") < at("\"name\": \"extents.0\""));
    CHECK(at("\"name\": \"extents.0\"") < at("\"name\": \"file\""));
    CHECK(at("\"name\": \"file\"") < at("\"filename\": \"v.vmdk\""));
    CHECK(bench.in("$T info top.qcow2").output.find("Child node") == std::string::npos);
    CHECK(bench.in("$T info -b --output=json top.qcow2 | grep -c '\"children\"'").output == "4\n");
}

TEST_CASE("qemu-img 10: rebase -c compresses what it copies")
{
    Bench bench;
    CHECK(bench.in("$T rebase -c -b '' top.qcow2 && $T map --output=json top.qcow2 | head -n 1")
              .output.find("\"compressed\": true") != std::string::npos);
    CHECK(bench.in("$T compare top.qcow2 base.qcow2").code == 0);
    REQUIRE(bench.in("$T create -q -f qed -b base.qcow2 -F qcow2 e.qed").code == 0);
    const auto refused = bench.in("$T rebase -c -b '' e.qed");
    CHECK(refused.code == 1);
    CHECK(refused.output.ends_with("Compression not supported for this file format\n"));
}

TEST_CASE("qemu-img 10: options have long names")
{
    Bench bench;
    for (
        const char* arguments : {
            "create --quiet --format qcow2 --backing base.qcow2 --backing-format qcow2 "
            "--options cluster_size=4k n",
            "create -q --format qcow2 --backing-unsafe --backing nope --backing-format raw n 1M",
            "amend --format qcow2 --cache unsafe --options compat=0.10 top.qcow2",
            "bench --format qcow2 --count 4 --depth 2 --buffer-size 512 --step-size 512 --offset 0 "
            "--cache none --aio threads --native --write top.qcow2",
            "bitmap --format qcow2 --add --granularity 64k base.qcow2 b",
            "bitmap --format qcow2 --remove base.qcow2 b",
            "check --format qcow2 --cache none --repair all base.qcow2",
            "commit --format qcow2 --cache unsafe --rate 1G --base base.qcow2 --drop top.qcow2",
            "compare --a-format qcow2 --b-format qcow2 --cache none --strict base.qcow2 base.qcow2",
            "convert --source-format qcow2 --target-format qcow2 --target-options "
            "cluster_size=4k --compress --source-cache none --target-cache unsafe --parallel 2 "
            "--rate 1G --sparse-size 4k base.qcow2 n",
            "convert --source-format qcow2 --output-format qcow2 --options compat=0.10 "
            "--oob-writes --backing base.qcow2 --backing-format qcow2 top.qcow2 n",
            "convert --source-image-opts --no-create --target-format qcow2 "
            "driver=qcow2,file.filename=base.qcow2 top.qcow2",
            "convert --source-format raw --copy-range-offloading x n",
            "dd --format raw --output-format qcow2 if=x of=n",
            "info --format qcow2 --backing-chain base.qcow2",
            "map --format qcow2 base.qcow2",
            "measure --format qcow2 --target-format raw --options size=1M base.qcow2",
            "measure -s 1M --target-format qcow2",
            "rebase --format qcow2 --cache unsafe --backing-cache none --compress --backing "
            "base.qcow2 --backing-format qcow2 top.qcow2",
            "rebase --backing-unsafe --backing base.qcow2 --backing-format qcow2 top.qcow2",
            "resize --format qcow2 top.qcow2 2M",
            "snapshot --format qcow2 --create s base.qcow2",
            "snapshot -f qcow2 --list base.qcow2",
            "convert --source-snapshot s --target-format raw base.qcow2 n",
            "convert --snapshot s --target-format raw base.qcow2 n",
            "snapshot -f qcow2 --apply s base.qcow2",
            "snapshot -f qcow2 --delete s base.qcow2",
        }) {
        const auto done = bench.in(std::string{"$T "} + arguments);
        INFO(arguments << "\n" << done.output);
        CHECK(done.code == 0);
    }
    for (const char* arguments : {"-c a", "-a a", "-d a"}) {
        CHECK(bench.in(std::string{"$T snapshot -f raw "} + arguments + " x").code == 1);
    }
    const auto listed = bench.in("$T snapshot -f raw -l x");
    CHECK((listed.code == 0 && listed.output.empty()));
}

TEST_CASE("qemu-img 10: called as qemu-img, JSON is that of 7.2")
{
    Bench bench;
    REQUIRE(bench.in("ln -s $T qemu-img").code == 0);
    CHECK(
        bench
            .in("./qemu-img map --output=json --max-length=64k base.qcow2 | sed 's/, \"offset.*//'")
            .output ==
        R"([{ "start": 0, "length": 65536, "depth": 0, "present": true, "zero": false, )"
        R"("data": true)"
        "\n");
    const std::string info = bench.in("./qemu-img info --output=json base.qcow2").output;
    CHECK(info.find("\"virtual-size\": 1048576") != std::string::npos);
    CHECK(info.find("children") == std::string::npos);
    CHECK(
        bench.in("./qemu-img --version | head -n 1").output.starts_with("qemu-img version 7.2.0 "));
}
