// Runs a ROM of test386.asm (Barotto's CPU tester, GPL-3, not part of this tree) in both tiers.
//
// Build it with OUT_PORT equ 0xE9 and POST_PORT equ 0x190 in its configuration.asm, then set
//   MENAGERIE_TEST386            the ROM, 64 or 128 KiB
//   MENAGERIE_TEST386_REFERENCE  its test386-EE-reference.txt (without: only POST codes count)
//   MENAGERIE_TEST386_MODEL      a CPU model other than 486
#include "emulator/accel/bare_machine.hpp"
#include "tests/skip.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>

using namespace emu;
using namespace emu::accel;

namespace {

constexpr base::u16 kPostPort = 0x190;
constexpr base::u16 kTextPort = 0xe9;
constexpr u8 kPassed = 0xff;
constexpr u64 kRam = 16u << 20;
constexpr u64 kLimit = 400'000'000; // instructions

std::optional<std::string> read_file(const char* variable)
{
    const char* path = std::getenv(variable);
    if (path == nullptr) {
        return std::nullopt;
    }
    std::ifstream file{path, std::ios::binary};
    INFO(variable << '=' << path);
    REQUIRE(file.good());
    return std::string{std::istreambuf_iterator<char>{file}, {}};
}

struct Outcome {
    std::vector<u8> posts;
    std::string text;
    std::string registers;
};

Outcome run_rom(std::string_view rom, Tier tier)
{
    const char* model = std::getenv("MENAGERIE_TEST386_MODEL");
    BareMachine machine{{.model = model != nullptr ? model : "486", .tier = tier},
                        kRam,
                        {reinterpret_cast<const u8*>(rom.data()), rom.size()}};
    Outcome outcome;
    machine.on_write = [&](base::u16 port, unsigned, base::u32 value) {
        if (port == kPostPort) {
            outcome.posts.push_back(static_cast<u8>(value));
        } else if (port == kTextPort) {
            outcome.text.push_back(static_cast<char>(value));
        }
    };
    machine.cpu->run(kLimit); // it ends in HLT
    outcome.registers = machine.cpu->registers_text();
    return outcome;
}

std::vector<std::string> lines_of(const std::string& text)
{
    std::vector<std::string> lines(1);
    for (const char c : text) {
        if (c == '\n') {
            lines.emplace_back();
        } else if (c != '\r') {
            lines.back().push_back(c);
        }
    }
    for (std::string& line : lines) {
        line.erase(line.find_last_not_of(' ') + 1);
    }
    while (!lines.empty() && lines.back().empty()) {
        lines.pop_back();
    }
    return lines;
}

/// The first few lines that are not as they should be.
std::string wrong_lines(const std::string& text, const std::string& reference)
{
    const auto got = lines_of(text);
    const auto wanted = lines_of(reference);
    std::string wrong;
    unsigned count = 0;
    for (std::size_t n = 0; n < std::max(got.size(), wanted.size()); ++n) {
        const std::string is = n < got.size() ? got[n] : "(nothing)";
        const std::string should = n < wanted.size() ? wanted[n] : "(nothing)";
        if (is != should && ++count <= 10) {
            wrong += fmt::format("line {}: {}\n  should be: {}\n", n + 1, is, should);
        }
    }
    return count == 0 ? "" : fmt::format("{} of {} lines\n{}", count, wanted.size(), wrong);
}

void check_rom(Tier tier)
{
    const auto rom = read_file("MENAGERIE_TEST386");
    if (!rom) {
        suite::skip("MENAGERIE_TEST386 does not name its ROM");
        return;
    }
    REQUIRE((rom->size() == 0x1'0000 || rom->size() == 0x2'0000));
    const Outcome outcome = run_rom(*rom, tier);
    INFO(outcome.registers);
    REQUIRE_FALSE(outcome.posts.empty());
    CHECK(fmt::format("{:02X}", outcome.posts.back()) == fmt::format("{:02X}", kPassed));
    if (const auto reference = read_file("MENAGERIE_TEST386_REFERENCE")) {
        CHECK(wrong_lines(outcome.text, *reference) == "");
    } else {
        std::cout << "test386: MENAGERIE_TEST386_REFERENCE is not set, its text is not compared\n";
    }
}

} // namespace

TEST_CASE("test386: tier 0 runs to POST FF with every line right", "[suite]")
{
    check_rom(Tier::interpret);
}

TEST_CASE("test386: tier 1 runs to POST FF with every line right", "[suite]")
{
    check_rom(Tier::compile);
}
