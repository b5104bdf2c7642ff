// The register forms of D8 to DF, and what kind of instruction each code is.
#include "emulator/cpu/fpu/x87_dispatch.hpp"

namespace emu::fpu {

namespace {

using Form = RegisterOutcome (*)(X87State&, unsigned i, u32 current_eflags);

RegisterOutcome undefined(X87State&, unsigned, u32)
{
    return {.is_defined = false};
}

template <const std::array<RegisterOperation, 8>& kTable, unsigned kReg>
RegisterOutcome arith(X87State& s, unsigned i, u32)
{
    kTable[kReg](s, i);
    return {};
}

template <RegisterOperation kOperation>
RegisterOutcome with(X87State& s, unsigned i, u32)
{
    kOperation(s, i);
    return {};
}

/// One of D9 E0 to FF; `kFirst` is 0, 8, 16 or 24.
template <unsigned kFirst>
RegisterOutcome from_d9(X87State& s, unsigned i, u32)
{
    if (kD9Register[kFirst + i] == nullptr) {
        return {.is_defined = false};
    }
    kD9Register[kFirst + i](s);
    return {};
}

/// A row in which only ST(`kOnly`) is an instruction.
template <PlainOperation kOperation, unsigned kOnly>
RegisterOutcome only(X87State& s, unsigned i, u32)
{
    if (i != kOnly) {
        return {.is_defined = false};
    }
    kOperation(s);
    return {};
}

void fnop(X87State&) {}

template <u32 kFlags, bool kWanted>
RegisterOutcome move_if(X87State& s, unsigned i, u32 current_eflags)
{
    fcmov(s, i, ((current_eflags & kFlags) != 0) == kWanted);
    return {};
}

template <u32 (*kCompare)(X87State&, unsigned)>
RegisterOutcome compare(X87State& s, unsigned i, u32)
{
    return {.writes_eflags = true, .value = kCompare(s, i)};
}

/// DB E0 to E7. FENI, FDISI and FSETPM were the 8087's and the 287's; they do nothing since the
/// 387.
RegisterOutcome control(X87State& s, unsigned i, u32)
{
    constexpr PlainOperation kOperations[8] = {fnop, fnop,    fnclex,  fninit,
                                               fnop, nullptr, nullptr, nullptr};
    if (kOperations[i] == nullptr) {
        return {.is_defined = false};
    }
    kOperations[i](s);
    return {};
}

RegisterOutcome store_status_in_ax(X87State& s, unsigned i, u32)
{
    if (i != 0) {
        return {.is_defined = false};
    }
    return {.writes_ax = true, .value = status_word(s)};
}

using namespace eflags;

constexpr Form kForms[8][8] = {
    // D8
    {arith<kArithSt0Sti, 0>, arith<kArithSt0Sti, 1>, arith<kArithSt0Sti, 2>, arith<kArithSt0Sti, 3>,
     arith<kArithSt0Sti, 4>, arith<kArithSt0Sti, 5>, arith<kArithSt0Sti, 6>,
     arith<kArithSt0Sti, 7>},
    // D9: FLD, FXCH, FNOP, FSTP1
    {with<fld_sti>, with<fxch>, only<fnop, 0>, with<fstp_sti>, from_d9<0>, from_d9<8>, from_d9<16>,
     from_d9<24>},
    // DA: FCMOVB, FCMOVE, FCMOVBE, FCMOVU, -, FUCOMPP
    {move_if<cf, true>, move_if<zf, true>, move_if<cf | zf, true>, move_if<pf, true>, undefined,
     only<fucompp, 1>, undefined, undefined},
    // DB: FCMOVNB, FCMOVNE, FCMOVNBE, FCMOVNU, control, FUCOMI, FCOMI
    {move_if<cf, false>, move_if<zf, false>, move_if<cf | zf, false>, move_if<pf, false>, control,
     compare<fucomi>, compare<fcomi>, undefined},
    // DC
    {arith<kArithStiSt0, 0>, arith<kArithStiSt0, 1>, arith<kArithStiSt0, 2>, arith<kArithStiSt0, 3>,
     arith<kArithStiSt0, 4>, arith<kArithStiSt0, 5>, arith<kArithStiSt0, 6>,
     arith<kArithStiSt0, 7>},
    // DD: FFREE, FXCH4, FST, FSTP, FUCOM, FUCOMP
    {with<ffree>, with<fxch>, with<fst_sti>, with<fstp_sti>, with<fucom>, with<fucomp>, undefined,
     undefined},
    // DE
    {arith<kArithStiSt0Pop, 0>, arith<kArithStiSt0Pop, 1>, arith<kArithStiSt0Pop, 2>,
     only<fcompp, 1>, arith<kArithStiSt0Pop, 4>, arith<kArithStiSt0Pop, 5>,
     arith<kArithStiSt0Pop, 6>, arith<kArithStiSt0Pop, 7>},
    // DF: FFREEP, FXCH7, FSTP8, FSTP9, FNSTSW AX, FUCOMIP, FCOMIP
    {with<ffreep>, with<fxch>, with<fstp_sti>, with<fstp_sti>, store_status_in_ax, compare<fucomip>,
     compare<fcomip>, undefined},
};

constexpr bool is_register(u8 modrm)
{
    return modrm >= 0xc0;
}

constexpr unsigned reg_of(u8 modrm)
{
    return (modrm >> 3) & 7u;
}

} // namespace

RegisterOutcome execute_register(X87State& s, unsigned escape, u8 modrm, u32 current_eflags)
{
    return kForms[escape & 7][reg_of(modrm)](s, modrm & 7u, current_eflags);
}

bool is_waiting(unsigned escape, u8 modrm)
{
    const unsigned reg = reg_of(modrm);
    if (is_register(modrm)) { // FNENI, FNDISI, FNCLEX, FNINIT, FNSETPM; FNSTSW AX
        return !(escape == 3 && reg == 4) && !(escape == 7 && modrm == 0xe0);
    }
    const bool stores_environment_or_control = escape == 1 && reg >= 6;
    const bool saves_or_stores_status = escape == 5 && reg >= 6;
    return !stores_environment_or_control && !saves_or_stores_status;
}

bool records_pointers(unsigned escape, u8 modrm)
{
    const unsigned reg = reg_of(modrm);
    if (!is_register(modrm)) { // FLDENV, FLDCW, FNSTENV, FNSTCW; FRSTOR, FNSAVE, FNSTSW
        return !(escape == 1 && reg >= 4) && !(escape == 5 && reg >= 4);
    }
    const bool is_stack_pointer_move = escape == 1 && (modrm == 0xf6 || modrm == 0xf7);
    const bool is_control = (escape == 3 && reg == 4) || (escape == 7 && modrm == 0xe0);
    const bool is_free = escape == 5 && reg == 0;
    return !is_stack_pointer_move && !is_control && !is_free;
}

} // namespace emu::fpu
