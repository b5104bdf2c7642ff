// imgtool ls, cat and extract on file systems made by the tools of others.
#include "imgtool/tests/duel.hpp"

using namespace img;
using test::run;
using test::TempDir;
using test::tool;

namespace {

/// A folder with files of all sizes, folders in folders and links.
class Tree {
public:
    Tree()
    {
        const auto made =
            in("mkdir -p src/folder/inner 'src/folder/Long Name with spaces' src/many "
               "&& echo hello > src/hello.txt && seq 1 200000 > src/folder/numbers "
               "&& : > src/empty && seq 1 40 > 'src/folder/inner/forty' && "
               "for i in $(seq 1 300); do echo $i > src/many/file$i; done && "
               "touch -d '2001-02-03 04:05:06 UTC' src/hello.txt && "
               "chmod 640 src/hello.txt");
        INFO(made.output);
        REQUIRE(made.code == 0);
    }

    void add_links()
    {
        REQUIRE(in("ln -s ../hello.txt src/folder/link && ln -s /folder src/absolute && "
                   "ln -s $(seq -s / 1 30) src/long && truncate -s 3M src/sparse && "
                   "echo end >> src/sparse")
                    .code == 0);
    }

    test::Outcome in(const std::string& command)
    {
        return run("T=$(realpath " + tool() + "); cd " + dir_.path() +
                   " && PATH=$PATH:/usr/sbin:/sbin && " + command);
    }

    /// Whether image `name` has just what is in src.
    void check_all(const std::string& name, const std::string& place = "")
    {
        INFO(name);
        const auto done = in("rm -rf out && $T extract -f raw " + name + " " + place +
                             "/ out && rm -rf "
                             "out/lost+found && diff -r --no-dereference src out");
        CHECK(done.output == "");
        CHECK(done.code == 0);
        CHECK(in("$T cat -f raw " + name + " " + place +
                 "/folder/numbers | cmp - "
                 "src/folder/numbers")
                  .output == "");
        CHECK(in("$T ls -R -f raw " + name + " " + place +
                 "/ | grep -v lost+found | "
                 "sed 's#/$##' | sort > 1; (cd src && find . -mindepth 1 | sed 's#^./##' | sort) > "
                 "2; diff 1 2")
                  .output == "");
    }

private:
    TempDir dir_;
};

} // namespace

TEST_CASE("imgtool ls, cat, extract: ext2, ext3 and ext4")
{
    if (!test::has_program("mke2fs")) {
        return;
    }
    Tree tree;
    tree.add_links();
    for (const char* options : {"-t ext2", "-t ext2 -b 1024", "-t ext3", "-t ext4",
                                "-t ext4 -b 1024", "-t ext4 -O inline_data -I 256",
                                "-t ext4 -O ^64bit,meta_bg,^resize_inode", "-t ext2 -r 0"}) {
        INFO(options);
        const auto made =
            tree.in("rm -f i && mke2fs -q -F " + std::string{options} + " -d src i 24M");
        if (made.code != 0) {
            WARN("skipped: mke2fs " << options << ": " << made.output);
            continue;
        }
        tree.check_all("i");
    }
    CHECK(tree.in("$T cat -f raw i /folder/link").output == "hello\n");
    CHECK(tree.in("$T cat -f raw i /absolute/inner/forty | cmp - src/folder/inner/forty").code ==
          0);
    const auto row = tree.in("TZ=UTC $T ls -l -f raw i /hello.txt").output;
    CHECK(row.find("-0640") == 0);
    CHECK(row.find(" 6 2001-02-03 04:05:06 hello.txt\n") != std::string::npos);
    CHECK(tree.in("$T ls --json -f raw i /hello.txt").output.find("\"mode\": 416,") !=
          std::string::npos);
    CHECK(tree.in("$T extract -q -f raw i /hello.txt x && stat -c '%a %Y' x").output ==
          "640 981173106\n");
    // Inside of any image format, of course.
    CHECK(tree.in("$T convert -f raw -c -O qcow2 i q && $T cat q /hello.txt").output == "hello\n");
}

TEST_CASE("imgtool extract: a folder that is there gets the thing in it, as with cp")
{
    if (!test::has_program("mke2fs")) {
        return;
    }
    Tree tree;
    REQUIRE(tree.in("mke2fs -q -F -t ext2 -d src i 24M && mkdir -p out cp && rm -rf src/lost+found")
                .code == 0);
    const auto same = [&](const std::string& what) {
        INFO(what);
        CHECK(tree.in("$T extract -f raw i " + what + " out/").output == "");
        CHECK(tree.in("cp -rp src" + what + " cp/ && rm -rf out/lost+found && diff -r out cp")
                  .output == "");
    };

    same("/hello.txt");
    same("/folder/inner");
    same("/many/.");
    same("/many/");
    CHECK(tree.in("$T extract -f raw i /hello.txt out/").output ==
          "imgtool: left out: out/hello.txt: File exists\n");
    CHECK(tree.in("rm -rf out cp && mkdir out && $T extract -f raw i / out && "
                  "rm -rf out/lost+found && diff -r src out")
              .output == "");
}

TEST_CASE("imgtool ls, cat, extract: FAT12, FAT16 and FAT32")
{
    if (!test::has_program("mkfs.fat") || !test::has_program("mcopy")) {
        return;
    }
    Tree tree;
    for (const char* options : {"-F 12 -C i 4096", "-F 16 -C i 16384", "-F 32 -C i 65536",
                                "-F 32 -s 1 -C i 40000", "-F 16 -S 2048 -C i 65536"}) {
        INFO(options);
        REQUIRE(tree.in("rm -f i && mkfs.fat -n LABEL " + std::string{options} +
                        " >/dev/null && mcopy -s -m -i i src/* ::")
                    .code == 0);
        tree.check_all("i");
    }
    CHECK(tree.in("$T cat -f raw i /FOLDER/INNER/Forty | cmp - src/folder/inner/forty").code == 0);
    CHECK(tree.in("$T cat -f raw i /folder").code == 1);
    CHECK(tree.in("$T cat -f raw i /nothing").output.find("No such file or directory") !=
          std::string::npos);
}

TEST_CASE("imgtool ls, cat, extract: ISO 9660 with Joliet and Rock Ridge")
{
    if (!test::has_program("xorriso")) {
        return;
    }
    Tree tree;
    // Joliet alone: no links, read-only modes are not told.
    REQUIRE(tree.in("xorriso -as mkisofs -quiet -J -o i src 2>/dev/null || xorriso -as mkisofs "
                    "-quiet -J --norock -o i src")
                .code == 0);
    tree.check_all("i");
    REQUIRE(tree.in("xorriso -as mkisofs -quiet --norock -J -o i src 2>/dev/null").code == 0);
    tree.check_all("i");
    tree.add_links();
    REQUIRE(tree.in("xorriso -as mkisofs -quiet -R -o i src 2>/dev/null").code == 0);
    tree.check_all("i");
    const auto row = tree.in("$T ls -l -f raw i /hello.txt").output;
    CHECK(row.find(" 6 2001-02-03 04:05:06 hello.txt\n") != std::string::npos);
}

TEST_CASE("imgtool ls: partitions, and which one is meant")
{
    if (!test::has_program("mke2fs") || !test::has_program("mkfs.fat") ||
        !test::has_program("mcopy")) {
        return;
    }
    Tree tree;
    // Two partitions at 1 MiB and 9 MiB: FAT and ext2. 0x55 0xaa ends the sector.
    REQUIRE(
        tree.in("mke2fs -q -F -t ext2 -L second -d src e 8M && mkfs.fat -C f 8192 >/dev/null && "
                "mcopy -i f src/hello.txt :: && truncate -s 20M i && "
                "dd if=f of=i bs=1M seek=1 conv=notrunc status=none && "
                "dd if=e of=i bs=1M seek=9 conv=notrunc status=none && "
                "printf '\\200\\0\\0\\0\\14\\0\\0\\0\\0\\10\\0\\0\\0\\100\\0\\0"
                "\\0\\0\\0\\0\\203\\0\\0\\0\\0\\110\\0\\0\\0\\100\\0\\0' | "
                "dd of=i bs=1 seek=446 conv=notrunc status=none && printf '\\125\\252' | "
                "dd of=i bs=1 seek=510 conv=notrunc status=none")
            .code == 0);
    const auto table = tree.in("$T ls -f raw i").output;
    CHECK(table.find("0x0c") != std::string::npos);
    CHECK(table.find("ext2     second") != std::string::npos);
    const auto json = tree.in("$T ls --json -f raw i | tr -d ' \\n'").output;
    CHECK(json.find(R"({"table":"mbr","partitions":[{"number":1,"start":1048576,"size":8388608,)"
                    R"("type":"0x0c","filesystem":"fat)") == 0);
    tree.check_all("i", "2:");
    CHECK(tree.in("$T cat -f raw i 1:/hello.txt").output == "hello\n");
    CHECK(tree.in("$T ls -f raw i /").output.find("there are several partitions") !=
          std::string::npos);
    CHECK(tree.in("$T ls -f raw i 7:/").output.find("there is no partition 7") !=
          std::string::npos);
    // Where only one has a file system, that is meant.
    REQUIRE(tree.in("dd if=/dev/zero of=i bs=1M seek=1 count=1 conv=notrunc status=none").code ==
            0);
    CHECK(tree.in("$T cat -f raw i hello.txt").output == "hello\n");
    for (const char* command : {"ls", "cat", "extract"}) {
        CHECK(tree.in(std::string{"$T "} + command + " --help").output.find("Examples:") !=
              std::string::npos);
        CHECK(tree.in(std::string{"$T "} + command).code == 1);
    }
}

TEST_CASE("imgtool ls: ext with a journal to be replayed, and with features that nobody knows")
{
    if (!test::has_program("mke2fs")) {
        return;
    }
    Tree tree;
    // s_feature_incompat is at byte 96 of the superblock: "filetype" and "needs recovery", then a
    // feature that does not exist.
    const auto with_features = [&](const std::string& bytes) {
        REQUIRE(tree.in("rm -f i && mke2fs -q -F -t ext3 -O none,has_journal,filetype -b 1024 -d "
                        "src i 24M && printf '" +
                        bytes + "' | dd of=i bs=1 seek=1120 conv=notrunc status=none")
                    .code == 0);
        return tree.in("$T cat -f raw i /hello.txt");
    };
    CHECK(with_features("\\006").output.find("its journal is not replayed") != std::string::npos);
    CHECK(with_features("\\006").output.ends_with("hello\n"));
    const auto unknown = with_features("\\002\\0\\0\\100");
    CHECK(unknown.code == 1);
    CHECK(unknown.output.find("features that are not supported") != std::string::npos);
    // What is read stays what is on the disk: nothing was repaired on the way.
    CHECK(tree.in("sha256sum i > 1; $T ls -R -f raw i; sha256sum i | cmp - 1")
              .output.find("differ") == std::string::npos);
}
