// Removes flag records that nothing reads and pure operations whose temporary nothing reads.
#pragma once

#include "emulator/ir/block.hpp"

namespace emu::ir {

/// One backward walk. Flags are live at every exit and wherever the block may fault, so an
/// exception always finds exact flags.
void remove_dead_code(Block& block);

} // namespace emu::ir
