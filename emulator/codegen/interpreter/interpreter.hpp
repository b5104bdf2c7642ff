// Tier 0: runs a block of IR op by op. The oracle of the code generators' tests, and the way cold
// code, single steps, device accesses and self-modifying code run.
#pragma once

#include "emulator/codegen/runtime.hpp"
#include "emulator/ir/block.hpp"

namespace emu::codegen {

enum class BlockEnd : u8 {
    next,  // the program counter is in state.pc, all instructions are complete
    left,  // a fault or a helper left the block; state.pending tells how far it came
    alone, // left before an instruction that must run in a block of its own (Outcome::interpret)
};

/// `state.budget` must have been reduced by the block's instruction count.
BlockEnd interpret(const ir::Block& block, bool user, ir::ExecState& state, const Runtime& runtime);

} // namespace emu::codegen
