// How imgtool stands what whoever starts it does to its descriptors, signals and limits.
#include "imgtool/tests/duel.hpp"

using namespace img;
using test::run;
using test::tool;

namespace {

/// A folder with `x`, 3 MiB of noise, and a shell in it that knows the program as $T.
class Bench {
public:
    Bench() { test::write_file(dir_ / "x", test::noise(3 << 20, 7)); }

    test::Outcome in(const std::string& command)
    {
        return run("T=$(realpath " + tool() + "); cd " + dir_.path() + " || exit 99; " + command);
    }

private:
    test::TempDir dir_;
};

} // namespace

TEST_CASE("imgtool: with standard descriptors closed, no text gets into an image")
{
    Bench bench;

    CHECK(bench.in("$T convert -p -O raw x y <&- >&- 2>&- && cmp x y").code == 0);
    CHECK(bench.in("$T create -f raw z 1M >&- && cmp -n 1048576 z /dev/zero").code == 0);
    CHECK(bench.in("$T dd if=none of=w <&- >&- 2>&-; test $? = 1 -a ! -e w").code == 0);
    CHECK(bench.in("$T dd if=x of=w <&- >&- 2>&- && cmp x w").code == 0);
}

TEST_CASE("imgtool: what is done is done, whether or not its words can be written")
{
    Bench bench;
    const std::string where = GENERATE(">/dev/full", ">&-", "| false; exit ${PIPESTATUS[0]}");
    const auto code_of = [&](const std::string& arguments) {
        INFO(arguments << " " << where);
        return bench.in("bash -c '" + ("$0 " + arguments + " " + where) + "' $T").code;
    };

    CHECK(code_of("convert -p -O qcow2 x q") == 0);
    CHECK(code_of("compare x q") == 0);
    CHECK(code_of("resize q 8M") == 0);
    CHECK(code_of("create -f qcow2 -b q -F qcow2 o") == 0);
    CHECK(code_of("rebase -p -b \"\" o") == 0);
    CHECK(code_of("create -f qcow2 -b q -F qcow2 p") == 0);
    CHECK(code_of("commit -p p") == 0);
    CHECK(bench.in("truncate -s 8M x && $T compare x q").output == "Images are identical.\n");
}

TEST_CASE("imgtool: an answer that is lost is an error")
{
    Bench bench;
    REQUIRE(bench.in("$T create -q -f raw blank 3M").code == 0);
    const auto lost = [&](const std::string& arguments) {
        const auto done = bench.in("$T " + arguments + " >/dev/full");
        INFO(arguments);
        CHECK(done.output.starts_with("imgtool: the output could not be written"));
        return done.code;
    };

    CHECK(lost("info x") == 1);
    CHECK(lost("map --output=json x") == 1);
    CHECK(lost("hash --tree --block-size=4k x") == 1);
    CHECK(lost("measure -O qcow2 x") == 1);
    CHECK(lost("create -f qcow2 -o help") == 1);
    CHECK(lost("--help") == 1);
    CHECK(lost("convert --help") == 1);
    CHECK(lost("diff -f raw -F raw x blank") == 2); // 1 is an answer
    CHECK(bench.in("$T info x >&-").output ==
          "imgtool: the output could not be written: Bad file descriptor\n");
}

TEST_CASE("imgtool: a reader that has enough is no reason for words")
{
    Bench bench;

    const auto done =
        bench.in("bash -c '$0 hash --tree --block-size=4k x x x x x x x x | head -n 1 "
                 "| cut -c 1-10; echo ${PIPESTATUS[0]}' $T");

    CHECK(done.output == "0x00000000\n1\n");
}

TEST_CASE("imgtool: signals that are ignored at the start stay so")
{
    Bench bench;
    const std::string again =
        "for i in 1 2 3 4 5 6; do sleep 0.05; kill -$S $p 2>/dev/null; done; wait $p";

    for (const std::string signal : {"HUP", "INT", "TERM", "USR1"}) {
        INFO(signal);
        CHECK(bench
                  .in("S=" + signal +
                      "; (trap '' $S; exec $T convert -r 6M -O qcow2 x y) & p=$!; " + again +
                      " && $T compare -q x y")
                  .code == 0);
    }
}

TEST_CASE("imgtool: an image that is interrupted or fails in the making goes away")
{
    Bench bench;
    const std::string wait_for_y = "for i in $(seq 200); do [ -s y ] && break; sleep 0.02; done; ";

    CHECK(bench
              .in("$T convert -r 1M -O raw x y & p=$!; " + wait_for_y +
                  "kill -TERM $p; wait $p; test $? = 143 -a ! -e y")
              .code == 0);
    const auto limited = bench.in("ulimit -f 1000; $T convert -O qcow2 x y; echo $?; ls y");
    CHECK(limited.output.starts_with("imgtool: error while writing at byte "));
    CHECK(limited.output.ends_with(": File too large\n1\n"
                                   "ls: cannot access 'y': No such file or directory\n"));
    CHECK(
        bench.in("ulimit -f 1000; $T dd if=x of=y 2>&1 | grep -c 'File too large'; ls y").output ==
        "1\nls: cannot access 'y': No such file or directory\n");
    CHECK(bench
              .in("mkdir parts; ulimit -f 1000; $T convert -O vmdk -o subformat=twoGbMaxExtentFlat "
                  "x parts/y 2>/dev/null; ls parts")
              .output == "");
    // What a link leads to is removed, not the link; and what was there with -n stays.
    CHECK(bench
              .in("ln -s real y; ulimit -f 1000; $T convert -O qcow2 x y 2>/dev/null; "
                  "test -L y -a ! -e real")
              .code == 0);
    CHECK(bench
              .in("truncate -s 3M there; ulimit -f 1000; $T convert -n -O raw x there 2>/dev/null; "
                  "test $? = 1 -a -e there")
              .code == 0);
}
