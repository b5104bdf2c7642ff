// Crash tests for any writable format: a recorded run of writes is cut at every point, and between
// flushes writes are lost at random; what a power cut there would have left is opened and looked
// at.
#pragma once

#include "imgtool/chain/chain.hpp"
#include "imgtool/format.hpp"

#include <functional>
#include <map>
#include <vector>

namespace img::test {

/// What was done to a file, in order.
struct FileEvent {
    enum class Kind { write, zero, resize, flush } kind;
    u64 at = 0;
    u64 length = 0;
    std::vector<u8> bytes = {};
};

/// Bytes that were put on the disk when the log was that long.
struct DiskChange {
    std::size_t when = 0;
    u64 at = 0;
    std::vector<u8> bytes = {};
};

/// A run of writes with what the disk held at each flush.
struct Recording {
    const FormatDriver* driver = nullptr;
    std::vector<u8> start; // the file before the run
    std::vector<FileEvent> log = {};
    std::map<std::size_t, std::vector<u8>> flushed = {}; // by the length of the log then
    /// What was written over what had been flushed, where a run does that: until the next flush a
    /// byte may be any of those. Without any, a byte that was zero may be anything.
    std::vector<DiskChange> changes = {};
    /// A cut may leave what a check calls errors, as long as it can repair them all: for formats
    /// that have no way to say that counts are behind.
    bool mended = false;
};

/// Writes each block of `block` bytes of the disk in `start` once, in a random order, with a flush
/// now and then. The disk must read as zero.
Recording record_writes(const FormatDriver& driver, std::vector<u8> start, u64 block, u32 seed);

/// Any other run: `run` does what it likes with the disk. What it puts into `flushed` (by the
/// length of the log) must be there from then on.
Recording record_run(const FormatDriver& driver, std::vector<u8> start,
                     const std::function<void(ChainDisk& disk, Recording& recording)>& run);

/// Does `steps` things to a disk in a random order: writes, overwrites, zeroes, compressed blocks,
/// flushes, growth, snapshots taken, applied and deleted - what the format can.
Recording record_mixed(const FormatDriver& driver, std::vector<u8> start, int steps, u32 seed);

/// Every prefix of the log (one in `step`) must open, be sound but for leaks by check(), and hold
/// all that had been flushed. Returns how many cuts that were.
int check_prefixes(const Recording& recording, std::size_t step);

/// The same with writes since the last flush lost at random. Returns how many cuts that were.
int check_losses(const Recording& recording, u32 seed);

} // namespace img::test
