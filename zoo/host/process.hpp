// Runs other programs, without a shell.
#pragma once

#include "base/result.hpp"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace zoo {

struct Command {
    std::vector<std::string> arguments; // the program first; looked up in PATH
    std::vector<std::pair<std::string, std::string>> environment; // added to ours
    std::filesystem::path folder;                                 // empty: ours
};

struct Finished {
    int exit_status = 0; // 128 + n when killed by signal n, as a shell says it
    std::string output;  // of run_captured: standard output and standard error together
};

/// Standard input is /dev/null. Output beyond 16 MiB is dropped.
base::Result<Finished> run_captured(const Command& command);

/// Shares our terminal. An interrupt from the keyboard goes to the program, not to us.
base::Result<Finished> run_in_terminal(const Command& command);

/// The command as it would be typed, quoted for a shell.
std::string quote_command(const std::vector<std::string>& arguments);

/// The folder of the running program.
std::filesystem::path program_folder();

} // namespace zoo
