// The table of options, cut by subject; each part lies in the file that understands it.
#pragma once

#include "emulator/cli/options.hpp"

#include <span>

namespace emu::cli {

struct OptionRow {
    std::string_view name; // with its dashes
    bool takes_value;
    base::Status (*apply)(Options& options, const std::string& value);
    std::string_view parameters; // for the help
    std::string_view help;       // empty: another name of the row above
    bool value_may_lack = false; // the next word is no value when it is an option
};

std::span<const OptionRow> machine_options();
std::span<const OptionRow> drive_options();
std::span<const OptionRow> host_options();
std::span<const OptionRow> run_options();

/// Options of QEMU's that are known and not implemented: refused by name.
struct RefusedOption {
    std::string_view name;
    std::string_view why;
};
std::span<const RefusedOption> refused_options();

} // namespace emu::cli
