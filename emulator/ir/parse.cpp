#include "emulator/ir/block.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <optional>

namespace emu::ir {

namespace {

/// Splits off the next word; commas and blanks separate words.
std::string_view next_word(std::string_view& line)
{
    const auto start = line.find_first_not_of(" ,\t");
    if (start == std::string_view::npos) {
        line = {};
        return {};
    }
    line.remove_prefix(start);
    const auto end = std::min(line.find_first_of(" ,\t"), line.size());
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(end);
    return word;
}

std::optional<u32> number(std::string_view text)
{
    int base = 10;
    if (text.starts_with("0x")) {
        text.remove_prefix(2);
        base = 16;
    }
    u32 value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

bool parse_slot(std::string_view word, Slot& slot, Inst& inst)
{
    if (word == "-") {
        slot = kNone;
        return true;
    }
    if (word.size() < 2) {
        return false;
    }
    const auto value = number(word.substr(1));
    if (!value) {
        return false;
    }
    if (word[0] == '#') {
        slot = kImm;
        inst.imm = *value;
        return true;
    }
    const Slot first = word[0] == 't' ? kFirstTemp : Slot{0};
    const u32 limit = word[0] == 't' ? kTemps : kRegisters;
    slot = static_cast<Slot>(first + *value);
    return (word[0] == 't' || word[0] == 'r') && *value < limit;
}

bool parse_name(std::string_view word, Inst& inst)
{
    const auto slash = word.find('/');
    if (slash != std::string_view::npos) {
        const auto aux = number(word.substr(slash + 1));
        if (!aux || *aux > 0xff) {
            return false;
        }
        inst.aux = static_cast<u8>(*aux);
        word = word.substr(0, slash);
    }
    const auto dot = word.find('.');
    const auto size = dot == std::string_view::npos ? std::nullopt : number(word.substr(dot + 1));
    const auto row = std::ranges::find(kOps, word.substr(0, dot), &OpInfo::name);
    if (!size || *size > 8 || row == kOps.end()) {
        return false;
    }
    inst.op = row->op;
    inst.size = static_cast<u8>(*size);
    return true;
}

bool parse_line(std::string_view line, Inst& inst)
{
    if (!parse_name(next_word(line), inst)) {
        return false;
    }
    const u8 operands = info(inst.op).operands;
    const auto operand = [&](Operand which, Slot& slot) {
        return (operands & which) == 0 || parse_slot(next_word(line), slot, inst);
    };
    if (!operand(kD, inst.d) || !operand(kA, inst.a) || !operand(kB, inst.b) ||
        !operand(kC, inst.c)) {
        return false;
    }
    if ((operands & kImmediate) != 0) {
        const auto value = number(next_word(line));
        if (!value) {
            return false;
        }
        inst.imm = *value;
    }
    return next_word(line).empty();
}

} // namespace

bool parse(std::string_view text, Block& into, std::string& error)
{
    unsigned number_of_line = 0;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        ++number_of_line;
        line = line.substr(0, std::min(line.find(';'), line.size()));
        if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
            continue;
        }
        Inst inst;
        if (!parse_line(line, inst)) {
            error = fmt::format("line {}: not an operation: '{}'", number_of_line, line);
            return false;
        }
        into.instruction_count += inst.op == Op::insn ? 1 : 0;
        for (const Slot slot : {inst.d, inst.a, inst.b, inst.c}) {
            if (slot >= kFirstTemp && slot < kSlots) {
                into.temps_used =
                    std::max(into.temps_used, static_cast<Slot>(slot - kFirstTemp + 1));
            }
        }
        into.insts.push_back(inst);
    }
    return true;
}

} // namespace emu::ir
