// Partition tables: MBR with its chain of logical partitions, and GPT (UEFI Specification 2.10,
// chapter 5, "GUID Partition Table (GPT) Disk Layout").
#pragma once

#include "imgtool/fs/file_system.hpp"

namespace img::fs {

struct Partition {
    unsigned number = 0;   // as Linux counts: logical ones from 5
    u64 start = 0;         // bytes
    u64 size = 0;          // bytes
    std::string type = {}; // "0x83", or a GUID
    std::string name = {}; // GPT only
    bool bootable = false; // MBR only
};

struct PartitionTable {
    std::string_view kind = {}; // "mbr", "gpt"; empty: none
    std::vector<Partition> partitions = {};
    std::vector<std::string> problems = {}; // what was wrong, but did not matter
};

/// Errors: those of reading; `corrupt` when there is a GPT, and both its copies are damaged;
/// `unsupported` when it has more entries than we take.
Result<PartitionTable> read_partitions(Disk& disk);

} // namespace img::fs
