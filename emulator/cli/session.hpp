// One run of the program: everything a command line asks for, put together and taken apart.
#pragma once

#include "emulator/cli/options.hpp"

namespace emu::cli {

/// Returns the exit status: 0, 1 when the run or a script failed, and with a script 2 when nothing
/// was run because the command line or a file was wrong.
int run_session(Options options);

} // namespace emu::cli
