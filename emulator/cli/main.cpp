// The program `emulator`.
#include "base/output.hpp"
#include "base/process.hpp"
#include "emulator/cli/host_guard.hpp"
#include "emulator/cli/options.hpp"
#include "emulator/cli/session.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

int main(int argc, char** argv)
{
    base::secure_process();
    const std::vector<std::string> arguments{argv + 1, argv + argc};
    auto options = emu::cli::parse_options(arguments);
    if (!options) {
        std::fprintf(stderr, "emulator: %s\n", options.error().message.c_str());
        const bool scripted =
            std::find(arguments.begin(), arguments.end(), "--script") != arguments.end();
        return scripted ? 2 : 1;
    }
    if (!options.value().answer.empty()) {
        base::put(stdout, options.value().answer);
        return base::finish_answer("emulator") ? 0 : 1;
    }
    emu::cli::block_signals();
    return emu::cli::run_session(std::move(options).value());
}
