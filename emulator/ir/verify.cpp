// What verify() checks of a block:
// - it is not empty, begins with `insn`, and its last operation, and only that one, ends it;
// - operands are present exactly where kOps says (`lea` may lack one of a and b, `flags` and `call`
//   any of theirs, `call` its result);
// - a temporary is written before it is read;
// - a result of 1 or 2 bytes does not go straight to a register;
// - side exits stand in the last guest instruction, so that counting stays exact.
#include "emulator/ir/block.hpp"

#include <bitset>
#include <fmt/format.h>

namespace emu::ir {

namespace {

constexpr bool valid_size(u8 size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

bool may_be_absent(const Inst& inst, Operand which)
{
    switch (inst.op) {
    case Op::lea:
        return which == kA || which == kB;
    case Op::flags:
        return which != kA;
    case Op::call:
        return true;
    default:
        return false;
    }
}

bool may_be_immediate(const Inst& inst, Operand which)
{
    // An operation whose imm means something else has no room for an immediate operand.
    return which == kB && (info(inst.op).operands & kImmediate) == 0;
}

/// Ops whose narrow result is complete: extended to 32 bits, or merged into the old value.
bool result_is_full(Op op)
{
    switch (op) {
    case Op::zx:
    case Op::sx:
    case Op::gethi:
    case Op::put8l:
    case Op::put8h:
    case Op::put16:
    case Op::lea:
    case Op::ld:
    case Op::ldstate:
    case Op::call:
    case Op::seteq:
    case Op::setltu:
    case Op::setcc:
        return true;
    default:
        return false;
    }
}

class Verifier {
public:
    explicit Verifier(const Block& block) : block_{block} {}

    std::string run()
    {
        if (block_.insts.empty()) {
            return "empty block";
        }
        for (std::size_t i = 0; i < block_.insts.size(); ++i) {
            const Inst& inst = block_.insts[i];
            std::string problem = check(inst, i);
            if (!problem.empty()) {
                return fmt::format("op {} '{}': {}", i, print(inst), problem);
            }
        }
        return {};
    }

private:
    std::string check(const Inst& inst, std::size_t index)
    {
        const OpInfo& op = info(inst.op);
        const bool last = index + 1 == block_.insts.size();
        if (index == 0 && inst.op != Op::insn) {
            return "a block begins with insn";
        }
        if (((op.effects & kEndsBlock) != 0) != last) {
            return last ? "the last operation does not end the block" : "operations after the end";
        }
        if (!valid_size(inst.size)) {
            return "size";
        }
        seen_insns_ += inst.op == Op::insn ? 1 : 0;
        // A poll gives back the budget of what is left; the other exits do not.
        if ((op.effects & kSideExit) != 0 && inst.op != Op::poll &&
            seen_insns_ != block_.instruction_count) {
            return "a side exit before the last instruction";
        }
        std::string problem = check_inputs(inst, op.operands);
        return problem.empty() ? check_outputs(inst, op.operands) : problem;
    }

    std::string check_inputs(const Inst& inst, u8 operands)
    {
        const bool c_is_input = (operands & kCIsOutput) == 0;
        const std::array inputs{
            std::pair{kA, inst.a}, std::pair{kB, inst.b},
            std::pair{c_is_input ? kC : kCIsOutput, c_is_input ? inst.c : kNone},
            std::pair{kDisInput, inst.d}};
        for (const auto& [which, slot] : inputs) {
            if ((operands & which) == 0 || which == kCIsOutput) {
                continue;
            }
            if (slot == kNone) {
                if (!may_be_absent(inst, which)) {
                    return "an operand is missing";
                }
            } else if (slot == kImm) {
                if (!may_be_immediate(inst, which)) {
                    return "no immediate is allowed here";
                }
            } else if (slot >= kSlots) {
                return "no such slot";
            } else if (slot >= kFirstTemp && !written_[slot]) {
                return fmt::format("t{} is read before it is written", slot - kFirstTemp);
            }
        }
        return {};
    }

    std::string check_outputs(const Inst& inst, u8 operands)
    {
        const auto output = [&](Slot slot, bool required) -> std::string {
            if (slot == kNone && !required) {
                return {};
            }
            if (slot >= kSlots) {
                return "no such destination";
            }
            if (slot < kRegisters && inst.size < 4 && !result_is_full(inst.op)) {
                return "a narrow result goes to a register";
            }
            written_[slot] = true;
            return {};
        };
        std::string problem;
        if ((operands & kD) != 0) {
            problem = output(inst.d, inst.op != Op::call);
        }
        if (problem.empty() && (operands & kCIsOutput) != 0) {
            problem = output(inst.c, true);
        }
        return problem;
    }

    const Block& block_;
    std::bitset<kSlots> written_;
    u32 seen_insns_ = 0;
};

} // namespace

std::string verify(const Block& block)
{
    return Verifier{block}.run();
}

} // namespace emu::ir
