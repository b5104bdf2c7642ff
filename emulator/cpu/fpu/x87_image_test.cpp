#include "base/endian.hpp"
#include "emulator/cpu/fpu/host_x87.hpp"
#include "emulator/cpu/fpu/x87.hpp"
#include "emulator/cpu/fpu/x87_image.hpp"

#include <catch2/catch.hpp>
#include <vector>

using namespace emu::fpu;

namespace {

X87State sample_state()
{
    X87State s;
    fninit(s);
    fld_f80(s, kF80One);             // R7: valid
    fld_f80(s, f80_zero(true));      // R6: zero
    fld_f80(s, f80_infinity(false)); // R5: special
    s.status |= sw::c3 | sw::pe;
    s.opcode = 0x6f9;
    s.instruction_selector = 0x1234;
    s.instruction_offset = 0x89ab;
    s.operand_selector = 0x5678;
    s.operand_offset = 0xcdef;
    return s;
}

std::vector<u8> environment(const X87State& s, ImageFormat format)
{
    std::vector<u8> bytes(environment_size(format));
    store_environment(s, format, bytes);
    return bytes;
}

} // namespace

TEST_CASE("x87 image: the 32-bit protected-mode environment is laid out as in SDM figure 8-9")
{
    CHECK(environment(sample_state(), ImageFormat::protected_32) ==
          std::vector<u8>{0x7f, 0x03, 0xff, 0xff, 0x20, 0x68, 0xff, 0xff, 0xff, 0x1b,
                          0xff, 0xff, 0xab, 0x89, 0x00, 0x00, 0x34, 0x12, 0xf9, 0x06,
                          0xef, 0xcd, 0x00, 0x00, 0x78, 0x56, 0xff, 0xff});
}

TEST_CASE("x87 image: the 16-bit protected-mode environment has offsets and selectors")
{
    CHECK(environment(sample_state(), ImageFormat::protected_16) ==
          std::vector<u8>{0x7f, 0x03, 0x20, 0x68, 0xff, 0x1b, 0xab, 0x89, 0x34, 0x12, 0xef, 0xcd,
                          0x78, 0x56});
}

TEST_CASE("x87 image: the 16-bit real-mode environment has linear addresses and the opcode")
{
    // 0x12340 + 0x89ab = 0x1aceb; 0x56780 + 0xcdef = 0x6356f
    CHECK(environment(sample_state(), ImageFormat::real_16) ==
          std::vector<u8>{0x7f, 0x03, 0x20, 0x68, 0xff, 0x1b, 0xeb, 0xac, 0xf9, 0x16, 0x6f, 0x35,
                          0x00, 0x60});
}

TEST_CASE("x87 image: the 32-bit real-mode environment splits the linear addresses")
{
    CHECK(environment(sample_state(), ImageFormat::real_32) ==
          std::vector<u8>{0x7f, 0x03, 0xff, 0xff, 0x20, 0x68, 0xff, 0xff, 0xff, 0x1b,
                          0xff, 0xff, 0xeb, 0xac, 0xff, 0xff, 0xf9, 0x16, 0x00, 0x00,
                          0x6f, 0x35, 0xff, 0xff, 0x00, 0x60, 0x00, 0x00});
}

TEST_CASE("x87 image: what is saved in protected mode is restored")
{
    for (ImageFormat format : {ImageFormat::protected_16, ImageFormat::protected_32}) {
        X87State s = sample_state();
        s.opcode = format == ImageFormat::protected_16 ? 0 : s.opcode; // has no place there
        std::vector<u8> bytes(save_image_size(format));
        store_save_image(s, format, bytes);

        X87State restored;
        load_save_image(restored, format, bytes);

        CHECK(restored == s);
    }
}

TEST_CASE("x87 image: real-mode images give the same bytes after a round trip")
{
    for (ImageFormat format : {ImageFormat::real_16, ImageFormat::real_32}) {
        std::vector<u8> bytes(save_image_size(format));
        store_save_image(sample_state(), format, bytes);

        X87State restored;
        load_save_image(restored, format, bytes);
        std::vector<u8> again(bytes.size());
        store_save_image(restored, format, again);

        CHECK(again == bytes);
        CHECK(restored.instruction_offset == 0x1aceb);
    }
}

TEST_CASE("x87 image: FXSAVE is restored by FXRSTOR")
{
    const X87State s = sample_state();
    std::vector<u8> bytes(kFxsaveSize, 0xee);
    store_fxsave(s, bytes);

    X87State restored;
    load_fxsave(restored, bytes);

    CHECK(restored == s);
    CHECK(bytes[4] == 0xe0);  // R7, R6 and R5 are in use
    CHECK(bytes[24] == 0xee); // MXCSR is not ours
    CHECK(bytes[160] == 0xee);
}

TEST_CASE("x87 image: FNSAVE and FXSAVE write what the host writes")
{
    if (!host::kHasHostX87) {
        return;
    }
    host::RegisterFile before = host::with_two(kF80One, {1, 0x8000}, 0xc7b);
    before.status |= sw::c1 | sw::pe | sw::sf;
    X87State ours;
    load_save_image(ours, ImageFormat::protected_32, host::make_image(before));
    std::vector<u8> from_host(kFxsaveSize);
    std::vector<u8> from_us(kFxsaveSize);
    const auto same_but_pointers = [&](std::size_t pointers, std::size_t after, std::size_t end) {
        return std::equal(from_host.begin(), from_host.begin() + pointers, from_us.begin()) &&
               std::equal(from_host.begin() + after, from_host.begin() + end,
                          from_us.begin() + after);
    };

    host::Instruction{0xdd, 0x37}.run(before, from_host.data()); // FNSAVE [RDI]
    store_save_image(ours, ImageFormat::protected_32, from_us);
    CHECK(same_but_pointers(12, 28, 108));

    host::Instruction{0x66, 0xdd, 0x37}.run(before, from_host.data());
    store_save_image(ours, ImageFormat::protected_16, from_us);
    CHECK(same_but_pointers(6, 14, 94));

    alignas(16) std::array<u8, kFxsaveSize> aligned{};
    host::Instruction{0x0f, 0xae, 0x07}.run(before, aligned.data()); // FXSAVE [RDI]
    from_host.assign(aligned.begin(), aligned.end());
    store_fxsave(ours, from_us);
    CHECK(same_but_pointers(6, 32, 160));
}

TEST_CASE("x87 image: loading an environment with an unmasked flag makes it pending")
{
    X87State s;
    fninit(s);
    std::vector<u8> bytes = environment(s, ImageFormat::protected_16);
    bytes[0] = 0x7b; // unmask the division by zero
    bytes[2] = 0x04; // and say it happened

    load_environment(s, ImageFormat::protected_16, bytes);

    CHECK(exception_pending(s));
    CHECK(status_word(s) == 0x8084);
}

TEST_CASE("x87 image: FNSTENV masks all exceptions afterwards")
{
    X87State s;
    fninit(s);
    set_control_word(s, 0x37b);
    s.status |= sw::ze;
    set_control_word(s, 0x37b);
    REQUIRE(exception_pending(s));

    fnstenv_finish(s);

    CHECK(s.control == 0x37f);
    CHECK_FALSE(exception_pending(s));
}
