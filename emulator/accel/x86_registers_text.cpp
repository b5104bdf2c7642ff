#include "emulator/accel/x86_registers_text.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace emu::accel {

namespace {

using base::u16;
using base::u32;
using base::u64;
using base::u8;

constexpr std::array<const char*, x86::kSegments> kSegmentNames{"ES", "CS", "SS", "DS", "FS", "GS"};

std::string segment_line(const char* name, const x86::Segment& s)
{
    return fmt::format("{:3}={:04x} {:08x} {:08x} type={:02x} dpl={}{}{}\n", name, s.selector,
                       s.base, s.limit, s.type, s.dpl, s.present ? " P" : "", s.big ? " B" : "");
}

/// The stack registers by their place in the register file; FTW has a bit for each that holds
/// something, as in FXSAVE's image.
std::string x87_text(const fpu::X87State& x87)
{
    std::string text = fmt::format("FCW={:04x} FSW={:04x} [ST={}] FTW={:02x}\n", x87.control,
                                   fpu::status_word(x87), x87.top, static_cast<u8>(~x87.empty));
    for (unsigned n = 0; n < x87.regs.size(); ++n) {
        text += fmt::format("FPR{}={:016x} {:04x}{}", n, x87.regs[n].significand,
                            x87.regs[n].sign_exponent, n % 2 == 0 ? " " : "\n");
    }
    return text;
}

/// A register of the State that is found under a plain name.
struct Named {
    std::string_view name;
    u64 (*value)(const x86::State& state);
};

template <unsigned number, unsigned shift, u32 mask>
u64 general(const x86::State& state)
{
    return state.reg32(number) >> shift & mask;
}

constexpr std::array kNamed{
    Named{"eax", general<x86::kEax, 0, 0xffff'ffff>},
    Named{"ecx", general<x86::kEcx, 0, 0xffff'ffff>},
    Named{"edx", general<x86::kEdx, 0, 0xffff'ffff>},
    Named{"ebx", general<x86::kEbx, 0, 0xffff'ffff>},
    Named{"esp", general<x86::kEsp, 0, 0xffff'ffff>},
    Named{"ebp", general<x86::kEbp, 0, 0xffff'ffff>},
    Named{"esi", general<x86::kEsi, 0, 0xffff'ffff>},
    Named{"edi", general<x86::kEdi, 0, 0xffff'ffff>},
    Named{"ax", general<x86::kEax, 0, 0xffff>},
    Named{"cx", general<x86::kEcx, 0, 0xffff>},
    Named{"dx", general<x86::kEdx, 0, 0xffff>},
    Named{"bx", general<x86::kEbx, 0, 0xffff>},
    Named{"sp", general<x86::kEsp, 0, 0xffff>},
    Named{"bp", general<x86::kEbp, 0, 0xffff>},
    Named{"si", general<x86::kEsi, 0, 0xffff>},
    Named{"di", general<x86::kEdi, 0, 0xffff>},
    Named{"al", general<x86::kEax, 0, 0xff>},
    Named{"cl", general<x86::kEcx, 0, 0xff>},
    Named{"dl", general<x86::kEdx, 0, 0xff>},
    Named{"bl", general<x86::kEbx, 0, 0xff>},
    Named{"ah", general<x86::kEax, 8, 0xff>},
    Named{"ch", general<x86::kEcx, 8, 0xff>},
    Named{"dh", general<x86::kEdx, 8, 0xff>},
    Named{"bh", general<x86::kEbx, 8, 0xff>},
    Named{"eip", [](const x86::State& s) { return u64{s.pc}; }},
    Named{"eflags", [](const x86::State& s) { return u64{s.full_eflags()}; }},
    Named{"cr0", [](const x86::State& s) { return u64{s.cr0}; }},
    Named{"cr2", [](const x86::State& s) { return u64{s.cr2}; }},
    Named{"cr3", [](const x86::State& s) { return u64{s.cr3}; }},
    Named{"cr4", [](const x86::State& s) { return u64{s.cr4}; }},
};

std::optional<u64> segment_value(const x86::State& state, std::string_view name)
{
    constexpr std::array<std::string_view, x86::kSegments> kLower{"es", "cs", "ss",
                                                                  "ds", "fs", "gs"};
    const auto at = std::ranges::find(kLower, name.substr(0, 2));
    if (at == kLower.end()) {
        return std::nullopt;
    }
    const x86::Segment& segment = state.seg[static_cast<std::size_t>(at - kLower.begin())];
    const std::string_view part = name.substr(2);
    return part.empty()       ? std::optional<u64>{segment.selector}
           : part == ".base"  ? std::optional<u64>{segment.base}
           : part == ".limit" ? std::optional<u64>{segment.limit}
                              : std::nullopt;
}

} // namespace

std::string x86_registers_text(const x86::State& state, bool a20)
{
    const auto r = [&state](unsigned n) { return state.reg32(n); };
    std::string text =
        fmt::format("EAX={:08x} EBX={:08x} ECX={:08x} EDX={:08x}\nESI={:08x} EDI={:08x} EBP={:08x} "
                    "ESP={:08x}\nEIP={:08x} EFL={:08x} CPL={} HLT={} A20={} SMM={}\n",
                    r(x86::kEax), r(x86::kEbx), r(x86::kEcx), r(x86::kEdx), r(x86::kEsi),
                    r(x86::kEdi), r(x86::kEbp), r(x86::kEsp), state.pc, state.full_eflags(),
                    state.cpl, state.halted ? 1 : 0, a20 ? 1 : 0, state.in_smm ? 1 : 0);
    for (unsigned i = 0; i < x86::kSegments; ++i) {
        text += segment_line(kSegmentNames[i], state.seg[i]);
    }
    text += segment_line("LDT", state.ldtr) + segment_line("TR", state.tr);
    text += fmt::format("GDT= {:08x} {:04x}\nIDT= {:08x} {:04x}\n", state.gdtr.base,
                        state.gdtr.limit, state.idtr.base, state.idtr.limit);
    text += fmt::format("CR0={:08x} CR2={:08x} CR3={:08x} CR4={:08x}\n", state.cr0, state.cr2,
                        state.cr3, state.cr4);
    text += fmt::format("DR0={:08x} DR1={:08x} DR2={:08x} DR3={:08x} DR6={:08x} DR7={:08x}\n",
                        state.dr[0], state.dr[1], state.dr[2], state.dr[3], state.dr6, state.dr7);
    text += x87_text(state.x87);
    text += fmt::format("instructions={}\n", state.retired());
    return text;
}

std::optional<u64> x86_register_value(const x86::State& state, std::string_view name)
{
    const auto named = std::ranges::find(kNamed, name, &Named::name);
    return named == kNamed.end() ? segment_value(state, name) : named->value(state);
}

} // namespace emu::accel
