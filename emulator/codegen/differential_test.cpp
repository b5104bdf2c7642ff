// Each IR operation in the interpreter and in generated code, with corner values: the same
// registers, flags, memory and program counter.
#include "emulator/accel/code_buffer.hpp"
#include "emulator/accel/random_code.hpp"
#include "emulator/codegen/interpreter/interpreter.hpp"
#include "emulator/codegen/x64/compiler.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <memory>

using namespace emu;
using namespace emu::codegen;
using accel::Dice;
using ir::ExecState;
using x64::Reg;

namespace {

constexpr u32 kMapped = 0x1000; // two pages of guest memory
constexpr u32 kStart = 0x5000;  // of the block
constexpr base::i64 kBudget = 1000;

constexpr std::array<u32, 16> kCorners{0,      1,           2,           0x7f,        0x80, 0xff,
                                       0x7fff, 0x8000,      0xffff,      0x7fff'ffff, 31,   32,
                                       33,     0x8000'0000, 0xffff'ffff, 0x1234'5678};

/// Half of the registers in host registers, half in the state.
constexpr x64::Pinning pinning()
{
    x64::Pinning pins{};
    pins.fill(x64::kNoReg);
    pins[0] = Reg::rax;
    pins[1] = Reg::rcx;
    pins[5] = Reg::rdx;
    pins[6] = Reg::rbx;
    return pins;
}
constexpr x64::Pinning kPinning = pinning();

Outcome no_load(ExecState&, u32, unsigned, bool, bool, u64&)
{
    return Outcome::fault;
}
Outcome no_store(ExecState&, u32, unsigned, bool, u64)
{
    return Outcome::fault;
}
bool no_segment(ExecState&, unsigned, u32, unsigned, bool)
{
    return false;
}
u32 no_slow_path(ExecState*, const u8*)
{
    return static_cast<u32>(Outcome::fault);
}

struct Side {
    std::unique_ptr<ExecState> state = std::make_unique<ExecState>();
    std::vector<u8> memory = std::vector<u8>(2 * 4096);

    void map()
    {
        for (u32 page = 0; page < 2; ++page) {
            const u32 linear = kMapped + page * 4096;
            state->tlb[0][ir::tlb_index(linear)] = {
                linear, linear, reinterpret_cast<u64>(memory.data() + page * 4096) - linear};
        }
    }
    u32 flags() const
    {
        return ir::compute_flags(static_cast<u8>(state->flag_op), state->flag_result,
                                 state->flag_source);
    }
};

class Pair {
public:
    Pair()
    {
        interpreted_.map();
        compiled_.map();
        thunks_ = x64::emit_thunks(code_, kPinning, {no_slow_path, no_slow_path, no_slow_path});
        start_ = code_.here();
    }

    /// Runs a block of one instruction, whose operations are given as text, on several inputs.
    void check(const std::string& text, unsigned rounds = 6)
    {
        ir::Block block;
        std::string error;
        const std::string whole =
            fmt::format("insn.4/2 {:#x}\n{}exit.4 {:#x}\n", kStart, text, kStart + 2);
        INFO(whole);
        REQUIRE(ir::parse(whole, block, error));
        REQUIRE(ir::verify(block) == "");
        code_ = {start_, buffer_.end()};
        x64::Compiler compiler{kPinning, thunks_, {}};
        const auto made = compiler.compile({.block = &block,
                                            .pc = kStart,
                                            .linear_base = 0,
                                            .context = 0,
                                            .user = false,
                                            .single_page = true,
                                            .likely_flag_op = static_cast<u8>(stored_flag_op()),
                                            .cookie = x64::kFirstCookie},
                                           code_);
        REQUIRE(made.has_value());
        for (unsigned round = 0; round < rounds; ++round) {
            run(block, made->entry);
        }
    }

private:
    void run(const ir::Block& block, const u8* entry)
    {
        prepare();
        ExecState& a = *interpreted_.state;
        ExecState& b = *compiled_.state;
        const std::array<u64, 4> inputs{a.slot[0], a.slot[1], a.slot[2], a.flag_op};
        a.budget = kBudget - block.instruction_count;
        interpret(block, false, a, {no_load, no_store, no_segment, {}, false});
        b.budget = kBudget;
        thunks_.enter(&b, entry);
        CAPTURE(inputs[0], inputs[1], inputs[2], inputs[3]);
        for (ir::Slot slot = 0; slot < 8; ++slot) {
            CAPTURE(slot);
            REQUIRE(a.slot[slot] == b.slot[slot]);
        }
        REQUIRE(interpreted_.flags() == compiled_.flags());
        REQUIRE(a.pc == b.pc);
        REQUIRE(a.budget == b.budget);
        REQUIRE(interpreted_.memory == compiled_.memory);
    }

    /// Every stored kind, for 1, 2 and 4 bytes.
    u32 stored_flag_op()
    {
        return dice_.below(static_cast<u32>(ir::FlagKind::stored_kinds_)) * 4 + dice_.below(3);
    }

    void prepare()
    {
        for (ir::Slot slot = 0; slot < 8; ++slot) {
            const u32 value = dice_.one_in(3) ? dice_.next() : dice_.pick(kCorners);
            interpreted_.state->slot[slot] = value;
        }
        // An address in r3; BSF and BSR want r4 not 0.
        interpreted_.state->slot[3] = kMapped + dice_.below(4000);
        interpreted_.state->slot[4] |= 1u << dice_.below(16);
        interpreted_.state->flag_op = stored_flag_op();
        interpreted_.state->flag_result = dice_.one_in(2) ? dice_.next() : dice_.pick(kCorners);
        interpreted_.state->flag_source = dice_.one_in(2) ? dice_.next() : dice_.below(2);
        if (interpreted_.state->flag_op < 4) { // raw: nothing but flag bits
            interpreted_.state->flag_result &= ir::kArithmeticFlags;
        }
        for (u8& byte : interpreted_.memory) {
            byte = static_cast<u8>(dice_.next());
        }
        compiled_.memory = interpreted_.memory;
        *compiled_.state = *interpreted_.state;
        compiled_.map();
    }

    Side interpreted_;
    Side compiled_;
    accel::CodeBuffer buffer_{1u << 20};
    x64::Assembler code_{buffer_.begin(), buffer_.end()};
    x64::Thunks thunks_;
    u8* start_ = nullptr;
    Dice dice_{7};
};

constexpr std::array kSizes{1u, 2u, 4u};

/// Brings a result of a size to registers.
std::string keep(const char* from, unsigned size)
{
    switch (size) {
    case 1:
        return fmt::format("put8l.4 r5, {0}\nput8h.4 r6, {0}\nput8l.4 r2, {0}\nzx.1 r7, {0}\n",
                           from);
    case 2:
        return fmt::format("put16.4 r5, {0}\nput16.4 r2, {0}\nsx.2 r7, {0}\n", from);
    default:
        return fmt::format("mov.4 r5, {0}\nmov.4 r7, {0}\n", from);
    }
}

/// The text with {s} replaced by the size, {zx} and {sx} by how to widen r0 into t2.
std::string sized(std::string text, unsigned size)
{
    const auto replace = [&](std::string_view what, const std::string& by) {
        for (auto at = text.find(what); at != std::string::npos; at = text.find(what)) {
            text.replace(at, what.size(), by);
        }
    };
    replace("{s}", std::to_string(size));
    replace("{zx}", size == 4 ? "mov.4 t2, r0" : fmt::format("zx.{} t2, r0", size));
    replace("{sx}", size == 4 ? "mov.4 t2, r0" : fmt::format("sx.{} t2, r0", size));
    return text;
}

// How front ends record flags: one text a kind (flags.hpp).
constexpr std::array kFlagMakers{
    "and.4 t0, r0, #0x8d5\nflags.4/0 t0, -, -\n",
    "add.{s} t0, r0, r1\nflags.{s}/1 t0, r1, -\n",
    "add.{s} t0, r0, #0x7f\nflags.{s}/1 t0, #0x7f, -\n",
    "sub.{s} t0, r0, r1\nflags.{s}/2 t0, r1, -\n",
    "sub.{s} t0, r0, #0x80\nflags.{s}/2 t0, #0x80, -\n",
    "and.{s} t0, r0, r1\nflags.{s}/3 t0, -, -\n",
    "xor.{s} t0, r0, r1\nflags.{s}/3 t0, -, -\n",
    "getcf.4 t3\nadd.{s} t0, r0, #0x1\nflags.{s}/4 t0, t3, -\n",
    "getcf.4 t3\nsub.{s} t0, r0, #0x1\nflags.{s}/5 t0, t3, -\n",
    "{zx}\nshl.4 t1, t2, #0x2\nshl.4 t0, t2, #0x3\nflags.{s}/6 t0, t1, -\n",
    "{zx}\nshr.4 t1, t2, #0x2\nshr.4 t0, t2, #0x3\nflags.{s}/7 t0, t1, -\n",
    "{sx}\nsar.4 t1, t2, #0x2\nsar.4 t0, t2, #0x3\nflags.{s}/7 t0, t1, -\n",
    "mulu.4 t0, r0, r1, t1\nflags.4/8 t0, t1, -\n",
    "getcf.4 t3\nadd.{s} t1, r0, r1\nadd.{s} t0, t1, t3\nflags.{s}/9 t0, r1, t3\n",
    "getcf.4 t3\nsub.{s} t1, r0, r1\nsub.{s} t0, t1, t3\nflags.{s}/10 t0, r1, t3\n",
    "{zx}\nshl.4 t0, t2, r2\nflags.{s}/11 t0, t2, r2\n",
    "{zx}\nshr.4 t0, t2, r2\nflags.{s}/12 t0, t2, r2\n",
    "{sx}\nsar.4 t0, t2, r2\nflags.{s}/13 t0, t2, r2\n",
    "rol.{s} t0, r0, r2\nflags.{s}/14 t0, r0, r2\n",
    "ror.{s} t0, r0, r2\nflags.{s}/15 t0, r0, r2\n",
    "", // what an earlier block left
};

} // namespace

TEST_CASE("codegen: two-operand operations agree with the interpreter", "[codegen][differential]")
{
    Pair pair;
    for (const char* op : {"add", "sub", "and", "or", "xor", "mul", "seteq", "setltu"}) {
        for (const unsigned size : kSizes) {
            for (const char* b : {"r1", "r2", "r0", "#0x1", "#0x80", "#0xffffffff", "#0x0"}) {
                const bool yes_no = std::string_view{op}.starts_with("set");
                const std::string line = fmt::format("{}.{} t0, r0, {}\n", op, size, b);
                pair.check(line + keep("t0", yes_no ? 4 : size));
                if (size == 4) {
                    pair.check(fmt::format("{}.4 r1, r0, {}\n", op, b));
                    pair.check(fmt::format("{0}.4 r0, r0, {1}\n{0}.4 r7, r2, {1}\n", op, b));
                }
            }
        }
    }
}

TEST_CASE("codegen: shifts and rotates agree with the interpreter", "[codegen][differential]")
{
    Pair pair;
    for (const char* count : {"r1", "r2", "r0", "#0x0", "#0x1", "#0x7", "#0x1f", "#0x10"}) {
        for (const char* op : {"shl", "shr", "sar"}) {
            pair.check(fmt::format("{}.4 t0, r0, {}\n", op, count) + keep("t0", 4));
            pair.check(fmt::format("{}.4 r1, r2, {}\n", op, count));
        }
        for (const unsigned size : kSizes) {
            for (const char* op : {"rol", "ror"}) {
                pair.check(fmt::format("{}.{} t0, r0, {}\n", op, size, count) + keep("t0", size));
            }
        }
    }
}

TEST_CASE("codegen: one-operand operations agree with the interpreter", "[codegen][differential]")
{
    Pair pair;
    for (const char* from : {"r0", "r2"}) {
        for (const unsigned size : kSizes) {
            for (const char* op : {"neg", "not"}) {
                pair.check(fmt::format("{}.{} t0, {}\n", op, size, from) + keep("t0", size));
            }
            if (size != 4) {
                for (const char* op : {"zx", "sx"}) {
                    pair.check(fmt::format("{}.{} t0, {}\n", op, size, from) + keep("t0", 4));
                }
            }
        }
        pair.check(fmt::format("bswap.4 t0, {}\n", from) + keep("t0", 4));
        pair.check(fmt::format("gethi.4 t0, {}\n", from) + keep("t0", 1));
        for (const char* put : {"put8l", "put8h", "put16"}) {
            pair.check(fmt::format("{0}.4 r1, {1}\n{0}.4 r7, {1}\n{0}.4 {1}, {1}\n", put, from));
        }
        for (const unsigned size : {2u, 4u}) {
            pair.check(fmt::format("bsf.{} t0, r4\n", size) + keep("t0", size));
            pair.check(fmt::format("bsr.{} t0, r4\n", size) + keep("t0", size));
        }
    }
}

TEST_CASE("codegen: wide products and addresses agree with the interpreter",
          "[codegen][differential]")
{
    Pair pair;
    for (const char* op : {"mulu", "muls"}) {
        for (const char* b : {"r1", "r2", "#0xffffffff"}) {
            pair.check(fmt::format("{}.4 t0, r0, {}, t1\nmov.4 r5, t0\nmov.4 r6, t1\n", op, b));
            pair.check(fmt::format("{}.4 r2, r0, {}, r7\n", op, b));
        }
    }
    for (const unsigned scale : {0u, 1u, 2u, 3u}) {
        for (const char* operands : {"r0, r1", "r2, r1", "-, r1", "r0, -", "r2, r7", "r0, r0"}) {
            pair.check(fmt::format("lea.4/{} t0, {}, 0xfffffff0\nmov.4 r5, t0\n", scale, operands));
            pair.check(fmt::format("lea.2/{} t0, {}, 0x7ff0\nzx.2 r5, t0\n", scale, operands));
        }
    }
}

TEST_CASE("codegen: loads and stores agree with the interpreter", "[codegen][differential]")
{
    Pair pair;
    for (const unsigned size : kSizes) {
        pair.check(fmt::format("ld.{} t0, r3\n", size) + keep("t0", 4));
        pair.check(fmt::format("ld.{}/1 t0, r3\n", size) + keep("t0", 4));
        for (const char* value : {"r0", "r2", "#0xfedcba98"}) {
            pair.check(fmt::format("st.{0} r3, {1}\nld.4 r7, r3\n", size, value));
        }
        pair.check(fmt::format("ld.{0}/2 t0, r3\nadd.{0} t1, t0, r0\nst.{0} r3, t1\n"
                               "flags.{0}/1 t1, r0, -\n",
                               size));
    }
}

TEST_CASE("codegen: flags of each kind agree with the interpreter", "[codegen][differential]")
{
    Pair pair;
    for (const char* maker : kFlagMakers) {
        for (const unsigned size : kSizes) {
            const std::string made = sized(maker, size);
            pair.check(made);
            pair.check(made + "getflags.4 t9\nmov.4 r7, t9\ngetcf.4 t8\nmov.4 r5, t8\n");
            pair.check(made + "xor.4 r1, r1, r0\ngetcf.4 t8\nmov.4 r5, t8\n");
        }
    }
}

TEST_CASE("codegen: conditions on flags of each kind agree with the interpreter",
          "[codegen][differential]")
{
    Pair pair;
    for (const char* maker : kFlagMakers) {
        for (const unsigned size : kSizes) {
            const std::string made = sized(maker, size);
            for (unsigned cond = 0; cond < 16; ++cond) {
                pair.check(made + fmt::format("setcc.4/{} t9\nmov.4 r7, t9\n", cond), 4);
                pair.check(made + fmt::format("select.4/{} r7, r1, r2\nmov.4 r5, r7\n", cond), 4);
                pair.check(made + fmt::format("exitcc.4/{} {:#x}\n", cond, kStart + 0x40), 4);
                pair.check(made + fmt::format("xor.4 r1, r1, r0\nsetcc.4/{} t9\nmov.4 r7, t9\n"
                                              "exitcc.4/{} {:#x}\n",
                                              cond, (cond + 5) % 16, kStart + 0x40),
                           4);
            }
        }
    }
}

TEST_CASE("codegen: flags of earlier blocks are read while every temporary is taken",
          "[codegen][differential]")
{
    // ADC and SBB with a memory operand and a high byte: address, page, operand, source, carry.
    Pair pair;
    for (const char* step : {"add", "sub"}) {
        for (const unsigned size : kSizes) {
            const std::string text =
                fmt::format("lea.4 t4, r3, -, 0x4\nld.{0}/2 t0, t4\ngethi.4 t1, r1\ngetcf.4 t2\n"
                            "{1}.{0} t3, t0, t1\n{1}.{0} t3, t3, t2\nst.{0} t4, t3\n"
                            "flags.{0}/{2} t3, t1, t2\n",
                            size, step, step[0] == 'a' ? 9 : 10);
            for (unsigned round = 0; round < 36; ++round) { // each guess of the record's kind
                pair.check(text, 36);
            }
        }
    }
}

TEST_CASE("codegen: exits on values agree with the interpreter", "[codegen][differential]")
{
    Pair pair;
    for (const unsigned size : kSizes) {
        for (const char* op : {"exitnz", "exitz"}) {
            pair.check(fmt::format("{}.{} r0, {:#x}\n", op, size, kStart + 0x40));
            pair.check(
                fmt::format("sub.{0} t0, r0, r1\nflags.{0}/2 t0, r1, -\n{1}.{0} t0, {2:#x}\n", size,
                            op, kStart + 0x40));
        }
    }
}
