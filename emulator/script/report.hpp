// What a scripted run leaves behind in the folder of --report.
#pragma once

#include "base/result.hpp"
#include "emulator/script/engine.hpp"

#include <string>

namespace emu::script {

struct RunFacts {
    std::string title;
    u64 guest_ns = 0;
    u64 instructions = 0;
    double host_s = 0;
};

/// Makes the folder if absent. Called before the run, so that a bad path is found early.
base::Status prepare_report(const std::string& folder);

/// report.json, report.html, the pictures, end.png, end.txt and the serial logs.
base::Status write_report(const std::string& folder, const Engine& engine, const RunFacts& facts,
                          const std::vector<SerialRecord*>& serial);

} // namespace emu::script
