// Code bytes for tests of the front end: one page that is mapped everywhere.
#pragma once

#include "emulator/translate/x86/translator.hpp"

#include <algorithm>
#include <initializer_list>
#include <string>

namespace emu::x86 {

inline constexpr u32 kFlat32 = kModeFlatEs | kModeFlatSs | kModeFlatDs | kModeFlatCs |
                               kModeNoBaseOrLimitFs | kModeNoBaseOrLimitGs;

class TestCode : public CodeSource {
public:
    TestCode() = default;
    explicit TestCode(std::initializer_list<u8> start) { std::ranges::copy(start, bytes.begin()); }

    const u8* page(u32) override { return bytes.data(); }

    std::array<u8, 4096> bytes{};
};

/// The IR of one instruction at 0 in a flat 32-bit segment (or another mode), without the `insn`
/// and the exit to the next instruction.
std::string translate_one(std::initializer_list<u8> bytes,
                          u32 mode = kModeProtected | kModeCode32 | kModeStack32 | kFlat32);

/// As the translator's words: its length, 0 if it faults.
unsigned length_of(std::initializer_list<u8> bytes, bool code32);

} // namespace emu::x86
