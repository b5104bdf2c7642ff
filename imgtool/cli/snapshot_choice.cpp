#include "imgtool/cli/snapshot_choice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace img::cli {

bool take_snapshot(std::string_view value, SnapshotChoice& choice)
{
    if (!value.starts_with("snapshot.")) {
        choice.either = std::string{value};
        return true;
    }
    bool help = false;
    parse_settings(value, choice.params, help);
    if (value.find('=') == std::string_view::npos) {
        report(fmt::format("warning: short-form boolean option '{}' deprecated", value));
        std::fprintf(stderr, "Please use %s=on instead\n", std::string{value}.c_str());
    }
    for (const auto& [name, text] : choice.params) {
        if (name != "snapshot.id" && name != "snapshot.name") {
            report(fmt::format("Invalid parameter '{}'", name));
            report(fmt::format("Failed in parsing snapshot param '{}'", value));
            return false;
        }
    }
    return true;
}

namespace {

/// Whether `snapshot` has what was asked for after "snapshot.id=" and "snapshot.name=".
bool matches(const SnapshotInfo& snapshot, const CreateSettings& params)
{
    return std::ranges::all_of(params, [&](const auto& param) {
        return (param.first == "snapshot.id" ? snapshot.id : snapshot.name) == param.second;
    });
}

} // namespace

bool view_snapshot(ChainDisk& disk, const SnapshotChoice& choice)
{
    if (!choice.given()) {
        return true;
    }
    const Layer& top = disk.layers().front();
    const auto snapshots = top.image->info().snapshots;
    const std::string either = choice.either.value_or("");
    const auto found = std::ranges::find_if(snapshots, [&](const SnapshotInfo& s) {
        return choice.either ? s.id == either || s.name == either : matches(s, choice.params);
    });
    if (found == snapshots.end() && !snapshots.empty()) {
        report("Failed to load snapshot: Can't find snapshot");
        return false;
    }
    // An image without snapshots is asked all the same, as its format may not have any.
    const bool by_id = found != snapshots.end() && !choice.either;
    if (auto viewed = top.image->view_snapshot(by_id ? found->id : either); !viewed) {
        const bool never = viewed.error().code == base::Errc::unsupported;
        report(fmt::format(
            "Failed to load snapshot: {}",
            never ? fmt::format("Block format '{}' used by device '' does not support temporarily "
                                "loading internal snapshots",
                                top.format)
                  : viewed.error().message));
        return false;
    }
    return true;
}

} // namespace img::cli
