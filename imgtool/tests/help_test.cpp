// Help pages, and what may stand before a command.
#include "imgtool/tests/duel.hpp"

using namespace img;
using img::test::run;
using img::test::tool;

namespace {

const std::vector<std::string> kCommands{
    "amend",  "bench",   "bitmap", "cat",     "check",  "commit", "compare", "convert",
    "create", "dd",      "diff",   "extract", "hash",   "help",   "info",    "ls",
    "map",    "measure", "patch",  "rebase",  "resize", "serve",  "snapshot"};

} // namespace

TEST_CASE("help: every command has a page with usage and examples")
{
    for (const std::string& command : kCommands) {
        for (const std::string option : {"--help", "-h"}) {
            INFO(command << " " << option);
            const auto help = run(tool() + " " + command + " " + option + " 2>&1");
            CHECK(help.code == 0);
            CHECK(help.output.starts_with("usage: imgtool " + command + " "));
            CHECK(help.output.find("\nExamples:\n  imgtool " + command + " ") != std::string::npos);
        }
        CHECK(run(tool() + " help " + command).output ==
              run(tool() + " " + command + " --help").output);
    }
    CHECK(run(tool() + " resize x -h").output.starts_with("usage: imgtool resize "));
}

TEST_CASE("help: the general page names every command")
{
    const auto help = run(tool() + " --help");
    CHECK(help.code == 0);
    std::size_t listed = 0;
    const std::size_t end = help.output.find("\n\nSizes");
    for (std::size_t at = help.output.find("Command syntax");
         (at = help.output.find("\n  ", at)) < end; ++at) {
        ++listed;
    }
    CHECK(listed == kCommands.size());
    for (const std::string& command : kCommands) {
        CHECK(help.output.find("\n  " + command + " ") != std::string::npos);
        CHECK(help.output.find("\n  imgtool " + command + " ") != std::string::npos);
    }
}

TEST_CASE("help: the command of that name tells the same, and of no other")
{
    CHECK(run(tool() + " help").output == run(tool() + " --help").output);
    const auto unknown = run(tool() + " help nothing");
    CHECK(unknown.code == 1);
    CHECK(unknown.output == "imgtool: Command not found: nothing\n"
                            "Try 'imgtool --help' for more information\n");
    CHECK(run(tool() + " help info map").code == 1);
}

TEST_CASE("compared with qemu-img: what stands before the command")
{
    if (!test::has_qemu_img()) {
        return;
    }
    test::Duel duel;
    for (const std::string_view arguments :
         {"-T foo info -f raw a.raw", "--trace foo info -f raw a.raw",
          "--trace=enable=foo info -f raw a.raw", "-T -foo info -f raw a.raw",
          "-T foo,enable=bar info -f raw a.raw", "-T '' info -f raw a.raw",
          "-T 'no_such_event*' info -f raw a.raw", "-T a -T b info -f raw a.raw",
          "-T bogus=1 info -f raw a.raw", "-T", "--trace", "--foo", "-U info a.raw", "", "nothing",
          "info -T x a.raw", "info"}) {
        duel.same(std::string{arguments});
    }
    CHECK(run(tool() + " -T events=x info a 2>&1").output ==
          "imgtool: --trace events= is not supported\n");
}
