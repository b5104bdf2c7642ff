// The x87 instructions, one function each, independent of any CPU.
//
// The caller decodes, checks CR0 and pending exceptions (exception_pending), accesses memory and
// records FIP, FDP and FOP. A memory operand arrives as raw bits. A store is two steps, so that a
// page fault leaves no trace: prepare_store_*() computes, the caller writes `value` when `allowed`,
// then commit_store() sets the status word and pops.
//
// Where the SDM leaves a choice open, these do what the tested x86 hosts do.
//
// Source: Intel SDM volume 1, chapter 8; volume 2, the instructions' pages.
#pragma once

#include "emulator/cpu/fpu/convert.hpp"
#include "emulator/cpu/fpu/x87_state.hpp"

namespace emu::fpu {

// ---- Arithmetic and comparison by opcode: index with the reg field of ModRM (bits 5..3) -------
// 0 FADD, 1 FMUL, 2 FCOM, 3 FCOMP, 4 FSUB, 5 FSUBR, 6 FDIV, 7 FDIVR.

using RegisterOperation = void (*)(X87State&, unsigned i);
using F32Operation = void (*)(X87State&, u32 bits);
using F64Operation = void (*)(X87State&, u64 bits);
using IntegerOperation = void (*)(X87State&, i32 value);

extern const std::array<RegisterOperation, 8> kArithSt0Sti;    // D8 C0..FF
extern const std::array<RegisterOperation, 8> kArithStiSt0;    // DC C0..FF, incl. aliases D0, D8
extern const std::array<RegisterOperation, 8> kArithStiSt0Pop; // DE C0..FF, incl. D0; D9 is FCOMPP
extern const std::array<F32Operation, 8> kArithF32;            // D8 /r m32fp
extern const std::array<F64Operation, 8> kArithF64;            // DC /r m64fp
extern const std::array<IntegerOperation, 8> kArithInteger;    // DA /r m32int, DE /r m16int

// ---- Comparison --------------------------------------------------------------------------------

void fcom(X87State& s, unsigned i);   // D8 D0+i
void fcomp(X87State& s, unsigned i);  // D8 D8+i
void fcompp(X87State& s);             // DE D9
void fucom(X87State& s, unsigned i);  // DD E0+i
void fucomp(X87State& s, unsigned i); // DD E8+i
void fucompp(X87State& s);            // DA E9
void ftst(X87State& s);               // D9 E4
void fxam(X87State& s);               // D9 E5

/// What FCOMI and its kin put into EFLAGS; OF, SF and AF are cleared by the caller.
namespace eflags {
constexpr u32 cf = 0x01;
constexpr u32 pf = 0x04;
constexpr u32 zf = 0x40;
} // namespace eflags
u32 fcomi(X87State& s, unsigned i);   // DB F0+i
u32 fcomip(X87State& s, unsigned i);  // DF F0+i
u32 fucomi(X87State& s, unsigned i);  // DB E8+i
u32 fucomip(X87State& s, unsigned i); // DF E8+i

// ---- Loads -------------------------------------------------------------------------------------

void fld_sti(X87State& s, unsigned i);      // D9 C0+i
void fld_f32(X87State& s, u32 bits);        // D9 /0
void fld_f64(X87State& s, u64 bits);        // DD /0
void fld_f80(X87State& s, F80 value);       // DB /5
void fild(X87State& s, i64 value);          // DF /0, DB /0, DF /5: sign-extended by the caller
void fbld(X87State& s, PackedBcd bcd);      // DF /4
void fld_constant(X87State& s, unsigned i); // D9 E8+i, i <= 6: 1, l2t, l2e, pi, lg2, ln2, 0

// ---- Stores ------------------------------------------------------------------------------------

struct StoreStatus {
    u16 raised = 0;
    bool c1 = false;
    bool allowed = true; // false: an unmasked exception; write nothing, but do commit
};

template <class T>
struct Store {
    T value{};
    StoreStatus status;
};

Store<u32> prepare_store_f32(const X87State& s);
Store<u64> prepare_store_f64(const X87State& s);
Store<F80> prepare_store_f80(const X87State& s);
Store<i16> prepare_store_i16(const X87State& s);
Store<i32> prepare_store_i32(const X87State& s);
Store<i64> prepare_store_i64(const X87State& s);
Store<PackedBcd> prepare_store_bcd(const X87State& s);

/// Sets the flags; pops `pops` (0 or 1) times unless the store was not allowed.
void commit_store(X87State& s, const StoreStatus& status, unsigned pops);

void fst_sti(X87State& s, unsigned i);  // DD D0+i
void fstp_sti(X87State& s, unsigned i); // DD D8+i

// ---- Moves and single-operand arithmetic -------------------------------------------------------

void fxch(X87State& s, unsigned i);                  // D9 C8+i
void fcmov(X87State& s, unsigned i, bool condition); // DA/DB C0..DF: the caller tests EFLAGS
void fchs(X87State& s);                              // D9 E0
void fabs(X87State& s);                              // D9 E1
void fsqrt(X87State& s);                             // D9 FA
void frndint(X87State& s);                           // D9 FC
void fscale(X87State& s);                            // D9 FD
void fprem(X87State& s);                             // D9 F8
void fprem1(X87State& s);                            // D9 F5
void fxtract(X87State& s);                           // D9 F4

// ---- Transcendental ----------------------------------------------------------------------------

void fsin(X87State& s);    // D9 FE
void fcos(X87State& s);    // D9 FF
void fsincos(X87State& s); // D9 FB
void fptan(X87State& s);   // D9 F2
void fpatan(X87State& s);  // D9 F3
void f2xm1(X87State& s);   // D9 F0
void fyl2x(X87State& s);   // D9 F1
void fyl2xp1(X87State& s); // D9 F9

// ---- Control -----------------------------------------------------------------------------------

void ffree(X87State& s, unsigned i);  // DD C0+i
void ffreep(X87State& s, unsigned i); // DF C0+i, undocumented
void fincstp(X87State& s);            // D9 F7
void fdecstp(X87State& s);            // D9 F6
void fninit(X87State& s);             // DB E3
void fnclex(X87State& s);             // DB E2

// ---- The opcodes D9 E0 to FF -------------------------------------------------------------------

using PlainOperation = void (*)(X87State&);

/// Indexed by the second byte less E0; null where there is no instruction (#UD).
extern const std::array<PlainOperation, 32> kD9Register;

} // namespace emu::fpu
