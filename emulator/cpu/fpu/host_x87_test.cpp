// Whole instructions on random register files, ours against the host's: registers, tags, TOP, every
// status bit, and memory.
#include "base/endian.hpp"
#include "emulator/cpu/fpu/host_x87.hpp"
#include "emulator/cpu/fpu/sample_values.hpp"
#include "emulator/cpu/fpu/x87.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <string>

using namespace emu::fpu;

namespace {

using Memory = std::array<u8, 16>;
using Model = std::function<void(X87State&, Memory&)>;

X87State state_of(const host::RegisterFile& registers)
{
    X87State s;
    set_control_word(s, registers.control);
    set_status_word(s, registers.status);
    set_tag_word(s, registers.tag_word);
    for (unsigned i = 0; i < 8; ++i) {
        st(s, i) = registers.st[i];
    }
    return s;
}

F80 some_value(sample::Random& random)
{
    static const std::vector<F80> corners = sample::corner_values();
    return random.below(3) == 0 ? corners[random.below(corners.size())]
                                : sample::random_value(random);
}

/// No exception is pending: the host would trap before the instruction under test.
host::RegisterFile random_registers(sample::Random& random)
{
    host::RegisterFile registers;
    const u16 masks = random.below(2) == 0 ? 0x3f : static_cast<u16>(random.below(64));
    const std::vector<u16> controls = sample::control_words(masks);
    registers.control = controls[random.below(controls.size())];
    registers.status =
        static_cast<u16>(random.next() & (0x7f00 | sw::sf | (masks & random.next())));
    const u64 emptiness = random.below(4);
    for (unsigned i = 0; i < 8; ++i) {
        const bool is_full = emptiness == 0 || (emptiness == 1 && random.below(2) == 0) ||
                             (emptiness > 1 && i != ((registers.status >> 11) - 1u) % 8);
        if (is_full) {
            registers.tag_word &= static_cast<u16>(~(3u << (2 * i)));
        }
        registers.st[i] = some_value(random);
    }
    return registers;
}

Memory random_memory(sample::Random& random)
{
    Memory memory{};
    const std::span<u8> bytes{memory};
    const F80 value = some_value(random);
    store_le<u64>(bytes, 0, value.significand);
    store_le<u16>(bytes, 8, value.sign_exponent);
    if (random.below(2) == 0) { // as a float or double: some exponents worth having
        constexpr u32 kWords[] = {0,          0x80000000, 1,          0x807fffff, 0x00800000,
                                  0x3f800000, 0x7f800000, 0xff800001, 0x7fc00000, 0x7ff00000,
                                  0x000fffff, 0x00100000, 0x7ff80000, 0xfff00000};
        store_le<u32>(bytes, random.below(2) * 4, kWords[random.below(std::size(kWords))]);
    }
    return memory;
}

std::string describe(const X87State& s, const Memory& memory)
{
    char text[80];
    std::snprintf(text, sizeof text, "cw %04x sw %04x tw %04x\n", s.control, status_word(s),
                  tag_word(s));
    std::string description = text;
    for (unsigned i = 0; i < 8; ++i) {
        std::snprintf(text, sizeof text, " %04x:%016llx", st(s, i).sign_exponent,
                      static_cast<unsigned long long>(st(s, i).significand));
        description += text;
    }
    description += "\n memory";
    for (u8 byte : memory) {
        std::snprintf(text, sizeof text, " %02x", byte);
        description += text;
    }
    return description + "\n";
}

using Predicate = bool (*)(const X87State& before);

/// Status bits that `ignored` names are left out (the SDM calls some condition codes undefined),
/// and so are operands for which host CPUs differ from each other.
void check(std::initializer_list<u8> bytes, const Model& model, u16 ignored = 0,
           Predicate hosts_differ = nullptr)
{
    if (!host::kHasHostX87) {
        return;
    }
    const host::Instruction instruction{bytes};
    sample::Random random{bytes.begin()[0] * u64{256} + bytes.begin()[1]};
    unsigned differences = 0;
    for (unsigned i = 0; i < 8000; ++i) {
        const host::RegisterFile before = random_registers(random);
        const Memory memory = random_memory(random);
        if (hosts_differ != nullptr && hosts_differ(state_of(before))) {
            continue;
        }
        Memory host_memory = memory;
        Memory our_memory = memory;
        X87State ours = state_of(before);

        X87State host = state_of(instruction.run(before, host_memory.data()).registers);
        model(ours, our_memory);

        host.status &= static_cast<u16>(~ignored);
        ours.status &= static_cast<u16>(~ignored);
        if (host == ours && host_memory == our_memory) {
            continue;
        }
        if (++differences <= 3) {
            UNSCOPED_INFO("before " << describe(state_of(before), memory) << "host "
                                    << describe(host, host_memory) << "ours "
                                    << describe(ours, our_memory));
        }
    }
    INFO("first byte " << std::hex << unsigned{bytes.begin()[0]} << " second "
                       << unsigned{bytes.begin()[1]});
    CHECK(differences == 0);
}

/// A denormal scaled by zero is as tiny as before. With underflow unmasked, AMD's CPUs signal that
/// (so do ours) and Intel's do not.
bool scales_denormal_by_zero(const X87State& before)
{
    return classify(st(before, 0)) == F80Class::denormal &&
           classify(st(before, 1)) == F80Class::zero && (before.control & sw::ue) == 0;
}

Model plain(PlainOperation f)
{
    return [f](X87State& s, Memory&) { f(s); };
}

Model with(RegisterOperation f, unsigned i)
{
    return [f, i](X87State& s, Memory&) { f(s, i); };
}

u32 load_u32(const Memory& memory)
{
    return load_le<u32>(memory, 0);
}

u64 load_u64(const Memory& memory)
{
    return load_le<u64>(memory, 0);
}

template <class T>
void write(Memory& memory, T value)
{
    store_le<std::make_unsigned_t<T>>(memory, 0, static_cast<std::make_unsigned_t<T>>(value));
}

void write(Memory& memory, F80 value)
{
    write(memory, value.significand);
    store_le<u16>(memory, 8, value.sign_exponent);
}

void write(Memory& memory, PackedBcd value)
{
    write(memory, value.digits_0_to_15);
    store_le<u16>(memory, 8, value.digits_16_17_and_sign);
}

template <class T>
Model store(Store<T> (*prepare)(const X87State&), unsigned pops)
{
    return [prepare, pops](X87State& s, Memory& memory) {
        const Store<T> store = prepare(s);
        if (store.status.allowed) {
            write(memory, store.value);
        }
        commit_store(s, store.status, pops);
    };
}

constexpr u8 modrm_register(unsigned reg, unsigned i)
{
    return static_cast<u8>(0xc0 + 8 * reg + i);
}

/// [RDI]
constexpr u8 modrm_memory(unsigned reg)
{
    return static_cast<u8>(8 * reg + 7);
}

} // namespace

TEST_CASE("x87: D8 with a register does what the host does")
{
    for (unsigned reg = 0; reg < 8; ++reg) {
        for (unsigned i : {0u, 1u, 5u}) {
            INFO("D8 /" << reg << " i " << i);
            check({0xd8, modrm_register(reg, i)}, with(kArithSt0Sti[reg], i));
        }
    }
}

TEST_CASE("x87: DC with a register does what the host does")
{
    for (unsigned reg = 0; reg < 8; ++reg) {
        for (unsigned i : {0u, 1u, 5u}) {
            INFO("DC /" << reg << " i " << i);
            check({0xdc, modrm_register(reg, i)}, with(kArithStiSt0[reg], i));
        }
    }
}

TEST_CASE("x87: DE with a register does what the host does")
{
    for (unsigned reg = 0; reg < 8; ++reg) {
        const unsigned i = reg == 3 ? 1 : reg;
        INFO("DE /" << reg << " i " << i);
        check({0xde, modrm_register(reg, i)}, with(kArithStiSt0Pop[reg], i));
    }
}

TEST_CASE("x87: arithmetic with memory operands does what the host does")
{
    for (unsigned reg = 0; reg < 8; ++reg) {
        INFO("reg field " << reg);
        check({0xd8, modrm_memory(reg)},
              [reg](X87State& s, Memory& m) { kArithF32[reg](s, load_u32(m)); });
        check({0xdc, modrm_memory(reg)},
              [reg](X87State& s, Memory& m) { kArithF64[reg](s, load_u64(m)); });
        check({0xda, modrm_memory(reg)}, [reg](X87State& s, Memory& m) {
            kArithInteger[reg](s, static_cast<i32>(load_u32(m)));
        });
        check({0xde, modrm_memory(reg)}, [reg](X87State& s, Memory& m) {
            kArithInteger[reg](s, static_cast<i16>(load_le<u16>(m, 0)));
        });
    }
}

TEST_CASE("x87: comparisons do what the host does")
{
    check({0xde, 0xd9}, plain(fcompp));
    check({0xdd, 0xe3}, with(fucom, 3));
    check({0xdd, 0xea}, with(fucomp, 2));
    check({0xda, 0xe9}, plain(fucompp));
    check({0xd9, 0xe4}, plain(ftst));
    check({0xd9, 0xe5}, plain(fxam));
}

TEST_CASE("x87: loads do what the host does")
{
    for (unsigned i = 0; i < 8; ++i) {
        check({0xd9, modrm_register(0, i)}, with(fld_sti, i));
    }
    check({0xd9, modrm_memory(0)}, [](X87State& s, Memory& m) { fld_f32(s, load_u32(m)); });
    check({0xdd, modrm_memory(0)}, [](X87State& s, Memory& m) { fld_f64(s, load_u64(m)); });
    check({0xdb, modrm_memory(5)}, [](X87State& s, Memory& m) {
        fld_f80(s, {load_u64(m), load_le<u16>(m, 8)});
    });
    check({0xdf, modrm_memory(0)},
          [](X87State& s, Memory& m) { fild(s, static_cast<i16>(load_le<u16>(m, 0))); });
    check({0xdb, modrm_memory(0)},
          [](X87State& s, Memory& m) { fild(s, static_cast<i32>(load_u32(m))); });
    check({0xdf, modrm_memory(5)},
          [](X87State& s, Memory& m) { fild(s, static_cast<i64>(load_u64(m))); });
}

TEST_CASE("x87: FBLD does what the host does with decimal digits")
{
    const auto keep_digits = [](Memory& m) {
        for (u8& byte : m) {
            byte = static_cast<u8>((byte & 0x77) | (&byte == &m[9] ? byte & 0x80 : 0));
        }
    };
    if (!host::kHasHostX87) {
        return;
    }
    const host::Instruction fbld{0xdf, modrm_memory(4)};
    sample::Random random{4};
    for (int i = 0; i < 1000; ++i) {
        Memory memory{};
        for (u8& byte : memory) {
            byte = static_cast<u8>(random.next());
        }
        keep_digits(memory);
        host::RegisterFile before;
        X87State ours = state_of(before);
        const X87State host = state_of(fbld.run(before, memory.data()).registers);

        emu::fpu::fbld(ours, {load_u64(memory), load_le<u16>(memory, 8)});

        REQUIRE(host == ours);
    }
}

TEST_CASE("x87: constants are rounded as the host rounds them")
{
    for (unsigned i = 0; i < 7; ++i) {
        INFO("constant " << i);
        check({0xd9, modrm_register(5, i)}, with(fld_constant, i));
    }
}

TEST_CASE("x87: floating-point stores do what the host does")
{
    check({0xd9, modrm_memory(2)}, store(prepare_store_f32, 0));
    check({0xd9, modrm_memory(3)}, store(prepare_store_f32, 1));
    check({0xdd, modrm_memory(2)}, store(prepare_store_f64, 0));
    check({0xdd, modrm_memory(3)}, store(prepare_store_f64, 1));
    check({0xdb, modrm_memory(7)}, store(prepare_store_f80, 1));
    check({0xdd, modrm_register(2, 3)}, with(fst_sti, 3));
    check({0xdd, modrm_register(3, 3)}, with(fstp_sti, 3));
    check({0xdd, modrm_register(3, 0)}, with(fstp_sti, 0));
}

TEST_CASE("x87: integer stores do what the host does")
{
    check({0xdf, modrm_memory(2)}, store(prepare_store_i16, 0));
    check({0xdf, modrm_memory(3)}, store(prepare_store_i16, 1));
    check({0xdb, modrm_memory(2)}, store(prepare_store_i32, 0));
    check({0xdb, modrm_memory(3)}, store(prepare_store_i32, 1));
    check({0xdf, modrm_memory(7)}, store(prepare_store_i64, 1));
    check({0xdf, modrm_memory(6)}, store(prepare_store_bcd, 1));
}

TEST_CASE("x87: FXCH, FCHS, FABS and the stack instructions do what the host does")
{
    for (unsigned i = 0; i < 8; ++i) {
        check({0xd9, modrm_register(1, i)}, with(fxch, i));
        check({0xdd, modrm_register(0, i)}, with(ffree, i));
    }
    check({0xd9, 0xe0}, plain(fchs));
    check({0xd9, 0xe1}, plain(emu::fpu::fabs));
    check({0xd9, 0xf6}, plain(fdecstp));
    check({0xd9, 0xf7}, plain(fincstp));
    check({0xdb, 0xe3}, plain(fninit));
    check({0xdb, 0xe2}, plain(fnclex));
    check({0xdf, modrm_register(0, 2)}, with(ffreep, 2));
}

TEST_CASE("x87: FSQRT, FRNDINT, FSCALE, FPREM, FPREM1 and FXTRACT do what the host does")
{
    check({0xd9, 0xfa}, plain(fsqrt));
    check({0xd9, 0xfc}, plain(frndint));
    check({0xd9, 0xfd}, plain(fscale), 0, scales_denormal_by_zero);
    check({0xd9, 0xf8}, plain(fprem));
    check({0xd9, 0xf5}, plain(fprem1));
    check({0xd9, 0xf4}, plain(fxtract));
}

TEST_CASE("x87: FCMOV does what the host does")
{
    const auto move = [](bool condition) {
        return [condition](X87State& s, Memory&) { fcmov(s, 3, condition); };
    };

    check({0xf9, 0xda, modrm_register(0, 3)}, move(true));  // STC; FCMOVB
    check({0xf8, 0xda, modrm_register(0, 3)}, move(false)); // CLC; FCMOVB
}

TEST_CASE("x87: FCOMI and FUCOMI set EFLAGS as the host does")
{
    struct Row {
        u8 opcode;
        u8 modrm;
        u32 (*model)(X87State&, unsigned);
    };
    constexpr Row kRows[] = {{0xdb, modrm_register(6, 2), fcomi},
                             {0xdf, modrm_register(6, 2), fcomip},
                             {0xdb, modrm_register(5, 2), fucomi},
                             {0xdf, modrm_register(5, 2), fucomip}};
    constexpr u32 kFlags = eflags::zf | eflags::pf | eflags::cf;
    if (!host::kHasHostX87) {
        return;
    }
    for (const Row& row : kRows) {
        const host::Instruction instruction{row.opcode, row.modrm};
        sample::Random random{row.modrm};
        unsigned differences = 0;
        for (int i = 0; i < 20000; ++i) {
            const host::RegisterFile before = random_registers(random);
            X87State ours = state_of(before);
            const host::Outcome host = instruction.run(before);
            X87State expected = state_of(host.registers);
            expected.status &= static_cast<u16>(~sw::c1); // SDM: set to 0; AMD's leave it

            const u32 flags = row.model(ours, 2);

            differences += flags != (host.eflags & kFlags) || ours != expected;
        }
        INFO(std::hex << unsigned{row.opcode} << ' ' << unsigned{row.modrm});
        CHECK(differences == 0);
    }
}
