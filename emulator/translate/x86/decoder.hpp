// Splits the bytes of one x86 instruction into prefixes, opcode, operands and immediates.
#pragma once

#include "emulator/translate/x86/opcode_row.hpp"
#include "emulator/translate/x86/translator.hpp"

namespace emu::x86 {

/// The longest instruction (SDM vol. 2, 2.3.11); one more byte is #GP(0).
inline constexpr unsigned kMaxLength = 15;

enum class DecodeStatus : u8 {
    ok,          // with a null row: undefined opcode
    fetch_fault, // see CodeWindow::fault_address()
    limit_fault, // reaches past the code segment's limit
    next_page,   // reaches into a page that the window does not show
    too_long,
};

enum class RepPrefix : u8 { none, repne = 0xf2, rep = 0xf3 };

struct Decoded {
    const OpcodeRow* row = nullptr;
    u8 length = 0;
    u16 opcode = 0; // with kTwoByte
    bool has_modrm = false;
    bool operand32 = false;
    bool address32 = false;
    bool lock = false;
    RepPrefix rep = RepPrefix::none;
    u8 mod = 0;
    u8 reg = 0;
    u8 rm = 0;

    // The memory operand, if has_modrm and mod is not 3 (or the segment of an implied one).
    u8 segment = kDs; // overrides applied
    bool segment_overridden = false;
    ir::Slot base = ir::kNone;
    ir::Slot index = ir::kNone;
    u8 scale = 0; // shift count
    u32 displacement = 0;

    u32 imm = 0;
    u16 imm2 = 0; // selector of a far pointer; nesting level of ENTER

    bool is_memory() const { return has_modrm && mod != 3; }
};

/// The code bytes from one address on, within one or two pages.
class CodeWindow {
public:
    CodeWindow(const TranslateRequest& request, CodeSource& source)
        : request_{request}, source_{source}
    {}

    /// `may_cross`: bytes of the following page may be fetched.
    void start(u32 pc, bool may_cross);

    /// 0 once something failed; see status().
    u8 next();
    DecodeStatus status() const { return status_; }
    unsigned length() const { return length_; }
    u32 fault_address() const { return fault_address_; }

private:
    const TranslateRequest& request_;
    CodeSource& source_;
    u32 pc_ = 0;
    u32 page_address_ = 1; // of page_; 1 is none
    const u8* page_ = nullptr;
    u32 first_page_ = 0;
    bool may_cross_ = false;
    unsigned length_ = 0;
    DecodeStatus status_ = DecodeStatus::ok;
    u32 fault_address_ = 0;
};

DecodeStatus decode(CodeWindow& window, u32 mode, u32 features, Decoded& out);

} // namespace emu::x86
