// The program `emulator`.
#include "emulator/cli/host_guard.hpp"
#include "emulator/cli/options.hpp"
#include "emulator/cli/session.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

int main(int argc, char** argv)
{
    const std::vector<std::string> arguments{argv + 1, argv + argc};
    auto options = emu::cli::parse_options(arguments);
    if (!options) {
        std::fprintf(stderr, "emulator: %s\n", options.error().message.c_str());
        const bool scripted =
            std::find(arguments.begin(), arguments.end(), "--script") != arguments.end();
        return scripted ? 2 : 1;
    }
    if (!options.value().answer.empty()) {
        std::fputs(options.value().answer.c_str(), stdout);
        return 0;
    }
    emu::cli::block_signals();
    return emu::cli::run_session(std::move(options).value());
}
