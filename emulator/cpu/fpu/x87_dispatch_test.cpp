#include "base/endian.hpp"
#include "emulator/cpu/fpu/host_x87.hpp"
#include "emulator/cpu/fpu/x87_dispatch.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace emu::fpu;

namespace {

/// Eight different small numbers, the top one 1.
X87State filled()
{
    X87State s;
    fninit(s);
    for (int value = 8; value > 0; --value) {
        fild(s, value);
    }
    return s;
}

/// The same with two registers free, for instructions that push.
X87State partly_filled()
{
    X87State s = filled();
    pop(s);
    pop(s);
    return s;
}

host::RegisterFile registers_of(const X87State& s)
{
    std::array<u8, 108> image{};
    store_save_image(s, ImageFormat::protected_32, image);
    return host::read_image(image);
}

/// Arithmetic exact in both; transcendental functions may differ in the last place.
bool is_transcendental(unsigned escape, u8 modrm)
{
    constexpr u8 kCodes[] = {0xf0, 0xf1, 0xf2, 0xf3, 0xf9, 0xfb, 0xfe, 0xff};
    return escape == 1 &&
           std::find(std::begin(kCodes), std::end(kCodes), modrm) != std::end(kCodes);
}

bool same(const X87State& a, const host::RegisterFile& b)
{
    const host::RegisterFile ours = registers_of(a);
    return ours.control == b.control && ours.status == b.status && ours.tag_word == b.tag_word &&
           ours.st == b.st;
}

} // namespace

TEST_CASE("x87 dispatch: every register form is the host's instruction")
{
    unsigned defined = 0;
    for (unsigned code = 0; code < 8 * 64 && host::kHasHostX87; ++code) {
        const unsigned escape = code / 64;
        const u8 modrm = static_cast<u8>(0xc0 + code % 64);
        X87State ours = partly_filled();
        const X87State before = ours;
        const RegisterOutcome outcome = execute_register(ours, escape, modrm, 0x202 | eflags::zf);
        if (!outcome.is_defined) {
            CHECK(ours == before);
            continue;
        }
        ++defined;
        if (is_transcendental(escape, modrm)) {
            continue;
        }
        const host::Instruction instruction{static_cast<u8>(0xd8 + escape), modrm};
        const host::Outcome host =
            instruction.run(registers_of(before), nullptr, 0x202 | eflags::zf);
        INFO(std::hex << 0xd8 + escape << ' ' << unsigned{modrm});
        CHECK(same(ours, host.registers));
        if (outcome.writes_eflags) {
            CHECK(outcome.value == (host.eflags & (eflags::zf | eflags::pf | eflags::cf)));
        }
    }
    // D8, DC: 64 each; D9: 25 + 27; DA: 33; DB: 32 + 5 + 16; DD: 48; DE: 57; DF: 32 + 1 + 16
    CHECK(defined == (host::kHasHostX87 ? 64 + 64 + 52 + 33 + 53 + 48 + 57 + 49 : 0));
}

TEST_CASE("x87 dispatch: every memory form is the host's instruction")
{
    if (!host::kHasHostX87) {
        return;
    }
    constexpr ImageFormat kFormat = ImageFormat::protected_32;
    for (unsigned code = 0; code < 64; ++code) {
        const unsigned escape = code / 8;
        const unsigned reg = code % 8;
        const MemoryForm form = memory_form(escape, reg, kFormat);
        const bool is_control = !records_pointers(escape, static_cast<u8>(reg << 3));
        if (form.direction == Direction::undefined || is_control) {
            continue; // images contain host addresses; tested in x87_image_test.cpp
        }
        const X87State before = partly_filled();
        std::array<u8, kLongestOperand> host_memory{};
        store_le<u64>(host_memory, 0, 0x4010'0000'4040'0000); // fits every format
        store_le<u16>(host_memory, 8, 0x0001);
        std::array<u8, kLongestOperand> our_memory = host_memory;
        X87State ours = before;
        const host::Instruction instruction{static_cast<u8>(0xd8 + escape),
                                            static_cast<u8>(8 * reg + 7)};

        const host::Outcome host = instruction.run(registers_of(before), host_memory.data());
        if (form.direction == Direction::load) {
            execute_load(ours, escape, reg, kFormat, std::span{our_memory}.first(form.size));
        } else {
            const StoreStatus status =
                prepare_store(ours, escape, reg, kFormat, std::span{our_memory}.first(form.size));
            finish_store(ours, escape, reg, status);
        }

        INFO(std::hex << 0xd8 + escape << " /" << reg);
        CHECK(same(ours, host.registers));
        CHECK(our_memory == host_memory);
    }
}

TEST_CASE("x87 dispatch: sizes and directions of memory operands")
{
    constexpr ImageFormat kFormat = ImageFormat::real_16;
    CHECK(memory_form(0, 4, kFormat).size == 4);
    CHECK(memory_form(3, 7, kFormat).size == 10);
    CHECK(memory_form(3, 7, kFormat).direction == Direction::store);
    CHECK(memory_form(1, 4, kFormat).size == 14);
    CHECK(memory_form(1, 4, kFormat).direction == Direction::load);
    CHECK(memory_form(5, 6, kFormat).size == 94);
    CHECK(memory_form(5, 6, ImageFormat::protected_32).size == 108);
    CHECK(memory_form(3, 1, kFormat).direction == Direction::undefined); // FISTTP
}

TEST_CASE("x87 dispatch: FNSAVE through the dispatcher saves and initializes")
{
    X87State s = filled();
    const X87State before = s;
    std::array<u8, kLongestOperand> image{};

    const StoreStatus status = prepare_store(s, 5, 6, ImageFormat::protected_32, image);
    CHECK(s == before);
    finish_store(s, 5, 6, status);

    CHECK(tag_word(s) == 0xffff);
    CHECK(s.control == 0x037f);
    execute_load(s, 5, 4, ImageFormat::protected_32, image);
    CHECK(s == before);
}

TEST_CASE("x87 dispatch: non-waiting and control instructions")
{
    CHECK_FALSE(is_waiting(3, 0xe3)); // FNINIT
    CHECK_FALSE(is_waiting(3, 0xe2)); // FNCLEX
    CHECK_FALSE(is_waiting(7, 0xe0)); // FNSTSW AX
    CHECK_FALSE(is_waiting(5, 0x38)); // FNSTSW m16
    CHECK_FALSE(is_waiting(1, 0x38)); // FNSTCW
    CHECK(is_waiting(1, 0x28));       // FLDCW
    CHECK(is_waiting(1, 0xe0));       // FCHS
    CHECK(is_waiting(3, 0x28));       // FLD m80
    CHECK_FALSE(records_pointers(1, 0x28));
    CHECK_FALSE(records_pointers(7, 0xe0));
    CHECK(records_pointers(1, 0x00)); // FLD m32
    CHECK(records_pointers(0, 0xc1)); // FADD
}

TEST_CASE("x87 dispatch: the instructions that came with CMOV")
{
    CHECK(has_conditional_move_class(2, 0xc0));       // FCMOVB
    CHECK(has_conditional_move_class(3, 0xd8));       // FCMOVNU
    CHECK(has_conditional_move_class(3, 0xf0));       // FCOMI
    CHECK(has_conditional_move_class(7, 0xe8));       // FUCOMIP
    CHECK_FALSE(has_conditional_move_class(2, 0xe9)); // FUCOMPP
    CHECK_FALSE(has_conditional_move_class(3, 0xe3)); // FNINIT
    CHECK_FALSE(has_conditional_move_class(3, 0x00)); // FILD m32
    CHECK_FALSE(has_conditional_move_class(7, 0xe0)); // FNSTSW AX
}
