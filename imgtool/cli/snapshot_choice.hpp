// -l of convert and measure: an internal snapshot as the source.
#pragma once

#include "imgtool/chain/chain.hpp"
#include "imgtool/cli/command.hpp"

#include <optional>
#include <string>

namespace img::cli {

/// An ID or a name, or which of them it is after "snapshot.id=" and "snapshot.name=".
struct SnapshotChoice {
    std::optional<std::string> either = {};
    CreateSettings params = {};

    bool given() const { return either.has_value() || !params.empty(); }
};

/// False when it was reported what is wrong.
bool take_snapshot(std::string_view value, SnapshotChoice& choice);

/// From now on the disk reads as the snapshot does that was chosen, if any. False when it was
/// reported why not.
bool view_snapshot(ChainDisk& disk, const SnapshotChoice& choice);

} // namespace img::cli
