// Whatever the bytes are, translation ends and its IR keeps the rules.
#include "emulator/cpu/x86/model.hpp"
#include "emulator/cpu/x86/system.hpp"
#include "emulator/translate/x86/opcode_row.hpp"
#include "emulator/translate/x86/test_code.hpp"

#include <catch2/catch.hpp>

using namespace emu;
using namespace emu::x86;

namespace {

/// A fixed sequence of bytes (Knuth's MMIX generator), the same in every run.
class Bytes {
public:
    explicit Bytes(base::u64 seed) : state_{seed} {}
    base::u8 next()
    {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<base::u8>(state_ >> 56);
    }

private:
    base::u64 state_;
};

constexpr std::array<base::u32, 4> kModes{0, kModeV86 | kModeUser,
                                          kModeProtected | kModeCode32 | kModeStack32 | kFlat32,
                                          kModeProtected | kModeCode32};

} // namespace

TEST_CASE("x86 opcode table: no encoding has two rows", "[x86][decoder]")
{
    CHECK_FALSE(OpcodeTable::instance().has_overlap());
}

TEST_CASE("x86 translate: random bytes give IR that keeps the rules", "[x86][translate]")
{
    Bytes bytes{1};
    TestCode code;
    for (int round = 0; round < 20000; ++round) {
        for (base::u8& byte : code.bytes) {
            byte = bytes.next();
        }
        if (round % 2 == 0) { // half of the time a two-byte opcode
            code.bytes[0] = 0x0f;
        }
        const base::u32 mode = kModes[static_cast<unsigned>(round / 2) % kModes.size()];
        ir::Block block;
        const auto result = translate({.pc = 0x100,
                                       .cs_base = 0x1000,
                                       .cs_limit = (mode & kModeCode32) != 0 ? 0xffff'ffff : 0xffff,
                                       .mode = mode,
                                       .max_instructions = 1 + static_cast<unsigned>(round % 40),
                                       .model = find_model("pentium3")},
                                      code, block);
        REQUIRE(result.result == TranslateResult::ok);
        REQUIRE(ir::verify(block) == "");
        REQUIRE(block.temps_used < ir::kTemps);
        REQUIRE(result.byte_length != 0);
    }
}

TEST_CASE("x86 translate: every opcode with every ModRM keeps the rules", "[x86][translate]")
{
    TestCode code;
    code.bytes.fill(0x90);
    for (unsigned opcode = 0; opcode < 0x200; ++opcode) {
        for (unsigned modrm = 0; modrm < 0x100; ++modrm) {
            const base::u32 mode = kModes[modrm % kModes.size()];
            std::size_t at = 0x100;
            if (opcode >= 0x100) {
                code.bytes[at++] = 0x0f;
            }
            code.bytes[at++] = static_cast<base::u8>(opcode);
            code.bytes[at++] = static_cast<base::u8>(modrm);
            ir::Block block;
            translate({.pc = 0x100,
                       .cs_base = 0,
                       .cs_limit = 0xffff,
                       .mode = mode,
                       .max_instructions = 2,
                       .model = find_model("pentium3")},
                      code, block);
            INFO(std::hex << opcode << ' ' << modrm << '\n' << ir::print(block));
            REQUIRE(ir::verify(block) == "");
        }
    }
}
