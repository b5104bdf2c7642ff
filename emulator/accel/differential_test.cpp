// Random programs in both tiers: the same state after the same instruction, however the run is cut.
#include "emulator/accel/differential_rig.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fmt/format.h>

using namespace emu;
using namespace emu::accel;

namespace {

u64 from_environment(const char* name, u64 otherwise)
{
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

std::string hex(std::span<const u8> bytes)
{
    std::string text;
    for (const u8 byte : bytes) {
        text += fmt::format("{:02x}", byte);
    }
    return text;
}

/// What is different between two machines; empty when nothing is.
std::string difference(Rig& a, Rig& b)
{
    std::string text;
    if (a.cpu().instructions() != b.cpu().instructions()) {
        text += fmt::format("instructions: {} and {}\n", a.cpu().instructions(),
                            b.cpu().instructions());
    }
    const Fields left = a.fields();
    const Fields right = b.fields();
    for (std::size_t n = 0; n < left.list.size(); ++n) {
        if (left.list[n] != right.list[n]) {
            text += fmt::format("field {} {}: {:x} and {:x}\n", n, left.list[n].name,
                                left.list[n].value, right.list[n].value);
        }
    }
    if (a.now_ns() != b.now_ns()) {
        text += fmt::format("nanoseconds: {} and {}\n", a.now_ns(), b.now_ns());
    }
    const auto [at, other] = std::ranges::mismatch(a.ram(), b.ram());
    if (at != a.ram().end()) {
        text += fmt::format("RAM at {:x}: {:02x} and {:02x}\n", at - a.ram().begin(), *at, *other);
    }
    if (a.device_accesses() != b.device_accesses()) {
        text +=
            fmt::format("device accesses: {} and {}\n", a.device_accesses(), b.device_accesses());
    }
    return text;
}

// Most instructions between two comparisons.
const u64 kEach = from_environment("MENAGERIE_DIFFERENTIAL_EACH", 100);
// To find an instruction: where a program's run ends.
const u64 kStop = from_environment("MENAGERIE_DIFFERENTIAL_STOP", 600);

class Comparison {
public:
    /// Runs a program and compares now and then. What differs, or nothing.
    std::string run(Start start, u64 seed)
    {
        Dice dice{seed};
        const Scene scene = make_scene(reset_, start, dice);
        for (Rig* rig : rigs_) {
            rig->load(scene.fields, scene.ram);
        }
        std::array<Dice, 3> pieces{Dice{seed + 1}, Dice{seed + 2}, Dice{seed + 3}};
        u64 at = interpreted_.cpu().instructions();
        const u64 end = at + 600;
        std::string before = interpreted_.cpu().registers_text();
        while (at < std::min(end, end - 600 + kStop) && !interpreted_.is_down()) {
            at += 1 + dice.below(static_cast<u32>(kEach));
            at = std::min(at, end - 600 + kStop);
            for (std::size_t n = 0; n < rigs_.size(); ++n) {
                rigs_[n]->run_to(at, pieces[n]);
            }
            for (Rig* rig : {&compiled_, &automatic_}) {
                const std::string found = difference(interpreted_, *rig);
                if (!found.empty()) {
                    return fmt::format("seed {}, tier {}, at instruction {}\n{}--- before\n{}--- "
                                       "tier 0 now\n{}--- program {}\n",
                                       seed, rig == &compiled_ ? "1" : "auto", at, found, before,
                                       interpreted_.cpu().registers_text(), hex(scene.program));
                }
            }
            if (dice.one_in(10)) {
                for (Rig* rig : rigs_) {
                    rig->interrupt();
                }
            }
            before = interpreted_.cpu().registers_text();
        }
        done_ += interpreted_.cpu().instructions() - (end - 600);
        return level_instructions();
    }

    u64 instructions() const { return done_; }

private:
    /// All go on from the same count.
    std::string level_instructions()
    {
        return interpreted_.cpu().instructions() == compiled_.cpu().instructions()
                   ? ""
                   : "the counts went apart";
    }

    Rig interpreted_{Tier::interpret, kMinCodeCacheBytes};
    Rig compiled_{Tier::compile, u64{4} << 20};
    Rig automatic_{Tier::automatic, kMinCodeCacheBytes};
    std::array<Rig*, 3> rigs_{&interpreted_, &compiled_, &automatic_};
    Fields reset_ = interpreted_.fields();
    u64 done_ = 0;
};

void compare_programs(Start start)
{
    const u64 first = from_environment("MENAGERIE_DIFFERENTIAL_SEED", 1);
    const u64 count = from_environment("MENAGERIE_DIFFERENTIAL_ROUNDS", 60);
    Comparison comparison;
    for (u64 seed = first; seed < first + count; ++seed) {
        const std::string found = comparison.run(start, seed);
        INFO(found);
        REQUIRE(found.empty());
    }
    // Programs must not all end in a triple fault at once: then nothing would be compared.
    CHECK(comparison.instructions() > count * 50);
}

} // namespace

TEST_CASE("tiers: random programs end in the same state in real mode", "[accel][differential]")
{
    compare_programs(Start::real);
}

TEST_CASE("tiers: random programs end in the same state in 16-bit protected mode",
          "[accel][differential]")
{
    compare_programs(Start::protected16);
}

TEST_CASE("tiers: random programs end in the same state in 32-bit protected mode",
          "[accel][differential]")
{
    compare_programs(Start::protected32);
}

TEST_CASE("tiers: random programs end in the same state with paging", "[accel][differential]")
{
    compare_programs(Start::paged);
}

TEST_CASE("tiers: random programs end in the same state at user privilege", "[accel][differential]")
{
    compare_programs(Start::user);
}
