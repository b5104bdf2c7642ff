// The guest-visible state of an x86 CPU (486 to Pentium III), as plain data.
//
// Register numbers and bit positions follow the Intel SDM: vol. 1 ch. 3 (registers, EFLAGS), vol. 3
// ch. 2 (control registers), ch. 3 (segments), ch. 17 (debug registers).
#pragma once

#include "emulator/cpu/fpu/x87_state.hpp"
#include "emulator/ir/exec_state.hpp"
#include "emulator/ir/flags.hpp"

namespace emu::x86 {

using base::i32;
using base::i64;
using base::u16;
using base::u32;
using base::u64;
using base::u8;

enum Gpr : ir::Slot { kEax, kEcx, kEdx, kEbx, kEsp, kEbp, kEsi, kEdi };
enum Seg : u8 { kEs, kCs, kSs, kDs, kFs, kGs, kSegments };

// EFLAGS bits that are not arithmetic.
inline constexpr u32 kTf = 0x100;
inline constexpr u32 kIf = 0x200;
inline constexpr u32 kDf = 0x400;
inline constexpr u32 kIopl = 0x3000;
inline constexpr u32 kNt = 0x4000;
inline constexpr u32 kRf = 0x1'0000;
inline constexpr u32 kVm = 0x2'0000;
inline constexpr u32 kAc = 0x4'0000;
inline constexpr u32 kVif = 0x8'0000;
inline constexpr u32 kVip = 0x10'0000;
inline constexpr u32 kId = 0x20'0000;

// CR0 and CR4 bits.
inline constexpr u32 kCr0Pe = 1u << 0;
inline constexpr u32 kCr0Mp = 1u << 1;
inline constexpr u32 kCr0Em = 1u << 2;
inline constexpr u32 kCr0Ts = 1u << 3;
inline constexpr u32 kCr0Et = 1u << 4;
inline constexpr u32 kCr0Ne = 1u << 5;
inline constexpr u32 kCr0Wp = 1u << 16;
inline constexpr u32 kCr0Am = 1u << 18;
inline constexpr u32 kCr0Nw = 1u << 29;
inline constexpr u32 kCr0Cd = 1u << 30;
inline constexpr u32 kCr0Pg = 1u << 31;
inline constexpr u32 kCr4Vme = 1u << 0;
inline constexpr u32 kCr4Pvi = 1u << 1;
inline constexpr u32 kCr4Tsd = 1u << 2;
inline constexpr u32 kCr4De = 1u << 3;
inline constexpr u32 kCr4Pse = 1u << 4;
inline constexpr u32 kCr4Pae = 1u << 5;
inline constexpr u32 kCr4Pge = 1u << 7;

/// Exception vectors (SDM vol. 3, table 6-1).
enum Vector : u8 {
    kDivideError = 0,
    kDebug = 1,
    kNmi = 2,
    kBreakpoint = 3,
    kOverflow = 4,
    kBound = 5,
    kInvalidOpcode = 6,
    kDeviceNotAvailable = 7,
    kDoubleFault = 8,
    kInvalidTss = 10,
    kSegmentNotPresent = 11,
    kStackFault = 12,
    kGeneralProtection = 13,
    kPageFault = 14,
    kFloatingPoint = 16,
    kAlignmentCheck = 17,
    kMachineCheck = 18,
};

/// A segment register with its descriptor cache.
struct Segment {
    u16 selector = 0;
    u32 base = 0;
    u32 limit = 0; // bytes, already scaled by G
    u8 type = 0;   // descriptor type field with S: bits 3..0 type, bit 4 S
    u8 dpl = 0;
    bool present = false;
    bool big = false; // D/B
    bool avl = false;
    bool valid = false; // false: loaded with a null selector
};

struct TableRegister { // GDTR, IDTR
    u32 base = 0;
    u16 limit = 0;
};

/// What the CPU claims to be: CPUID leaves and what it refuses with #UD.
struct Model;

/// Bits of `mode`: all that decides, with the code segment's base and limit, how bytes translate.
enum ModeBits : u32 {
    kModeCode32 = 1u << 0,    // CS.D
    kModeStack32 = 1u << 1,   // SS.B
    kModeProtected = 1u << 2, // CR0.PE and not virtual-8086
    kModeV86 = 1u << 3,
    kModeUser = 1u << 4,   // CPL 3: mmu mode 1
    kModeFlatEs = 1u << 5, // base 0, limit 4 GiB, readable and writable: no check, no base
    kModeFlatSs = 1u << 6,
    kModeFlatDs = 1u << 7,
    kModeFlatCs = 1u << 8,          // base 0, limit 4 GiB
    kModeNoBaseOrLimitFs = 1u << 9, // FS, GS: limit 4 GiB and writable (the base is added)
    kModeNoBaseOrLimitGs = 1u << 10,
    kModeSmm = 1u << 11,
};

/// The part of one mode's TLB that only slow paths look at.
struct TlbSide {
    static constexpr unsigned kListed = 192;
    std::array<u32, ir::kTlbSize> frame{}; // physical address >> 12
    // RamBlock::code_lines() of the page while it is RAM that may be written; else null.
    std::array<const u64*, ir::kTlbSize> code_lines{};
    std::array<u64, ir::kTlbSize / 64> global{}; // bit: the page is global
    std::array<u16, kListed> filled{};           // entries filled since the last full clear
    u16 filled_count = 0;                        // kListed + 1: too many, clear all
};

struct State : ir::ExecState {
    // EFLAGS without the six arithmetic flags (they are in the flag record); bit 1 always set.
    u32 eflags = 2;
    std::array<Segment, kSegments> seg{};
    Segment ldtr{};
    Segment tr{};
    TableRegister gdtr{};
    TableRegister idtr{};
    u32 cr0 = 0x6000'0010;
    u32 cr2 = 0;
    u32 cr3 = 0;
    u32 cr4 = 0;
    std::array<u32, 4> dr{};
    u32 dr6 = 0xffff'0ff0;
    u32 dr7 = 0x400;
    u8 cpl = 0;
    u32 mode = 0; // ModeBits of now; recomputed by update_mode()

    u32 sysenter_cs = 0;
    u32 sysenter_esp = 0;
    u32 sysenter_eip = 0;
    u64 tsc_offset = 0;              // what WRMSR to the TSC added to World::time_stamp
    std::array<u64, 64> misc_msrs{}; // MTRRs and others that are storage only; see msr.cpp

    std::array<u64, 4> pdpte{}; // PAE page-directory pointers, loaded with CR3

    fpu::X87State x87{}; // and the MMX registers

    const Model* model = nullptr;

    // A fault raised by the current instruction, to be delivered by the dispatcher.
    bool fault_pending = false;
    u8 fault_vector = 0;
    bool fault_has_error_code = false;
    u32 fault_error_code = 0;
    u32 fault_address = 0; // CR2 for #PF

    bool interrupt_line = false;
    bool nmi_pending = false;
    bool nmi_blocked = false;
    bool smi_pending = false;
    bool in_smm = false;
    u32 smbase = 0x30000;
    bool interrupt_shadow = false; // STI, MOV SS, POP SS: nothing is recognised before the next one
    bool halted = false;
    bool shutdown = false;   // triple fault
    bool debug_trap = false; // TF was set when the instruction began

    // Where the current instruction ends: the front end stores it (ststate) before far_call,
    // software_int, int1, int3 and into, whose return address it is.
    u32 next_pc = 0;

    // Set while an event is delivered that no instruction asked for: bit 0 of error codes (EXT).
    bool delivering_external = false;

    // DR6 bits B0-B3 of data and I/O breakpoints hit by the current instruction, BT and BS of the
    // trap to be delivered after it. See debug.cpp.
    u32 debug_hits = 0;
    bool resume_loaded = false; // IRET or a task switch set RF: it covers the next instruction
    bool stack_loaded = false;  // interrupt_shadow is of MOV SS, POP SS: no debug traps either

    // What the TLB needs besides the entries that translated code reads; not guest-visible.
    std::array<TlbSide, ir::kMmuModes> tlb_side{};
    bool tlb_has_large_pages = false; // INVLPG must then drop everything

    u32 reg32(unsigned n) const { return static_cast<u32>(slot[n]); }
    void set_reg32(unsigned n, u32 value) { slot[n] = value; }

    /// All of EFLAGS, with the arithmetic flags computed.
    u32 full_eflags() const
    {
        return eflags | ir::compute_flags(static_cast<u8>(flag_op), flag_result, flag_source);
    }
    void set_arithmetic_flags(u32 bits)
    {
        flag_op = ir::flag_op(ir::FlagKind::raw, 4);
        flag_result = bits & ir::kArithmeticFlags;
        flag_source = 0;
    }
};

} // namespace emu::x86
