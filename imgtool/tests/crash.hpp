// Crash tests for any writable format: a recorded run of writes is cut at every point, and between
// flushes writes are lost at random; what a power cut there would have left is opened and looked
// at.
#pragma once

#include "imgtool/chain/chain.hpp"
#include "imgtool/format.hpp"
#include "imgtool/tests/crash_log.hpp"

#include <functional>
#include <map>
#include <vector>

namespace img::test {

/// Bytes that were put on the disk, or the size that it was given, when the log was that long.
struct DiskChange {
    std::size_t when = 0;
    u64 at = 0;
    std::vector<u8> bytes = {};
    std::optional<u64> size = {};
};

/// How the images of a test are opened and what they lie over.
struct CrashSubject {
    const FormatDriver* driver = nullptr;
    /// Keys and options; files that an image names are those in memory.
    OpenContext context = {};
    /// The bytes of a raw backing file; none when empty.
    std::vector<u8> backing = {};
    /// A cut may leave what a check calls errors, as long as it can repair them all: for formats
    /// that have no way to say that counts are behind.
    bool mended = false;
};

/// A run of writes with what the disk held at each flush.
struct Recording : FileLog, CrashSubject {
    std::map<std::size_t, std::vector<u8>> flushed = {}; // by the length of the log then
    /// What was written over what had been flushed, where a run does that: until the next flush a
    /// byte may be any of those. Without any, a byte that was zero may be anything.
    std::vector<DiskChange> changes = {};
    /// What the disk held when a persistent bitmap was begun, by the bitmap's name: whatever else
    /// is on the disk later must be marked in it, or the bitmap must be known to be out of date.
    std::map<std::string, std::vector<u8>> bitmap_bases = {};
};

/// Opens the image in `file`, with its backing file.
std::unique_ptr<ChainDisk> open_subject(const CrashSubject& subject,
                                        std::unique_ptr<ByteSource> file, OpenSibling siblings,
                                        OpenFor purpose = OpenFor::use);

/// Writes each block of `block` bytes of the disk in `start` once, in a random order, with a flush
/// now and then. The disk must read as zero.
Recording record_writes(const FormatDriver& driver, std::vector<u8> start, u64 block, u32 seed);

/// Any other run: `run` does what it likes with the disk. What it puts into `flushed` (by the
/// length of the log) must be there from then on.
Recording record_run(const FormatDriver& driver, std::vector<u8> start,
                     const std::function<void(ChainDisk& disk, Recording& recording)>& run);

/// Does `steps` things to a disk in a random order: writes, overwrites, zeroes, compressed blocks,
/// flushes, other sizes, snapshots taken, applied and deleted, bitmaps added and removed - what the
/// format can. The disk is closed and opened again a few times.
Recording record_mixed(const CrashSubject& subject, const MemoryFiles& start, int steps, u32 seed);

/// What was left at a cut must open, be sound but for leaks by check(), and hold all that had been
/// flushed.
void check_remains(MemoryFiles files, const Recording& recording, Cut cut);

/// check_remains() for each_prefix() and each_loss(). They return how many cuts that were.
int check_prefixes(const Recording& recording, std::size_t step);
int check_losses(const Recording& recording, u32 seed);

} // namespace img::test
