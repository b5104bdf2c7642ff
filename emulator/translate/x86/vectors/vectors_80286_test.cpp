// Real-mode vectors recorded on an 80286, run on our 486 in both tiers.
//
// They are not part of the project; without them the test is skipped. MENAGERIE_SUITES
// names their folder (default: ../shared/suites beside the source). MENAGERIE_VECTORS limits the
// run to files whose name begins so, and prints every failure of them.
#include "emulator/translate/x86/vectors/moo.hpp"

#include "emulator/accel/x86_engine.hpp"
#include "emulator/cpu/x86/model.hpp"
#include "tests/skip.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fmt/format.h>
#include <map>

using namespace emu;

namespace {

namespace fs = std::filesystem;
using base::u16;
using base::u32;
using base::u64;
using base::u8;

/// No device answers.
class EmptyBoard final : public X86Hooks {
public:
    u32 port_read(u16, unsigned) override { return 0xffff'ffff; }
    void port_write(u16, unsigned, u32) override {}
    int acknowledge_interrupt() override { return -1; }
    u64 apic_base() const override { return 0; }
    bool set_apic_base(u64) override { return false; }
    bool apic_enabled() const override { return false; }
    void set_smm_active(bool) override {}
    void set_ferr(bool) override {}
    bool ignne() const override { return false; }
    void shutdown() override {}
};

/// Flags that Intel's manuals of the 386 and later leave undefined, by file name.
struct UndefinedFlags {
    std::string_view prefix;
    u16 flags;
};

constexpr u16 kStringRegisters = 0x8000; // not a flag: SI, DI and CX are free after a fault
constexpr u16 kOf = 0x800;
constexpr u16 kSf = 0x80;
constexpr u16 kZf = 0x40;
constexpr u16 kAf = 0x10;
constexpr u16 kPf = 0x04;
constexpr u16 kCf = 0x01;

// The first row that fits counts.
constexpr UndefinedFlags kUndefined[] = {
    {"27", kOf},
    {"2F", kOf},
    {"37", kOf | kSf | kZf | kPf},
    {"3F", kOf | kSf | kZf | kPf},
    {"6C", kStringRegisters},
    {"6D", kStringRegisters},
    {"6E", kStringRegisters},
    {"6F", kStringRegisters},
    {"A4", kStringRegisters},
    {"A5", kStringRegisters},
    {"A6", kStringRegisters},
    {"A7", kStringRegisters},
    {"AA", kStringRegisters},
    {"AB", kStringRegisters},
    {"AC", kStringRegisters},
    {"AD", kStringRegisters},
    {"AE", kStringRegisters},
    {"AF", kStringRegisters},
    {"69", kSf | kZf | kAf | kPf},
    {"6B", kSf | kZf | kAf | kPf},
    {"C0", kOf | kAf | kCf}, // CF: shifts by more than the width
    {"C1", kOf | kAf | kCf},
    {"D0", kAf},
    {"D1", kAf},
    {"D2", kOf | kAf | kCf},
    {"D3", kOf | kAf | kCf},
    {"D4", kOf | kAf | kCf},
    {"D5", kOf | kAf | kCf},
    {"F6.4", kSf | kZf | kAf | kPf},
    {"F6.5", kSf | kZf | kAf | kPf},
    {"F7.4", kSf | kZf | kAf | kPf},
    {"F7.5", kSf | kZf | kAf | kPf},
    {"F6.6", kOf | kSf | kZf | kAf | kPf | kCf},
    {"F6.7", kOf | kSf | kZf | kAf | kPf | kCf},
    {"F7.6", kOf | kSf | kZf | kAf | kPf | kCf},
    {"F7.7", kOf | kSf | kZf | kAf | kPf | kCf},
    // AND, OR, XOR, TEST.
    {"08", kAf},
    {"09", kAf},
    {"0A", kAf},
    {"0B", kAf},
    {"0C", kAf},
    {"0D", kAf},
    {"20", kAf},
    {"21", kAf},
    {"22", kAf},
    {"23", kAf},
    {"24", kAf},
    {"25", kAf},
    {"30", kAf},
    {"31", kAf},
    {"32", kAf},
    {"33", kAf},
    {"34", kAf},
    {"35", kAf},
    {"80.1", kAf},
    {"80.4", kAf},
    {"80.6", kAf},
    {"81.1", kAf},
    {"81.4", kAf},
    {"81.6", kAf},
    {"82.1", kAf},
    {"82.4", kAf},
    {"82.6", kAf},
    {"83.1", kAf},
    {"83.4", kAf},
    {"83.6", kAf},
    {"84", kAf},
    {"85", kAf},
    {"A8", kAf},
    {"A9", kAf},
    {"F6.0", kAf},
    {"F6.1", kAf},
    {"F7.0", kAf},
    {"F7.1", kAf},
};

u16 undefined_flags(std::string_view file)
{
    for (const UndefinedFlags& row : kUndefined) {
        if (file.starts_with(row.prefix)) {
            return row.flags;
        }
    }
    return 0;
}

constexpr u64 kMemory = 2u << 20;

class Machine {
public:
    explicit Machine(accel::Tier tier)
        : engine_{{.model = "486", .tier = tier, .code_cache_bytes = 4u << 20}, memory_}
    {
        memory_.map_ram(0, kMemory, ram_, 0, AddressSpace::Access::read_write);
        engine_.world().hooks = &board_;
        engine_.world().time_stamp = [] { return u64{0}; };
        state().model = x86::find_model("486");
    }

    /// What differs from what the processor did; empty if nothing.
    std::string run(const moo::Test& test, u16 ignored_flags)
    {
        load(test.before);
        if (test.exception && test.exception->vector == x86::kGeneralProtection) {
            share_stack_fault_handler();
        }
        execute();
        std::string difference = compare(test, ignored_flags);
        for (const moo::Byte& byte : test.before.ram) {
            set_byte(byte.address, 0);
        }
        for (const moo::Byte& byte : test.after.ram) {
            set_byte(byte.address, 0);
        }
        return difference;
    }

private:
    static constexpr std::array<unsigned, 8> kGprOrder{moo::ax, moo::cx, moo::dx, moo::bx,
                                                       moo::sp, moo::bp, moo::si, moo::di};
    static constexpr std::array<unsigned, 4> kSegmentOrder{moo::es, moo::cs, moo::ss, moo::ds};

    x86::State& state() { return engine_.state(); }

    void set_byte(u32 address, u8 value) { memory_.write_int(address, 1, value); }

    /// The 286 reports a word at offset FFFF of the stack as interrupt 13, the 386 and later as 12.
    void share_stack_fault_handler()
    {
        const u64 handler = memory_.read_int(4 * x86::kGeneralProtection, 4);
        memory_.write_int(4 * x86::kStackFault, 4, handler);
    }

    void load(const moo::Snapshot& from)
    {
        x86::reset(state());
        const auto reg = [&](unsigned n) { return from.registers[n].value_or(0); };
        for (unsigned n = 0; n < 8; ++n) {
            state().set_reg32(n, reg(kGprOrder[n]));
        }
        for (unsigned n = 0; n < 4; ++n) {
            state().seg[n].selector = reg(kSegmentOrder[n]);
            state().seg[n].base = u32{reg(kSegmentOrder[n])} << 4;
        }
        // A recording of a 286: the table is where it was on a 286.
        state().idtr = {.base = 0, .limit = 0x3ff};
        state().pc = reg(moo::ip);
        state().eflags = (reg(moo::flags) & ~ir::kArithmeticFlags & 0x0fd7) | 2;
        state().set_arithmetic_flags(reg(moo::flags));
        for (const moo::Byte& byte : from.ram) {
            set_byte(byte.address, byte.value);
        }
        x86::update_mode(state());
    }

    /// To the HLT that ends every test.
    void execute()
    {
        constexpr base::i64 kEnough = 100'000; // a REP counts each iteration
        state().until = state().retired() + kEnough;
        state().budget = kEnough;
        while (!state().halted && !state().shutdown && state().budget > 0) {
            state().attention = 0;
            if (state().interrupt_shadow) {
                state().interrupt_shadow = false;
                engine_.run_single(false);
            } else {
                engine_.run_some();
            }
        }
        finished_ = state().halted;
    }

    std::string compare(const moo::Test& test, u16 ignored_flags)
    {
        if (!finished_) {
            return state().shutdown ? "shut down" : "did not halt";
        }
        std::string text;
        const auto expected = [&](unsigned n) {
            return test.after.registers[n].value_or(test.before.registers[n].value_or(0));
        };
        const auto check = [&](std::string_view name, u32 want, u32 got) {
            if (want != got) {
                text += fmt::format(" {}: want {:04x} got {:04x}", name, want, got);
            }
        };
        static constexpr std::array<const char*, 8> kNames{"ax", "cx", "dx", "bx",
                                                           "sp", "bp", "si", "di"};
        const bool is_string = (ignored_flags & kStringRegisters) != 0;
        for (unsigned n = 0; n < 8; ++n) {
            const bool moves = n == x86::kEsi || n == x86::kEdi || n == x86::kEcx;
            if (test.exception && is_string && moves) {
                continue; // a fault left them advanced on the 286
            }
            check(kNames[n], expected(kGprOrder[n]), state().reg32(n));
        }
        static constexpr std::array<const char*, 4> kSegmentNames{"es", "cs", "ss", "ds"};
        for (unsigned n = 0; n < 4; ++n) {
            check(kSegmentNames[n], expected(kSegmentOrder[n]), state().seg[n].selector);
        }
        check("ip", expected(moo::ip), state().pc & 0xffff);
        const u32 flag_mask = 0x0fd5u & ~u32{ignored_flags};
        check("flags", expected(moo::flags) & flag_mask, state().full_eflags() & flag_mask);
        return text + compare_memory(test, ignored_flags);
    }

    std::string compare_memory(const moo::Test& test, u16 ignored_flags)
    {
        std::string text;
        // The flags were pushed first: they lie highest.
        const u32 flags_at = state().seg[x86::kSs].base + (state().reg32(x86::kEsp) & 0xffff) + 4;
        for (const moo::Byte& byte : test.after.ram) {
            u8 mask = 0xff;
            if (test.exception && byte.address == flags_at) {
                mask = static_cast<u8>(~ignored_flags);
            } else if (test.exception && byte.address == flags_at + 1) {
                mask = static_cast<u8>(0x0f & ~(ignored_flags >> 8)); // IOPL and NT differ
            }
            const auto got = static_cast<u8>(memory_.read_int(byte.address, 1));
            if ((got & mask) != (byte.value & mask)) {
                text +=
                    fmt::format(" [{:06x}]: want {:02x} got {:02x}", byte.address, byte.value, got);
            }
        }
        return text;
    }

    AddressSpace memory_;
    RamBlock ram_{"ram", kMemory};
    EmptyBoard board_;
    accel::X86Engine engine_;
    bool finished_ = false;
};

fs::path suite_folder()
{
    const char* folder = std::getenv("MENAGERIE_SUITES");
    const char* source = std::getenv("MENAGERIE_SOURCE");
    if (folder != nullptr) {
        return fs::path{folder} / "80286";
    }
    return fs::path{source != nullptr ? source : "."} / "../shared/suites/80286";
}

struct Score {
    unsigned passed = 0;
    unsigned failed = 0;
    std::string first;
};

/// What a 386 and later do otherwise: LOCK is #UD on most instructions, and the longest instruction
/// has 15 bytes, not 10. FS and GS (in moves only) exist.
bool differs_by_design(const moo::Test& test)
{
    const auto has = [&](std::string_view text) {
        return test.name.find(text) != std::string::npos;
    };
    return has("lock ") || has(" fs,") || has(" gs,") || has(",fs") || has(",gs") ||
           test.length > 10;
}

Score run_file(Machine& machine, const fs::path& path, bool print_all)
{
    const std::string name = path.filename().string();
    const auto tests = moo::read_file(path);
    Score score;
    if (!tests) {
        FAIL(tests.error().message);
    }
    for (const moo::Test& test : tests.value()) {
        if (differs_by_design(test)) {
            continue;
        }
        const std::string difference = machine.run(test, undefined_flags(name));
        ++(difference.empty() ? score.passed : score.failed);
        if (difference.empty()) {
            continue;
        }
        const std::string line = fmt::format("{}: {}:{}", name, test.name, difference);
        score.first = score.first.empty() ? line : score.first;
        if (print_all) {
            fmt::print("{}\n", line);
        }
    }
    return score;
}

void run_suite(accel::Tier tier)
{
    if (!fs::is_directory(suite_folder())) {
        suite::skip("no vectors at " + suite_folder().string());
        return;
    }
    const char* only = std::getenv("MENAGERIE_VECTORS");
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator{suite_folder()}) {
        const std::string name = entry.path().filename().string();
        if (name.ends_with(".MOO.gz") && name.starts_with(only != nullptr ? only : "")) {
            files.push_back(entry.path());
        }
    }
    REQUIRE_FALSE(files.empty()); // of a folder that is there
    std::ranges::sort(files);
    Machine machine{tier};
    Score total;
    for (const fs::path& file : files) {
        const Score score = run_file(machine, file, only != nullptr);
        total.passed += score.passed;
        total.failed += score.failed;
        if (score.failed != 0) {
            fmt::print("{} of {} failed, first {}\n", score.failed, score.failed + score.passed,
                       score.first);
        }
    }
    fmt::print("{} passed, {} failed\n", total.passed, total.failed);
    CHECK(total.failed == 0);
    CHECK(total.passed > 0);
}

} // namespace

TEST_CASE("80286 vectors: the interpreter", "[vectors]")
{
    run_suite(accel::Tier::interpret);
}

TEST_CASE("80286 vectors: compiled code", "[vectors]")
{
    run_suite(accel::Tier::compile);
}
