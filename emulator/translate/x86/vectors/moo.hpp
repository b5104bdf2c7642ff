// Reader for MOO files: single-instruction vectors recorded on real processors.
//
// The format: chunks of a four-letter name, a length and a body; a TEST holds NAME, BYTS, INIT,
// FINA and perhaps EXCP; INIT and FINA hold REGS (a mask, then the registers in it) and RAM.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace emu::moo {

using base::u16;
using base::u32;
using base::u8;

/// The registers of the 16-bit files, in their order.
enum Register : u8 { ax, bx, cx, dx, cs, ss, ds, es, sp, bp, si, di, ip, flags, kRegisters };

struct Byte {
    u32 address;
    u8 value;
};

struct Snapshot {
    std::array<std::optional<u16>, kRegisters> registers;
    std::vector<Byte> ram;
};

struct Exception {
    u8 vector;
    u32 flags_address; // of the word that was pushed, as the bus saw it: rounded down to even
};

struct Test {
    std::string name;
    unsigned length; // of the instruction, in bytes
    Snapshot before;
    Snapshot after; // only what changed
    std::optional<Exception> exception;
};

/// Errors: `io` if the file cannot be read, `corrupt` if it is not such a file.
base::Result<std::vector<Test>> read_file(const std::filesystem::path& path);

} // namespace emu::moo
