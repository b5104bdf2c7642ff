#include "emulator/translate/x86/decoder.hpp"

namespace emu::x86 {

namespace {

constexpr u32 kPageMask = 0xffff'f000;

u32 fetch16(CodeWindow& window)
{
    const u32 low = window.next();
    const u32 high = window.next();
    return low | high << 8;
}

u32 fetch32(CodeWindow& window)
{
    const u32 low = fetch16(window);
    const u32 high = fetch16(window);
    return low | high << 16;
}

u32 fetch_signed8(CodeWindow& window)
{
    return static_cast<u32>(static_cast<base::i32>(static_cast<base::i8>(window.next())));
}

/// Prefixes of all four groups, in any number and order (SDM vol. 2, 2.1.1): the last of each
/// group counts. Returns the first byte that is none.
u8 decode_prefixes(CodeWindow& window, u32 mode, Decoded& out)
{
    const bool code32 = (mode & kModeCode32) != 0;
    out.operand32 = code32;
    out.address32 = code32;
    for (;;) {
        const u8 byte = window.next();
        switch (byte) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            out.segment = (byte >> 3) & 3;
            out.segment_overridden = true;
            break;
        case 0x64:
        case 0x65:
            out.segment = static_cast<u8>(kFs + (byte & 1));
            out.segment_overridden = true;
            break;
        case 0x66:
            out.operand32 = !code32;
            break;
        case 0x67:
            out.address32 = !code32;
            break;
        case 0xf0:
            out.lock = true;
            break;
        case 0xf2:
        case 0xf3:
            out.rep = static_cast<RepPrefix>(byte);
            break;
        default:
            return byte;
        }
        if (window.status() != DecodeStatus::ok) {
            return 0;
        }
    }
}

// SDM vol. 2, table 2-1.
void decode_memory16(CodeWindow& window, Decoded& out)
{
    struct Form {
        ir::Slot base;
        ir::Slot index;
        u8 segment;
    };
    static constexpr std::array<Form, 8> kForms{{
        {kEbx, kEsi, kDs},
        {kEbx, kEdi, kDs},
        {kEbp, kEsi, kSs},
        {kEbp, kEdi, kSs},
        {kEsi, ir::kNone, kDs},
        {kEdi, ir::kNone, kDs},
        {kEbp, ir::kNone, kSs},
        {kEbx, ir::kNone, kDs},
    }};
    Form form = kForms[out.rm];
    if (out.mod == 0 && out.rm == 6) {
        form = {ir::kNone, ir::kNone, kDs};
        out.displacement = fetch16(window);
    } else if (out.mod == 1) {
        out.displacement = fetch_signed8(window);
    } else if (out.mod == 2) {
        out.displacement = fetch16(window);
    }
    out.base = form.base;
    out.index = form.index;
    if (!out.segment_overridden) {
        out.segment = form.segment;
    }
}

// SDM vol. 2, tables 2-2 and 2-3.
void decode_memory32(CodeWindow& window, Decoded& out)
{
    u8 base = out.rm;
    if (base == kEsp) {
        const u8 sib = window.next();
        base = sib & 7;
        const u8 index = (sib >> 3) & 7;
        if (index != kEsp) {
            out.index = index;
            out.scale = sib >> 6;
        }
    }
    const bool has_base = !(base == kEbp && out.mod == 0);
    if (has_base) {
        out.base = base;
    }
    if (out.mod == 1) {
        out.displacement = fetch_signed8(window);
    } else if (out.mod == 2 || !has_base) {
        out.displacement = fetch32(window);
    }
    if (!out.segment_overridden && has_base && (base == kEbp || base == kEsp)) {
        out.segment = kSs;
    }
}

void decode_modrm(CodeWindow& window, bool mod_ignored, Decoded& out)
{
    const u8 modrm = window.next();
    out.has_modrm = true;
    out.mod = mod_ignored ? 3 : modrm >> 6;
    out.reg = (modrm >> 3) & 7;
    out.rm = modrm & 7;
    if (out.mod == 3) {
        return;
    }
    if (out.address32) {
        decode_memory32(window, out);
    } else {
        decode_memory16(window, out);
    }
}

u32 fetch_operand(CodeWindow& window, bool is32)
{
    return is32 ? fetch32(window) : fetch16(window);
}

void decode_immediate(CodeWindow& window, Imm imm, Decoded& out)
{
    switch (imm) {
    case Imm::none:
        break;
    case Imm::i8:
        out.imm = fetch_signed8(window);
        break;
    case Imm::i16:
        out.imm = fetch16(window);
        break;
    case Imm::iz:
        out.imm = fetch_operand(window, out.operand32);
        break;
    case Imm::iv:
        out.imm =
            (out.opcode & 1) == 0 ? fetch_signed8(window) : fetch_operand(window, out.operand32);
        break;
    case Imm::moffs:
        out.imm = fetch_operand(window, out.address32);
        break;
    case Imm::far:
        out.imm = fetch_operand(window, out.operand32);
        out.imm2 = static_cast<u16>(fetch16(window));
        break;
    case Imm::enter:
        out.imm = fetch16(window);
        out.imm2 = window.next();
        break;
    }
}

/// Rows that exist, but not in this form or on this model.
bool is_undefined(const OpcodeRow& row, const Decoded& insn, u32 features)
{
    const bool memory = insn.is_memory();
    return (row.needs & ~features) != 0 || ((row.flags & kMemOnly) != 0 && !memory) ||
           ((row.flags & kRegOnly) != 0 && memory) ||
           (insn.lock && !((row.flags & kLockable) != 0 && memory));
}

} // namespace

void CodeWindow::start(u32 pc, bool may_cross)
{
    pc_ = pc;
    first_page_ = (request_.cs_base + pc) & kPageMask;
    may_cross_ = may_cross;
    length_ = 0;
    status_ = DecodeStatus::ok;
}

u8 CodeWindow::next()
{
    if (status_ != DecodeStatus::ok) {
        return 0;
    }
    if (length_ == kMaxLength) {
        status_ = DecodeStatus::too_long;
        return 0;
    }
    const u32 offset = pc_ + length_;
    if (offset > request_.cs_limit) {
        status_ = DecodeStatus::limit_fault;
        return 0;
    }
    const u32 linear = request_.cs_base + offset;
    const u32 page = linear & kPageMask;
    if (page != first_page_ && !may_cross_) {
        status_ = DecodeStatus::next_page;
        return 0;
    }
    if (page != page_address_) {
        page_ = source_.page(linear);
        page_address_ = page;
    }
    if (page_ == nullptr) {
        status_ = DecodeStatus::fetch_fault;
        fault_address_ = linear;
        return 0;
    }
    ++length_;
    return page_[linear & ~kPageMask];
}

DecodeStatus decode(CodeWindow& window, u32 mode, u32 features, Decoded& out)
{
    const u8 first = decode_prefixes(window, mode, out);
    out.opcode = first == 0x0f ? static_cast<u16>(kTwoByte | window.next()) : u16{first};
    const OpcodeTable& table = OpcodeTable::instance();
    if (table.has_modrm(out.opcode)) {
        const OpcodeRow* any = table.find(out.opcode, 0);
        decode_modrm(window, any != nullptr && (any->flags & kModIgnored) != 0, out);
    }
    const OpcodeRow* row = table.find(out.opcode, out.has_modrm ? out.reg : 0);
    if (row != nullptr) {
        decode_immediate(window, row->imm, out);
        out.row = is_undefined(*row, out, features) ? nullptr : row;
    }
    out.length = static_cast<u8>(window.length());
    return window.status();
}

} // namespace emu::x86
