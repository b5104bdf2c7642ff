#pragma once

#include <string_view>

namespace img::cli {

void print_version();

/// The help page with all commands.
void print_help();

/// That of one command.
void print_command_help(std::string_view name);

} // namespace img::cli
