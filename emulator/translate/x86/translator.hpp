// The x86 front end: guest bytes to IR, one block at a time.
#pragma once

#include "emulator/cpu/x86/state.hpp"
#include "emulator/ir/block.hpp"

namespace emu::x86 {

/// Gives the translator the guest's code bytes.
class CodeSource {
public:
    virtual ~CodeSource() = default;

    /// The 4 KiB page that holds this linear address, or null when fetching from it would fault.
    virtual const u8* page(u32 linear) = 0;
};

struct TranslateRequest {
    u32 pc; // EIP of the first instruction
    u32 cs_base;
    u32 cs_limit;              // the last valid EIP
    u32 mode;                  // ModeBits
    unsigned max_instructions; // at least 1
    const Model* model;
};

enum class TranslateResult : u8 {
    ok,
    fetch_fault, // the first instruction's bytes fault at `fault_address`: #PF is to be raised
    limit_fault, // they lie past the segment limit: #GP(0)
};

struct Translation {
    TranslateResult result = TranslateResult::ok;
    u32 fault_address = 0; // linear
    u32 byte_length = 0;   // of guest code; at most two pages are touched
};

/// Appends one block to `into`. The block ends at a control transfer, before an instruction that
/// reaches into a second page (unless it is the first one), after `max_instructions`, or when it
/// grows long. Invalid encodings become a call that raises #UD.
Translation translate(const TranslateRequest& request, CodeSource& code, ir::Block& into);

} // namespace emu::x86
