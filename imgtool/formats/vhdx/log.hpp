// The log of a VHDX file: metadata goes there first, so that a change is there as a whole or not at
// all.
//
// Source: MS-VHDX 2.3, "Log". The log is a ring of entries; an entry has descriptors, and behind
// them the 4 KiB sectors that go elsewhere in the file.
#pragma once

#include "imgtool/formats/vhdx/layout.hpp"
#include "imgtool/source/byte_source.hpp"

#include <utility>
#include <vector>

namespace img::vhdx {

inline constexpr u64 kLogSector = 4096; // bytes

/// An entry of the log that is whole.
struct LogEntry {
    u64 sector = 0;   // where it begins, in the ring
    u64 sectors = 0;  // how long it is
    u64 tail = 0;     // sector of the oldest entry needed when this is the newest
    u64 sequence = 0; // its number; one more than that of the entry before it
};

/// The entries that have to be replayed, oldest first; empty when there is nothing to do.
/// Takes time in proportion to the log's size, whatever is in it.
Result<std::vector<LogEntry>> find_active(ByteSource& file, const Header& header);

/// Does what the entries say. The caller makes it last and empties the log.
Status replay(ByteSource& file, const Header& header, const std::vector<LogEntry>& entries);

/// Writes entries. Each stands alone: what earlier ones said must be in its place, durably.
class LogWriter {
public:
    using Sectors = std::vector<std::pair<u64, std::span<const u8>>>; // file offset, 4 KiB

    LogWriter(ByteSource& file, const Region& log, const Guid& id) : file_{file}, log_{log}, id_{id}
    {}

    /// How many sectors an entry can have: two entries must fit into the log, so that the one being
    /// written does not overwrite the one that is needed until then.
    u64 capacity() const;
    const Guid& id() const { return id_; }

    /// On return the entry is durable.
    Status write(const Sectors& sectors);

private:
    ByteSource& file_;
    Region log_;
    Guid id_;
    u64 next_ = 0;     // sector where the next entry goes
    u64 sequence_ = 1; // its number
};

} // namespace img::vhdx
