// The commands that qemu-img has not: hash, diff, patch.
#include "imgtool/tests/duel.hpp"

using namespace img;
using test::run;
using test::TempDir;
using test::tool;

namespace {

/// The first word of what the command prints.
std::string first_word(const std::string& command)
{
    const std::string output = run(command).output;
    return output.substr(0, output.find(' '));
}

/// A raw disk with data here and there.
void make_disk(const std::string& path)
{
    REQUIRE(run("seq 1 300000 > " + path + " && truncate -s 5000192 " + path +
                " && seq 1 9999 >> " + path + " && truncate -s 9000448 " + path)
                .code == 0);
}

} // namespace

TEST_CASE("imgtool hash: the same whatever the format, clusters, compression and chain")
{
    const TempDir dir;
    make_disk(dir / "a.raw");
    const std::string wanted = first_word(tool() + " hash " + (dir / "a.raw"));
    REQUIRE(wanted.size() == 64);
    const std::string sum = first_word("sha256sum " + (dir / "a.raw"));
    for (const char* options :
         {"-O raw -S 0", "-O qcow2", "-O qcow2 -o cluster_size=512", "-c -O qcow2",
          "-c -O qcow2 -o compression_type=zstd", "-O qcow2 -S 0", "-O qcow", "-O vdi", "-O vmdk",
          "-O vhdx", "-O qed"}) {
        INFO(options);
        const std::string x = dir / "x";
        const auto made = run(tool() + " convert " + options + " " + (dir / "a.raw") + " " + x);
        INFO(made.output);
        REQUIRE(made.code == 0);
        CHECK(first_word(tool() + " hash " + x) == wanted);
        CHECK(first_word(tool() + " hash --flat " + x) == sum);
    }
    REQUIRE(run(tool() + " create -q -f qcow2 -b a.raw -F raw " + (dir / "o.qcow2")).code == 0);
    CHECK(first_word(tool() + " hash " + (dir / "o.qcow2")) == wanted);
}

TEST_CASE("imgtool hash: a terabyte of holes takes no time")
{
    const TempDir dir;
    REQUIRE(run("truncate -s 1T " + (dir / "hole")).code == 0);
    CHECK(run("timeout 5 " + tool() + " hash -f raw --tree " + (dir / "hole")).code == 0);
}

TEST_CASE("imgtool hash: what it says and refuses")
{
    const TempDir dir;
    REQUIRE(run("truncate -s 8192 " + (dir / "z")).code == 0);
    const std::string at = "T=$(realpath " + tool() + "); cd " + dir.path() + " && $T hash ";
    CHECK(run(at + "--help").output.find("Examples:") != std::string::npos);
    CHECK(run(at + "").code == 1);
    CHECK(run(at + "--flat --tree z").code == 1);
    CHECK(run(at + "--algorithm md5 z").code == 1);
    CHECK(run(at + "--algorithm nope z").code == 1);
    CHECK(run(at + "--block-size 5000 z").code == 1);
    CHECK(run(at + "nothing").code == 1);
    CHECK(run(at + "--flat --algorithm md5 -f raw z").output ==
          "0829f71740aab1ab98b33eae21dee122  z\n");
    const auto json = run(at + "-f raw --tree --block-size=4k --output=json z");
    CHECK(json.code == 0);
    CHECK(json.output.find("\"length\": 8192,\n                \"zero\": true") !=
          std::string::npos);
    // One that fails does not keep the others from being done.
    const auto two = run(at + "-f raw nothing z");
    CHECK(two.code == 1);
    CHECK(two.output.find("  z\n") != std::string::npos);
}

TEST_CASE("imgtool diff: tells where, in text and JSON, with diff's exit codes")
{
    const TempDir dir;
    const std::string at = "T=$(realpath " + tool() + "); cd " + dir.path() + " && ";
    REQUIRE(run("cd " + dir.path() +
                " && truncate -s 1M a && cp a b && printf x | dd of=b bs=1 seek=5000 conv=notrunc "
                "status=none && printf y | dd of=a bs=1 seek=90000 conv=notrunc status=none && "
                "cp b c && truncate -s 2M c")
                .code == 0);
    const auto found = run(at + "$T diff -f raw -F raw a b");
    CHECK(found.code == 1);
    CHECK(found.output == "0x0000000000001200 0x0000000200 data\n"
                          "0x0000000000015e00 0x0000000200 zero\n");
    CHECK(run(at + "$T diff -f raw -F raw a a").code == 0);
    CHECK(run(at + "$T diff -q -f raw -F raw a b").code == 1);
    CHECK(run(at + "$T diff -q -f raw -F raw a b").output.empty());
    CHECK(run(at + "$T diff -f raw -F raw b c").output == "0x0000000000100000 0x0000100000 more\n");
    CHECK(run(at + "$T diff -f raw -F raw c b").output ==
          "0x0000000000100000 0x0000100000 nothing\n");
    CHECK(run(at + "$T diff a nowhere").code == 2);
    CHECK(run(at + "$T diff a").code == 2);
    const auto json = run(at + "$T diff --json -f raw -F raw a b | tr -d ' \\n'");
    CHECK(json.output == R"([{"start":4608,"length":512,"second":"data"},)"
                         R"({"start":89600,"length":512,"second":"zero"}])");
    CHECK(run(at + "$T diff --json -f raw -F raw a a").output == "[\n]\n");
}

TEST_CASE("imgtool patch: makes the second disk from the first, in any format")
{
    const TempDir dir;
    const std::string at = "T=$(realpath " + tool() + "); cd " + dir.path() + " && ";
    make_disk(dir / "a.raw");
    REQUIRE(run("cd " + dir.path() +
                " && cp a.raw b.raw && seq 5 70000 | dd of=b.raw bs=4k seek=30 conv=notrunc "
                "status=none && dd if=/dev/zero of=b.raw bs=64k seek=76 count=2 conv=notrunc "
                "status=none && cp b.raw s.raw && truncate -s 3M s.raw && cp b.raw g.raw && "
                "truncate -s 20M g.raw && echo x >> g.raw && truncate -s 21M g.raw")
                .code == 0);
    REQUIRE(run(at + "$T convert -O qcow2 a.raw a.qcow2").code == 0);
    for (const char* next : {"b.raw", "s.raw", "g.raw"}) {
        INFO(next);
        const std::string with = at + "N=" + next + " && ";
        CHECK(run(with + "$T diff -f raw -F raw -o d a.raw $N").code == 1);
        CHECK(run(with + "$T patch -o out a.qcow2 d && $T compare -s -f qcow2 -F raw out $N; "
                         "$T diff -f qcow2 -F raw out $N")
                  .output.find("0x") == std::string::npos);
        CHECK(run(with + "$T patch -f raw -O vdi -o out a.raw d && $T diff -f vdi -F raw out $N")
                  .code == 0);
        CHECK(run(with + "cp a.raw p && $T patch -f raw --in-place p d && cmp p $N").output == "");
        CHECK(run(with + "$T convert -O qcow2 a.raw q && $T patch --in-place q d && "
                         "$T diff q $N")
                  .code == 0);
        // Not the base; nothing is touched.
        const auto wrong = run(with + "cp $N n && $T patch -f raw --in-place n d; cmp n $N");
        CHECK(wrong.output.find("the delta was made from another disk") != std::string::npos);
        CHECK(wrong.output.find("differ:") == std::string::npos);
        CHECK(run(with + "rm -f z; $T patch -f raw -o z $N d; test -e z").code == 1);
    }
    CHECK(run("ls -A " + dir.path() + " | grep imgtool").output.empty()); // nothing is left over
    // A damaged delta is refused before anything is written.
    const auto damaged = run(at + "printf x | dd of=d bs=1 seek=3000 conv=notrunc status=none; cp "
                                  "a.raw p; $T patch -f raw --in-place p d; cmp p a.raw");
    CHECK(damaged.output.find("the delta is damaged") != std::string::npos);
    CHECK(damaged.output.find("differ:") == std::string::npos);
    CHECK(run(at + "$T patch -o out a.raw a.raw").output.find("this is not a delta") !=
          std::string::npos);
    CHECK(run(at + "$T patch a.raw d").code == 1);
    CHECK(run(at + "$T patch -o /dev/null -f raw a.raw d").code == 1);
}

TEST_CASE("imgtool convert --reproducible: the same bytes each time, with any number of threads")
{
    const TempDir dir;
    const std::string at = "T=$(realpath " + tool() + "); cd " + dir.path() + " && ";
    make_disk(dir / "a.raw");
    make_disk(dir / "b.raw");
    REQUIRE(run("printf x | dd of=" + (dir / "b.raw") + " bs=1 seek=7 conv=notrunc").code == 0);
    for (const char* format : {"raw", "qcow", "qcow2", "qed", "vdi", "vmdk", "vpc", "vhdx",
                               "parallels", "qcow2 -o preallocation=metadata",
                               "vmdk -o subformat=streamOptimized", "vpc -o subformat=fixed"}) {
        for (const char* how : {"", "-c"}) {
            const std::string options = std::string{how} + " -O " + format;
            INFO(options);
            const std::string convert = "$T convert --reproducible -f raw " + options + " -m ";
            const auto first = run(at + convert + "1 a.raw x");
            if (first.code != 0 && *how != '\0') { // no compression in this format
                continue;
            }
            REQUIRE(first.output.empty());
            REQUIRE(run("sleep 0.01").code == 0);
            REQUIRE(run(at + "mv x y && " + convert + "16 a.raw x").output.empty());
            CHECK(run(at + "cmp x y").output.empty());
            const std::string name{format,
                                   std::string_view{format}.find(' ') == std::string_view::npos
                                       ? std::string_view{format}.size()
                                       : std::string_view{format}.find(' ')};
            CHECK(run(at + "$T compare -f raw -F " + name + " a.raw x").code == 0);
        }
    }
    // What tells disks apart still does.
    const std::string id = "dd bs=1 skip=392 count=32 status=none if="; // VDI's two UUIDs
    CHECK(run(at +
              "for i in a b; do $T convert --reproducible -f raw -O vdi $i.raw $i.vdi; done; " +
              id + "a.vdi > 1; " + id + "b.vdi > 2; cmp -s 1 2")
              .code == 1);
    CHECK(run(at + "$T convert --reproducible -n -f raw -O raw a.raw b.raw")
              .output.find("cannot be used with -n") != std::string::npos);
    CHECK(run(at + "$T convert --reproducible --object secret,id=s,data=x -f raw -O luks -o "
                   "key-secret=s a.raw l; test -e l")
              .output.find("cannot be used with encryption") != std::string::npos);
}
