#pragma once

#include <string_view>

namespace img::cli {

void print_version();

/// The help page with all commands.
void print_help();

/// That of one command; false when it prints its own.
bool print_command_help(std::string_view name);

} // namespace img::cli
