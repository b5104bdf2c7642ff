#include "emulator/ir/block.hpp"

#include <catch2/catch.hpp>

using namespace emu::ir;

namespace {

const char* const kText = "insn.4/2 0x7c00\n"
                          "lea.4/2 t0, r3, r6, 0x10\n"
                          "ld.4 t1, t0\n"
                          "add.4 t1, t1, #0x5\n"
                          "st.4 t0, t1\n"
                          "flags.4/1 t1, #0x5, -\n"
                          "exitcc.4/4 0x7c00\n"
                          "exit.4 0x7c02\n";

} // namespace

TEST_CASE("ir text: what is printed parses back to the same block")
{
    Block block;
    std::string error;

    REQUIRE(parse(kText, block, error));

    CHECK(print(block) == kText);
    CHECK(block.instruction_count == 1);
    CHECK(verify(block).empty());
}

TEST_CASE("ir text: an unknown operation is named with its line")
{
    Block block;
    std::string error;

    CHECK_FALSE(parse("insn.4 0x0\nfrobnicate.4 t0\n", block, error));
    CHECK(error == "line 2: not an operation: 'frobnicate.4 t0'");
}

TEST_CASE("verify: a temporary read before it is written is refused")
{
    Block block;
    std::string error;
    REQUIRE(parse("insn.4/1 0x0\nadd.4 r0, r0, t3\nexit.4 0x1\n", block, error));

    CHECK(verify(block) == "op 1 'add.4 r0, r0, t3': t3 is read before it is written");
}

TEST_CASE("verify: a byte result must not go straight to a register")
{
    Block block;
    std::string error;
    REQUIRE(parse("insn.4/1 0x0\nadd.1 r0, r0, r1\nexit.4 0x1\n", block, error));

    CHECK(verify(block) == "op 1 'add.1 r0, r0, r1': a narrow result goes to a register");
}

TEST_CASE("verify: a block has exactly one end")
{
    Block block;
    std::string error;
    REQUIRE(parse("insn.4/1 0x0\nleave.4\nexit.4 0x1\n", block, error));

    CHECK(verify(block) == "op 1 'leave.4': operations after the end");
}
