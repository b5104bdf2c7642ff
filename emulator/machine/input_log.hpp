// The file of all input a run had from outside, each entry with the exact moment it arrived.
//
// Layout (little-endian): magic "MENAGLOG", u32 version, 32 bytes digest of the machine's
// description; then records. A record is u8 kind (1 entry, 2 end), u32 length of its body, the body
// and a u32 CRC-32 of everything in the file before it, so that a changed byte anywhere is noticed.
// Entry body: u64 instructions, u64 nanoseconds, u8 length of the sink's name, the name, payload.
// End body: u64 number of entries, u64 instructions at the end of the run.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <array>
#include <fstream>
#include <span>
#include <string>
#include <vector>

namespace emu {

using base::u32;
using base::u64;
using base::u8;

using MachineDigest = std::array<u8, 32>;

/// A point of guest time. Instructions alone are not enough: an idle CPU retires none.
struct InputStamp {
    u64 instructions = 0;
    u64 ns = 0;
    friend bool operator==(const InputStamp&, const InputStamp&) = default;
};

struct InputEntry {
    InputStamp stamp;
    std::string sink;
    std::vector<u8> payload;
};

struct InputLog {
    MachineDigest machine{};
    std::vector<InputEntry> entries;
    bool complete = false; // false: the recording program was killed; what is here is good
    u64 end_instructions = 0;
};

/// Errors: `wrong_format` (not a log), `unsupported` (version), `corrupt`.
base::Result<InputLog> parse_input_log(std::span<const u8> file);
base::Result<InputLog> read_input_log(const std::string& path);

class InputLogWriter {
public:
    static base::Result<InputLogWriter> create(const std::string& path,
                                               const MachineDigest& machine);

    /// Flushed at once, so that a crash leaves a log that can be replayed up to it.
    base::Status append(const InputEntry& entry);
    base::Status finish(u64 instructions);

private:
    InputLogWriter() = default;
    base::Status record(u8 kind, std::span<const u8> body);
    void put(std::span<const u8> bytes);

    std::string path_;
    std::ofstream file_;
    u32 crc_ = 0;
    u64 entries_ = 0;
};

} // namespace emu
