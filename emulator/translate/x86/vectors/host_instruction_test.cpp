// 32-bit, 16-bit and 8-bit register instructions against the host's processor, in both tiers.
#include "emulator/translate/x86/vectors/host_instruction.hpp"

#include "emulator/translate/x86/vectors/guest.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <vector>

using namespace emu;
using namespace emu::x86;

namespace {

constexpr u32 kCf = ir::kCf;
constexpr u32 kPf = ir::kPf;
constexpr u32 kAf = ir::kAf;
constexpr u32 kZf = ir::kZf;
constexpr u32 kSf = ir::kSf;
constexpr u32 kOf = ir::kOf;
constexpr u32 kAll = ir::kArithmeticFlags;

/// Knuth's MMIX generator, with values that are often at the edges.
class Values {
public:
    u32 bits()
    {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<u32>(state_ >> 32);
    }
    u32 operand()
    {
        static constexpr std::array<u32, 12> kEdges{0,      1,           2,           0x7f,
                                                    0x80,   0xff,        0x7fff,      0x8000,
                                                    0xffff, 0x7fff'ffff, 0x8000'0000, 0xffff'ffff};
        const u32 choice = bits();
        return choice % 3 == 0 ? kEdges[(choice >> 8) % kEdges.size()] : bits();
    }

private:
    u64 state_ = 1;
};

/// Opcode bytes; a ModRM with random registers follows if `modrm` says so.
struct Form {
    std::vector<u8> opcode;
    enum class Operand : u8 { none, reg_rm, fixed_reg } operand;
    u8 reg = 0; // the ModRM reg field, for fixed_reg
    unsigned imm_bytes = 0;
    u32 undefined = 0; // flags that the manual leaves open
    bool allows_16 = true;
    bool imm_is_count = false;
};

constexpr auto kNone = Form::Operand::none;
constexpr auto kRegRm = Form::Operand::reg_rm;
constexpr auto kFixed = Form::Operand::fixed_reg;

std::vector<Form> alu_forms()
{
    std::vector<Form> forms;
    for (u8 op = 0; op < 8; ++op) {
        const u32 open = op == 1 || op == 4 || op == 6 ? kAf : 0;
        forms.push_back({{static_cast<u8>(op * 8)}, kRegRm, 0, 0, open});
        forms.push_back({{static_cast<u8>(op * 8 + 1)}, kRegRm, 0, 0, open});
        forms.push_back({{static_cast<u8>(op * 8 + 2)}, kRegRm, 0, 0, open});
        forms.push_back({{static_cast<u8>(op * 8 + 3)}, kRegRm, 0, 0, open});
        forms.push_back({{static_cast<u8>(op * 8 + 4)}, kNone, 0, 1, open});
        forms.push_back({{0x80}, kFixed, op, 1, open});
        forms.push_back({{0x83}, kFixed, op, 1, open});
    }
    for (u8 op = 0; op < 2; ++op) {
        forms.push_back({{0xfe}, kFixed, op});
        forms.push_back({{0xff}, kFixed, op});
    }
    for (u8 op = 2; op < 4; ++op) {
        forms.push_back({{0xf6}, kFixed, op});
        forms.push_back({{0xf7}, kFixed, op});
    }
    for (u8 op = 4; op < 6; ++op) {
        forms.push_back({{0xf6}, kFixed, op, 0, kSf | kZf | kAf | kPf});
        forms.push_back({{0xf7}, kFixed, op, 0, kSf | kZf | kAf | kPf});
    }
    forms.push_back({{0x84}, kRegRm, 0, 0, kAf});
    forms.push_back({{0x85}, kRegRm, 0, 0, kAf});
    forms.push_back({{0x6b}, kRegRm, 0, 1, kSf | kZf | kAf | kPf});
    forms.push_back({{0x0f, 0xaf}, kRegRm, 0, 0, kSf | kZf | kAf | kPf});
    forms.push_back({{0x0f, 0xb0}, kRegRm});
    forms.push_back({{0x0f, 0xb1}, kRegRm});
    forms.push_back({{0x0f, 0xc0}, kRegRm});
    forms.push_back({{0x0f, 0xc1}, kRegRm});
    return forms;
}

std::vector<Form> shift_forms()
{
    std::vector<Form> forms;
    for (u8 op = 0; op < 8; ++op) {
        const u32 open = op < 4 ? 0 : kAf;
        forms.push_back({{0xd0}, kFixed, op, 0, open});
        forms.push_back({{0xd1}, kFixed, op, 0, open});
        // By more than one OF is undefined; narrow operands may lose their carry.
        forms.push_back({{0xc1}, kFixed, op, 1, open | kOf, false, true});
        forms.push_back({{0xd3}, kFixed, op, 0, open | kOf, false});
        forms.push_back({{0xc0}, kFixed, op, 1, open | kOf | (op < 4 ? 0 : kCf), true, true});
        forms.push_back({{0xd2}, kFixed, op, 0, open | kOf | (op < 4 ? 0 : kCf)});
    }
    for (const u8 op : {0xa4, 0xac}) {
        forms.push_back({{0x0f, op}, kRegRm, 0, 1, kOf | kAf, false, true});
        forms.push_back({{0x0f, static_cast<u8>(op + 1)}, kRegRm, 0, 0, kOf | kAf, false});
    }
    return forms;
}

std::vector<Form> other_forms()
{
    std::vector<Form> forms;
    for (u8 cond = 0; cond < 16; ++cond) {
        forms.push_back({{0x0f, static_cast<u8>(0x90 + cond)}, kFixed, 0});
        forms.push_back({{0x0f, static_cast<u8>(0x40 + cond)}, kRegRm});
    }
    for (const u8 op : {0xa3, 0xab, 0xb3, 0xbb}) {
        forms.push_back({{0x0f, op}, kRegRm, 0, 0, kOf | kSf | kAf | kPf});
    }
    for (u8 op = 4; op < 8; ++op) {
        forms.push_back({{0x0f, 0xba}, kFixed, op, 1, kOf | kSf | kAf | kPf});
    }
    forms.push_back({{0x0f, 0xbc}, kRegRm, 0, 0, kOf | kSf | kAf | kPf | kCf});
    forms.push_back({{0x0f, 0xbd}, kRegRm, 0, 0, kOf | kSf | kAf | kPf | kCf});
    for (const u8 op : {0xb6, 0xb7, 0xbe, 0xbf}) {
        forms.push_back({{0x0f, op}, kRegRm});
    }
    for (const u8 op : {0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b}) {
        forms.push_back({{op}, kRegRm});
    }
    for (const u8 op : {0x91, 0x92, 0x93, 0x96, 0x97, 0x98, 0x99, 0xf5, 0xf8, 0xf9}) {
        forms.push_back({{op}, kNone});
    }
    forms.push_back({{0x9e}, kNone}); // SAHF
    forms.push_back({{0x9f}, kNone}); // LAHF
    forms.push_back({{0x0f, 0xc8}, kNone, 0, 0, 0, false});
    forms.push_back({{0x0f, 0xcb}, kNone, 0, 0, 0, false});
    return forms;
}

void run_in_guest(Guest& guest, std::span<const u8> bytes, HostRegisters& registers)
{
    static constexpr std::array<unsigned, 6> kOrder{kEax, kEcx, kEdx, kEbx, kEsi, kEdi};
    State& s = guest.state();
    for (unsigned n = 0; n < kOrder.size(); ++n) {
        s.set_reg32(kOrder[n], registers.gpr[n]);
    }
    s.set_arithmetic_flags(registers.flags);
    guest.step(bytes);
    REQUIRE(s.pc == Guest::kCode + bytes.size());
    for (unsigned n = 0; n < kOrder.size(); ++n) {
        registers.gpr[n] = s.reg32(kOrder[n]);
    }
    registers.flags = s.full_eflags() & kAll;
}

/// A register number that the host stub keeps: not ESP or EBP in wide operands, any in bytes.
u8 pick_register(Values& values, bool bytes)
{
    static constexpr std::array<u8, 6> kWide{0, 1, 2, 3, 6, 7};
    return bytes ? static_cast<u8>(values.bits() % 8) : kWide[values.bits() % kWide.size()];
}

bool has_byte_operands(const Form& form)
{
    const u8 last = form.opcode.back();
    if (form.opcode.size() == 1) {
        return (last & 1) == 0 && last != 0x98 && last != 0x6b;
    }
    return last == 0xb0 || last == 0xc0 || (last & 0xf0) == 0x90;
}

std::vector<u8> make_instruction(const Form& form, Values& values)
{
    std::vector<u8> bytes;
    if (form.allows_16 && values.bits() % 2 == 0) {
        bytes.push_back(0x66);
    }
    bytes.insert(bytes.end(), form.opcode.begin(), form.opcode.end());
    // MOVZX and MOVSX from a byte: a wide destination, so keep both within the wide set's low four.
    const bool mixed =
        form.opcode.size() == 2 && (form.opcode[1] == 0xb6 || form.opcode[1] == 0xbe);
    const bool byte = has_byte_operands(form);
    if (form.operand != kNone) {
        const u8 rm = mixed ? static_cast<u8>(values.bits() % 8) : pick_register(values, byte);
        const u8 reg = form.operand == kFixed ? form.reg : pick_register(values, byte && !mixed);
        bytes.push_back(static_cast<u8>(0xc0 | reg << 3 | rm));
    }
    for (unsigned n = 0; n < form.imm_bytes; ++n) {
        bytes.push_back(static_cast<u8>(values.operand()));
    }
    return bytes;
}

/// A count of 0 or 1 leaves no flag undefined but AF.
void compare_with_host(accel::Tier tier, const std::vector<Form>& forms, unsigned rounds)
{
    HostInstruction host;
    Guest guest{tier};
    Values values;
    for (const Form& form : forms) {
        for (unsigned round = 0; round < rounds; ++round) {
            const std::vector<u8> bytes = make_instruction(form, values);
            HostRegisters want;
            for (u32& reg : want.gpr) {
                reg = values.operand();
            }
            want.flags = values.bits() & kAll;
            const HostRegisters before = want;
            HostRegisters got = want;
            host.run(bytes, want);
            run_in_guest(guest, bytes, got);
            const u32 defined = kAll & ~form.undefined;
            if (want.gpr == got.gpr && (want.flags & defined) == (got.flags & defined)) {
                continue;
            }
            FAIL_CHECK(fmt::format("{:02x}\nbefore {:08x} {:03x}\nhost   {:08x} {:03x}\n"
                                   "guest  {:08x} {:03x}",
                                   fmt::join(bytes, " "), fmt::join(before.gpr, " "), before.flags,
                                   fmt::join(want.gpr, " "), want.flags & defined,
                                   fmt::join(got.gpr, " "), got.flags & defined));
            break;
        }
    }
}

} // namespace

TEST_CASE("x86 instructions: the interpreter does what the host does", "[x86][execute]")
{
    compare_with_host(accel::Tier::interpret, alu_forms(), 200);
    compare_with_host(accel::Tier::interpret, shift_forms(), 200);
    compare_with_host(accel::Tier::interpret, other_forms(), 200);
}

TEST_CASE("x86 instructions: compiled code does what the host does", "[x86][execute]")
{
    compare_with_host(accel::Tier::compile, alu_forms(), 60);
    compare_with_host(accel::Tier::compile, shift_forms(), 60);
    compare_with_host(accel::Tier::compile, other_forms(), 60);
}
