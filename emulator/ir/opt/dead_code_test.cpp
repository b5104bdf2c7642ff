#include "emulator/ir/opt/dead_code.hpp"

#include <catch2/catch.hpp>

using namespace emu::ir;

namespace {

std::string optimised(const char* text)
{
    Block block;
    std::string error;
    REQUIRE(parse(text, block, error));
    remove_dead_code(block);
    return print(block);
}

} // namespace

TEST_CASE("dead code: a flag record overwritten without a reader or fault between is dropped")
{
    CHECK(optimised("insn.4/1 0x0\n"
                    "add.4 r0, r0, r1\n"
                    "flags.4/1 r0, r1, -\n"
                    "insn.4/1 0x1\n"
                    "add.4 r2, r2, r1\n"
                    "flags.4/1 r2, r1, -\n"
                    "exit.4 0x2\n") == "insn.4/1 0x0\n"
                                       "add.4 r0, r0, r1\n"
                                       "insn.4/1 0x1\n"
                                       "add.4 r2, r2, r1\n"
                                       "flags.4/1 r2, r1, -\n"
                                       "exit.4 0x2\n");
}

TEST_CASE("dead code: a load that may fault keeps the flags before it")
{
    const char* text = "insn.4/1 0x0\n"
                       "add.4 r0, r0, r1\n"
                       "flags.4/1 r0, r1, -\n"
                       "insn.4/1 0x1\n"
                       "ld.4 r3, r2\n"
                       "flags.4/3 r3, -, -\n"
                       "exit.4 0x2\n";

    CHECK(optimised(text) == text);
}

TEST_CASE("dead code: the carry that a dead inc would have kept is not computed")
{
    CHECK(optimised("insn.4/1 0x0\n"
                    "getcf.4 t0\n"
                    "add.4 r0, r0, #0x1\n"
                    "flags.4/4 r0, t0, -\n"
                    "insn.4/1 0x1\n"
                    "flags.4/3 r0, -, -\n"
                    "exit.4 0x2\n") == "insn.4/1 0x0\n"
                                       "add.4 r0, r0, #0x1\n"
                                       "insn.4/1 0x1\n"
                                       "flags.4/3 r0, -, -\n"
                                       "exit.4 0x2\n");
}
