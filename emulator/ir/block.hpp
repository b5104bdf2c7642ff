// A block of IR and the builder that front ends append with.
#pragma once

#include "emulator/ir/flags.hpp"
#include "emulator/ir/op.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace emu::ir {

struct Block {
    std::vector<Inst> insts;
    u32 instruction_count = 0; // guest instructions (`insn` ops)
    Slot temps_used = 0;
};

/// Appends one operation per call. Write one builder call per statement: C++ does not say in which
/// order the arguments of a nested call run.
class Builder {
public:
    explicit Builder(Block& block) : block_{block} {}

    Block& block() { return block_; }

    /// A fresh temporary of this block. Blocks are short; a front end ends the block when
    /// temps_left() runs low.
    Slot temp() { return static_cast<Slot>(kFirstTemp + block_.temps_used++); }
    unsigned temps_left() const { return kTemps - block_.temps_used; }

    Inst& emit(Inst inst)
    {
        block_.insts.push_back(inst);
        return block_.insts.back();
    }

    void insn(u32 pc, u8 length)
    {
        ++block_.instruction_count;
        emit({.op = Op::insn, .aux = length, .imm = pc});
    }
    void binary(Op op, unsigned size, Slot d, Slot a, Slot b)
    {
        emit({.op = op, .size = static_cast<u8>(size), .d = d, .a = a, .b = b});
    }
    void binary_imm(Op op, unsigned size, Slot d, Slot a, u32 imm)
    {
        emit({.op = op, .size = static_cast<u8>(size), .d = d, .a = a, .b = kImm, .imm = imm});
    }
    void unary(Op op, unsigned size, Slot d, Slot a)
    {
        emit({.op = op, .size = static_cast<u8>(size), .d = d, .a = a});
    }
    void mov(unsigned size, Slot d, Slot from)
    {
        emit({.op = Op::mov, .size = static_cast<u8>(size), .d = d, .b = from});
    }
    void mov_imm(unsigned size, Slot d, u32 imm)
    {
        emit({.op = Op::mov, .size = static_cast<u8>(size), .d = d, .b = kImm, .imm = imm});
    }
    void flags(FlagKind kind, unsigned size, Slot result, Slot source = kNone, Slot extra = kNone)
    {
        emit({.op = Op::flags,
              .size = static_cast<u8>(size),
              .aux = static_cast<u8>(kind),
              .a = result,
              .b = source,
              .c = extra});
    }
    /// The source is an immediate.
    void flags_imm(FlagKind kind, unsigned size, Slot result, u32 source, Slot extra = kNone)
    {
        emit({.op = Op::flags,
              .size = static_cast<u8>(size),
              .aux = static_cast<u8>(kind),
              .a = result,
              .b = kImm,
              .c = extra,
              .imm = source});
    }

private:
    Block& block_;
};

/// One line per operation: "add.4 t0, r0, r3". Tests compare this text.
std::string print(const Block& block);
std::string print(const Inst& inst);

/// Reads what print() writes; an error names the line.
bool parse(std::string_view text, Block& into, std::string& error);

/// The first broken rule, or an empty string: temporaries written before read, sizes that the op
/// allows, operands present exactly where kOps says, the last op ends the block, every op after an
/// `insn`.
std::string verify(const Block& block);

} // namespace emu::ir
