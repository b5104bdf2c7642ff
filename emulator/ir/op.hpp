// The operations of the intermediate representation (IR), described once as data.
//
// IR is a flat list of 16-byte instructions over slots. Slots [0, kRegisters) are the guest's
// registers and live across blocks; slots from kFirstTemp on are temporaries of one block, written
// before they are read. The printer, parser, verifier, interpreter and code generators all read
// kOps.
//
// Values are 64 bits wide. An operation of size s (1, 2, 4, 8 bytes) reads the low s bytes of its
// operands. A result of size 4 is zero-extended; above a result of size 1 or 2 the bits are
// unspecified, so such a result goes to a temporary and reaches a register through put8l, put8h or
// put16 (or zx, sx).
#pragma once

#include "base/types.hpp"

#include <array>
#include <cstddef>
#include <string_view>

namespace emu::ir {

using base::i64;
using base::u16;
using base::u32;
using base::u64;
using base::u8;

using Slot = u16;
inline constexpr Slot kRegisters = 32;
inline constexpr Slot kFirstTemp = kRegisters;
inline constexpr Slot kTemps = 224;
inline constexpr Slot kSlots = kRegisters + kTemps;
inline constexpr Slot kImm = 0xfffe;  // operand b is the immediate
inline constexpr Slot kNone = 0xffff; // operand absent

enum class Op : u8 {
    nop,
    insn, // a guest instruction begins: imm = its program counter, aux = its length in bytes

    // Values.
    mov, // d = b
    add,
    sub,
    and_,
    or_,
    xor_,
    mul, // low half
    shl, // count = b & 31 (63 for size 8); no operand narrower than 4: zx/sx first
    shr,
    sar,
    rol, // count modulo the operand's width
    ror,
    neg,  // d = -a
    not_, // d = ~a
    bswap,
    zx,     // d = zero-extend the low `size` bytes of a
    sx,     // d = sign-extend the low `size` bytes of a to 32 bits
    gethi,  // d = (a >> 8) & 0xff
    put8l,  // d[7:0] = a
    put8h,  // d[15:8] = a
    put16,  // d[15:0] = a
    mulu,   // d = low half, c = high half of a * b, unsigned, size 4
    muls,   // the same, signed
    lea,    // d = a + (b << aux) + imm; a or b may be kNone; size 2 keeps 16 bits, 4 keeps 32
    bsf,    // d = index of the lowest set bit of a; a is not 0
    bsr,    // d = index of the highest set bit of a; a is not 0
    seteq,  // d = (a == b), size bytes compared
    setltu, // d = (a < b) unsigned

    // Guest flags: the record of the last operation that set them; see flags.hpp.
    flags,    // record kind aux: result a, source b, extra c (flags.hpp says what each kind needs)
    getflags, // d = O S Z A P C at their EFLAGS positions, other bits 0
    getcf,    // d = carry, 0 or 1
    setcc,    // d = condition aux (0 or 1)
    select,   // d = condition aux ? a : b

    // Guest memory at linear address a (32 bits). May fault: nothing of the instruction may have
    // been written to registers or flags before its last access.
    ld,      // d = zero-extended load; aux bit 0: sign-extend to 32; bit 1: a store to it follows
    st,      // store b
    segchk,  // fault unless an access to offset a of segment aux is allowed; imm: see segchk_imm()
    segbase, // d = (a + base of segment aux) modulo 2^32

    // Guest state outside the slots: imm = byte offset from the state's start.
    ldstate, // d = zero-extended
    ststate, // store b

    // Calls: imm = number in the guest's helper table.
    call, // d = helper(state, a, b, c); aux: operands that are immediates are passed as slots

    // Ends and exits. After the last exit the block ends.
    poll,    // leave if the CPU needs attention; the program counter becomes imm
    setpc,   // the program counter becomes b
    exit,    // continue at imm (direct jump, linkable)
    exitcc,  // if condition aux: continue at imm
    exitnz,  // if a != 0 (size bytes): continue at imm
    exitz,   // if a == 0
    exitind, // continue at a
    leave,   // return to the dispatcher; the program counter is already in the state

    count_
};

inline constexpr std::size_t kOpCount = static_cast<std::size_t>(Op::count_);

/// What an operation does besides computing d.
enum Effect : u8 {
    kPure = 0,
    kMayFault = 1, // can leave the block at this instruction's start
    kReadsFlags = 2,
    kWritesFlags = 4,
    kStateAccess = 8, // reads or writes memory or state: never removed
    kEndsBlock = 16,
    kSideExit = 32,
};

/// Which operands an operation takes.
enum Operand : u8 {
    kD = 1,
    kA = 2,
    kB = 4,
    kC = 8,
    kImmediate = 16,
    kDisInput = 32,
    kCIsOutput = 64
};

struct OpInfo {
    Op op;
    std::string_view name; // in printed IR
    u8 operands;           // Operand bits
    u8 effects;            // Effect bits
};

// clang-format off: one operation per line
inline constexpr std::array<OpInfo, kOpCount> kOps{{
    {Op::nop, "nop", 0, kPure},
    {Op::insn, "insn", kImmediate, kStateAccess},
    {Op::mov, "mov", kD | kB, kPure},
    {Op::add, "add", kD | kA | kB, kPure},
    {Op::sub, "sub", kD | kA | kB, kPure},
    {Op::and_, "and", kD | kA | kB, kPure},
    {Op::or_, "or", kD | kA | kB, kPure},
    {Op::xor_, "xor", kD | kA | kB, kPure},
    {Op::mul, "mul", kD | kA | kB, kPure},
    {Op::shl, "shl", kD | kA | kB, kPure},
    {Op::shr, "shr", kD | kA | kB, kPure},
    {Op::sar, "sar", kD | kA | kB, kPure},
    {Op::rol, "rol", kD | kA | kB, kPure},
    {Op::ror, "ror", kD | kA | kB, kPure},
    {Op::neg, "neg", kD | kA, kPure},
    {Op::not_, "not", kD | kA, kPure},
    {Op::bswap, "bswap", kD | kA, kPure},
    {Op::zx, "zx", kD | kA, kPure},
    {Op::sx, "sx", kD | kA, kPure},
    {Op::gethi, "gethi", kD | kA, kPure},
    {Op::put8l, "put8l", kD | kA | kDisInput, kPure},
    {Op::put8h, "put8h", kD | kA | kDisInput, kPure},
    {Op::put16, "put16", kD | kA | kDisInput, kPure},
    {Op::mulu, "mulu", kD | kA | kB | kC | kCIsOutput, kPure},
    {Op::muls, "muls", kD | kA | kB | kC | kCIsOutput, kPure},
    {Op::lea, "lea", kD | kA | kB | kImmediate, kPure},
    {Op::bsf, "bsf", kD | kA, kPure},
    {Op::bsr, "bsr", kD | kA, kPure},
    {Op::seteq, "seteq", kD | kA | kB, kPure},
    {Op::setltu, "setltu", kD | kA | kB, kPure},
    {Op::flags, "flags", kA | kB | kC, kWritesFlags},
    {Op::getflags, "getflags", kD, kReadsFlags},
    {Op::getcf, "getcf", kD, kReadsFlags},
    {Op::setcc, "setcc", kD, kReadsFlags},
    {Op::select, "select", kD | kA | kB, kReadsFlags},
    {Op::ld, "ld", kD | kA, kMayFault | kStateAccess},
    {Op::st, "st", kA | kB, kMayFault | kStateAccess},
    {Op::segchk, "segchk", kA | kImmediate, kMayFault | kStateAccess},
    {Op::segbase, "segbase", kD | kA, kPure},
    {Op::ldstate, "ldstate", kD | kImmediate, kStateAccess},
    {Op::ststate, "ststate", kB | kImmediate, kStateAccess},
    {Op::call, "call", kD | kA | kB | kC | kImmediate, kMayFault | kStateAccess | kReadsFlags},
    {Op::poll, "poll", kImmediate, kStateAccess | kSideExit | kReadsFlags},
    {Op::setpc, "setpc", kB, kStateAccess},
    {Op::exit, "exit", kImmediate, kEndsBlock | kReadsFlags},
    {Op::exitcc, "exitcc", kImmediate, kSideExit | kReadsFlags},
    {Op::exitnz, "exitnz", kA | kImmediate, kSideExit | kReadsFlags},
    {Op::exitz, "exitz", kA | kImmediate, kSideExit | kReadsFlags},
    {Op::exitind, "exitind", kA, kEndsBlock | kReadsFlags},
    {Op::leave, "leave", 0, kEndsBlock | kReadsFlags},
}};
// clang-format on

constexpr const OpInfo& info(Op op)
{
    return kOps[static_cast<std::size_t>(op)];
}

consteval bool ops_are_in_enum_order()
{
    for (std::size_t i = 0; i < kOps.size(); ++i) {
        if (static_cast<std::size_t>(kOps[i].op) != i) {
            return false;
        }
    }
    return true;
}
static_assert(ops_are_in_enum_order(), "kOps must list the operations in the order of enum Op");

/// Conditions over the guest flags, numbered as x86 encodes them (Intel SDM vol. 2, appendix
/// B.1.4.7).
enum class Cond : u8 { o, no, b, ae, e, ne, be, a, s, ns, p, np, l, ge, le, g };

struct Inst {
    Op op = Op::nop;
    u8 size = 4; // bytes
    u8 aux = 0;
    u8 spare = 0;
    Slot d = kNone;
    Slot a = kNone;
    Slot b = kNone;
    Slot c = kNone;
    u32 imm = 0;
};
static_assert(sizeof(Inst) == 16);

/// Immediate of segchk: access size in bytes, and whether it writes.
constexpr u32 segchk_imm(u32 size, bool write)
{
    return size | (write ? 0x100u : 0u);
}

} // namespace emu::ir
