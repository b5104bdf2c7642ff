// The program itself, with a script in the emulator's place.
#include "zoo/host/process.hpp"
#include "zoo/store/digest.hpp"
#include "zoo/testing/temporary.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <cstdlib>

namespace {

using namespace zoo;
using Catch::Contains;
using nlohmann::json;
using zoo::testing::TemporaryFolder;
using zoo::testing::write_file;

struct Bench {
    TemporaryFolder folder;
    std::string program = std::string{std::getenv("MENAGERIE_BIN")} + "/zoo";

    Bench()
    {
        const std::string disk(4096, 'd');
        write_file(folder / "disk.img", disk);
        write_file(folder / "recipes/tiny/tiny.toml",
                   "schema = 1\nid = \"tiny\"\ntitle = \"Tiny\"\nversion = \"1\"\nsummary = \"s\"\n"
                   "tier = \"smoke\"\n[license]\nspdx = \"MIT\"\nredistributable = \"yes\"\n"
                   "[[media]]\nname = \"disk\"\nurls = [\"file://" +
                       (folder / "disk.img").string() + "\"]\nsize = 4096\nsha256 = \"" +
                       sha256_of(disk) +
                       "\"\n[[media.provenance]]\nsource = \"x\"\nseen = \"2026-01-01\"\n"
                       "[machine]\nboard = \"pc\"\nmemory_mib = 1\n[[machine.drive]]\n"
                       "kind = \"disk\"\nmedia = \"disk\"\nformat = \"raw\"\n"
                       "[run]\n[[run.steps]]\nwait_screen = \"x\"\nwithin_guest_s = 1\n");
        emulator("exit 0");
    }

    /// What the emulator does; $report is the folder of its --report.
    void emulator(const std::string& body)
    {
        write_file(folder / "emulator",
                   "#!/bin/sh\nwhile [ $# -gt 1 ]; do [ \"$1\" = --report ] && report=$2; shift; "
                   "done\n" +
                       body + "\n");
        std::filesystem::permissions(folder / "emulator", std::filesystem::perms::owner_all);
    }

    Finished run(std::vector<std::string> arguments)
    {
        arguments.insert(arguments.begin(), program);
        return run_any(std::move(arguments));
    }

    /// A shell's line, in which $0 is the program.
    Finished shell(const std::string& line) { return run_any({"/bin/sh", "-c", line, program}); }

private:
    Finished run_any(const std::vector<std::string>& arguments)
    {
        auto finished = run_captured({arguments,
                                      {{"XDG_DATA_HOME", folder / "data"},
                                       {"ZOO_RECIPES", folder / "recipes"},
                                       {"ZOO_MIRROR", ""},
                                       {"MENAGERIE_EMULATOR", folder / "emulator"}},
                                      {}});
        REQUIRE(finished);
        return std::move(finished).value();
    }
};

} // namespace

TEST_CASE("zoo: a wrong command line and an unknown name end with 2", "[zoo]")
{
    Bench bench;

    CHECK(bench.run({}).exit_status == 2);
    CHECK(bench.run({"boot"}).exit_status == 2);
    CHECK(bench.run({"fetch", "--colour", "tiny"}).exit_status == 2);
    const Finished unknown = bench.run({"fetch", "tinny"});
    CHECK(unknown.exit_status == 2);
    CHECK_THAT(unknown.output, Contains("no recipe is called 'tinny'; there are: tiny"));
}

TEST_CASE("zoo help: tells what --help tells, of all or of one command", "[zoo]")
{
    Bench bench;

    CHECK_THAT(bench.run({"help"}).output, Contains("Usage: zoo ") && Contains("boot"));
    CHECK(bench.run({"help"}).output == bench.run({"--help"}).output);
    CHECK_THAT(bench.run({"help", "boot"}).output,
               Contains("Usage: zoo boot ") && Contains("--fresh"));
    CHECK(bench.run({"help", "boot"}).output == bench.run({"boot", "--help"}).output);
    const Finished unknown = bench.run({"help", "boost"});
    CHECK(unknown.exit_status == 2);
    CHECK(unknown.output == "zoo: there is no command 'boost'; `zoo help` lists them\n");
}

TEST_CASE("zoo: an answer that is lost is a failure, words about work that is done are not",
          "[zoo]")
{
    Bench bench;

    const Finished listed = bench.shell("$0 list >/dev/full");
    CHECK(listed.exit_status == 1);
    CHECK(listed.output == "zoo: the output could not be written: No space left on device\n");
    CHECK(bench.shell("$0 --help >/dev/full").exit_status == 1);
    CHECK(bench.shell("$0 fetch tiny <&- >&- 2>&-").exit_status == 0);
    CHECK(bench.shell("$0 verify >/dev/full 2>/dev/full").exit_status == 0);
    CHECK(bench.run({"verify"}).output == "1 objects, 0 bad\n");
}

TEST_CASE("zoo: what it runs has the signals as they were", "[zoo]")
{
    Bench bench;
    bench.emulator("kill -s PIPE $$; exit 0");

    CHECK(bench.run({"boot", "tiny", "--headless"}).exit_status == 128 + 13);
}

TEST_CASE("zoo check: problems have a file and a line, and end with 2", "[zoo]")
{
    Bench bench;
    CHECK(bench.run({"check"}).output == "1 recipes, no problems\n");
    write_file(bench.folder / "recipes/bad/bad.toml", "schema = 2\n");

    const Finished checked = bench.run({"check"});

    CHECK(checked.exit_status == 2);
    CHECK_THAT(checked.output, Contains("bad/bad.toml:1: schema must be an integer from 1 to 1\n"));
}

TEST_CASE("zoo list: JSON says whether the media are there", "[zoo]")
{
    Bench bench;
    const auto fetched = [&] {
        return json::parse(bench.run({"list", "--json"}).output).at(0).at("fetched").get<bool>();
    };

    CHECK_FALSE(fetched());
    CHECK(bench.run({"fetch", "tiny"}).exit_status == 0);
    CHECK(fetched());
}

TEST_CASE("zoo fetch: a source that is gone ends with 1 and says why", "[zoo]")
{
    Bench bench;
    std::filesystem::remove(bench.folder / "disk.img");

    const Finished fetched = bench.run({"fetch", "tiny"});

    CHECK(fetched.exit_status == 1);
    CHECK_THAT(fetched.output, Contains("disk.img: No such file or directory"));
}

TEST_CASE("zoo boot: ends as the emulator ends, with its options behind ours", "[zoo]")
{
    Bench bench;
    bench.emulator("exit 7");
    CHECK(bench.run({"boot", "tiny", "--headless"}).exit_status == 7);

    const Finished printed =
        bench.run({"boot", "tiny", "--headless", "--print-command", "--", "-m", "2"});

    CHECK(printed.exit_status == 0);
    CHECK_THAT(printed.output, Contains("/emulator -name Tiny -M pc -m 1 -nic none -drive file=" +
                                        (bench.folder / "data").string() +
                                        "/zoo/machines/tiny/disk0.qcow2,format=qcow2,if=ide,"
                                        "index=0 -display none -serial stdio -m 2\n"));
}

TEST_CASE("zoo boot --ephemeral: leaves no machine behind", "[zoo]")
{
    Bench bench;

    CHECK(bench.run({"boot", "tiny", "--headless", "--ephemeral"}).exit_status == 0);

    CHECK_FALSE(std::filesystem::exists(bench.folder / "data/zoo/machines/tiny"));
    CHECK(std::filesystem::is_empty(bench.folder / "data/zoo/runs"));
}

TEST_CASE("zoo test: passes and fails as the emulator's script does", "[zoo]")
{
    Bench bench;
    bench.emulator("echo '{\"guest_s\": 2.5, \"host_s\": 1.0}' > $report/report.json");
    const Finished passed = bench.run({"test", "tiny"});
    CHECK(passed.exit_status == 0);
    CHECK_THAT(passed.output, Contains("PASS tiny") && Contains("2.5 s of guest time in 1.0 s"));

    bench.emulator("echo '{\"reason\": \"x was not seen\"}' > $report/report.json; exit 1");
    const Finished failed = bench.run({"test", "tiny", "--json"});
    CHECK(failed.exit_status == 1);
    CHECK_THAT(failed.output, Contains("x was not seen"));
    CHECK(std::filesystem::exists(bench.folder / "data/zoo/reports/tiny/script.toml"));
}

TEST_CASE("zoo test: an emulator that dies is a failure with what it said", "[zoo]")
{
    Bench bench;
    bench.emulator("echo 'no such machine'; exit 2");

    const Finished failed = bench.run({"test", "tiny"});

    CHECK(failed.exit_status == 1);
    CHECK_THAT(failed.output, Contains("the emulator ended with status 2: no such machine"));
}

TEST_CASE("zoo gc: keeps what recipes and machines need", "[zoo]")
{
    Bench bench;
    write_file(bench.folder / "other.img", "other");
    REQUIRE(bench.run({"fetch", "tiny"}).exit_status == 0);
    REQUIRE(bench.run({"add", bench.folder / "other.img"}).exit_status == 0);

    write_file(bench.folder / "data/zoo/runs/tiny-999999999/disk0.qcow2", "left by a killed run");
    CHECK_THAT(bench.run({"gc"}).output, Contains("removed 1 objects (5 B) and 1 leftovers"));
    CHECK_THAT(bench.run({"verify"}).output, Contains("1 objects, 0 bad"));
    REQUIRE(bench.run({"reset", "tiny"}).exit_status == 0);
    CHECK_THAT(bench.run({"gc", "--all"}).output, Contains("removed 0 objects"));
    REQUIRE(bench.run({"rm", "tiny"}).exit_status == 0);
    CHECK_THAT(bench.run({"gc", "--all"}).output, Contains("removed 1 objects (4.0 KiB)"));
}
