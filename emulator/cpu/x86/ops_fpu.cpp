// x87 instructions without a memory operand, and what all of them check.
//
// Source: Intel SDM vol. 2, appendix A.5 (escape opcodes); vol. 1, 8.6 and 8.7.
#include "emulator/cpu/x86/fpu_checks.hpp"
#include "emulator/cpu/x86/ops.hpp"

#include "emulator/cpu/fpu/x87.hpp"

namespace emu::x86 {

bool is_fpu_available(State& state)
{
    if ((state.cr0 & (kCr0Em | kCr0Ts)) != 0) {
        raise_fault(state, kDeviceNotAvailable);
        return false;
    }
    return true;
}

bool no_fpu_error_pending(State& state)
{
    if (!fpu::exception_pending(state.x87)) {
        return true;
    }
    if ((state.cr0 & kCr0Ne) != 0) {
        raise_fault(state, kFloatingPoint);
        return false;
    }
    if (world(state).hooks->ignne()) {
        return true;
    }
    // The processor freezes until the board's interrupt comes; the instruction is then begun anew.
    world(state).hooks->set_ferr(true);
    state.leave_request = 1;
    return false;
}

void update_ferr(State& state)
{
    if ((state.cr0 & kCr0Ne) == 0) {
        world(state).hooks->set_ferr(fpu::exception_pending(state.x87));
    }
}

void record_instruction(State& state, const FpuArgs& args)
{
    state.x87.opcode = static_cast<u16>(args.opcode << 8 | args.modrm);
    state.x87.instruction_selector = state.seg[kCs].selector;
    state.x87.instruction_offset = state.pc;
}

void record_operand(State& state, const FpuArgs& args, u32 offset)
{
    record_instruction(state, args);
    state.x87.operand_selector = state.seg[args.segment].selector;
    state.x87.operand_offset = offset;
}

namespace {

using Handler = void (*)(State& state, const FpuArgs& args);

enum RowFlags : u8 {
    kControl = 1,   // no pending-exception check, nothing is recorded
    kNeedsCmov = 2, // from the Pentium Pro on
};

struct Row {
    Handler handler = nullptr;
    u8 flags = 0;
};

using fpu::X87State;

template <void (*Function)(X87State&, unsigned)>
void with_register(State& state, const FpuArgs& args)
{
    Function(state.x87, args.rm());
}

template <const std::array<fpu::RegisterOperation, 8>& Table>
void arithmetic(State& state, const FpuArgs& args)
{
    Table[args.reg()](state.x87, args.rm());
}

/// FCOMPP and FUCOMPP exist with ST(1) only; others of the row are undefined.
template <void (*Function)(X87State&)>
void with_st1(State& state, const FpuArgs& args)
{
    if (args.rm() == 1) {
        Function(state.x87);
    } else {
        raise_fault(state, kInvalidOpcode);
    }
}

template <u32 (*Function)(X87State&, unsigned)>
void compare_into_eflags(State& state, const FpuArgs& args)
{
    state.set_arithmetic_flags(Function(state.x87, args.rm()));
}

// DA C0 to DF: if B, E, BE, U; DB: if not.
void conditional_move(State& state, const FpuArgs& args)
{
    static constexpr std::array kConditions{ir::Cond::b, ir::Cond::e, ir::Cond::be, ir::Cond::p};
    const bool holds = ir::condition_holds(kConditions[args.reg() & 3], state.full_eflags());
    fpu::fcmov(state.x87, args.rm(), holds == (args.opcode == 2));
}

// D9 D0 is FNOP, the rest of its row undefined.
void no_operation(State& state, const FpuArgs& args)
{
    if (args.rm() != 0) {
        raise_fault(state, kInvalidOpcode);
    }
}

void d9_operation(State& state, const FpuArgs& args)
{
    const fpu::PlainOperation operation = fpu::kD9Register[args.modrm - 0xe0];
    if (operation == nullptr) {
        raise_fault(state, kInvalidOpcode);
    } else {
        operation(state.x87);
    }
}

// DB E0 FENI, E1 FDISI, E4 FSETPM do nothing since the 387; E2 FNCLEX; E3 FNINIT.
void control(State& state, const FpuArgs& args)
{
    switch (args.rm()) {
    case 0:
    case 1:
    case 4:
        break;
    case 2:
        fpu::fnclex(state.x87);
        break;
    case 3:
        fpu::fninit(state.x87);
        break;
    default:
        raise_fault(state, kInvalidOpcode);
        break;
    }
}

// DF E0.
void fnstsw_ax(State& state, const FpuArgs& args)
{
    if (args.rm() != 0) {
        raise_fault(state, kInvalidOpcode);
        return;
    }
    state.set_reg32(kEax, (state.reg32(kEax) & 0xffff'0000) | fpu::status_word(state.x87));
}

using Rows = std::array<Row, 8>;

constexpr Rows all(Handler handler)
{
    Rows rows{};
    rows.fill({handler, 0});
    return rows;
}

// By the low three bits of the opcode, then by ModRM reg. Aliases that the manual leaves out
// behave as processors do: DC D0/D8 as FCOM and FCOMP, DD C8 and DF C8 as FXCH, DE D0 as FCOMP,
// D9 D8 and DF D0, D8 as FSTP.
constexpr std::array<Rows, 8> kRows{
    all(arithmetic<fpu::kArithSt0Sti>),
    Rows{{{with_register<fpu::fld_sti>},
          {with_register<fpu::fxch>},
          {no_operation},
          {with_register<fpu::fstp_sti>},
          {d9_operation},
          {d9_operation},
          {d9_operation},
          {d9_operation}}},
    Rows{{{conditional_move, kNeedsCmov},
          {conditional_move, kNeedsCmov},
          {conditional_move, kNeedsCmov},
          {conditional_move, kNeedsCmov},
          {},
          {with_st1<fpu::fucompp>},
          {},
          {}}},
    Rows{{{conditional_move, kNeedsCmov},
          {conditional_move, kNeedsCmov},
          {conditional_move, kNeedsCmov},
          {conditional_move, kNeedsCmov},
          {control, kControl},
          {compare_into_eflags<fpu::fucomi>, kNeedsCmov},
          {compare_into_eflags<fpu::fcomi>, kNeedsCmov},
          {}}},
    all(arithmetic<fpu::kArithStiSt0>),
    Rows{{{with_register<fpu::ffree>},
          {with_register<fpu::fxch>},
          {with_register<fpu::fst_sti>},
          {with_register<fpu::fstp_sti>},
          {with_register<fpu::fucom>},
          {with_register<fpu::fucomp>},
          {},
          {}}},
    Rows{{{arithmetic<fpu::kArithStiSt0Pop>},
          {arithmetic<fpu::kArithStiSt0Pop>},
          {with_register<fpu::fcomp>},
          {with_st1<fpu::fcompp>},
          {arithmetic<fpu::kArithStiSt0Pop>},
          {arithmetic<fpu::kArithStiSt0Pop>},
          {arithmetic<fpu::kArithStiSt0Pop>},
          {arithmetic<fpu::kArithStiSt0Pop>}}},
    Rows{{{with_register<fpu::ffreep>},
          {with_register<fpu::fxch>},
          {with_register<fpu::fstp_sti>},
          {with_register<fpu::fstp_sti>},
          {fnstsw_ax, kControl},
          {compare_into_eflags<fpu::fucomip>, kNeedsCmov},
          {compare_into_eflags<fpu::fcomip>, kNeedsCmov},
          {}}},
};

u32 x87_register(State& state, u32 packed, u32, u32)
{
    const FpuArgs args = unpack_fpu_args(packed);
    const Row& row = kRows[args.opcode][args.reg()];
    const bool unknown =
        (row.flags & kNeedsCmov) != 0 && state.model != nullptr && !state.model->has(kFeatureCmov);
    if (row.handler == nullptr || unknown) {
        raise_fault(state, kInvalidOpcode);
        return 0;
    }
    if (!is_fpu_available(state)) {
        return 0;
    }
    const bool is_control = (row.flags & kControl) != 0;
    if (!is_control && !no_fpu_error_pending(state)) {
        return 0;
    }
    row.handler(state, args);
    if (state.fault_pending) {
        return 0;
    }
    if (!is_control) {
        record_instruction(state, args);
    }
    update_ferr(state);
    return 0;
}

/// 9B. CR0.MP decides whether TS stops it.
u32 fwait(State& state, u32, u32, u32)
{
    constexpr u32 kBoth = kCr0Mp | kCr0Ts;
    if ((state.cr0 & kBoth) == kBoth) {
        raise_fault(state, kDeviceNotAvailable);
        return 0;
    }
    no_fpu_error_pending(state);
    return 0;
}

constexpr std::array kHelpers{
    HelperInfo{"x87_register", x87_register, kHelperMayLeave | kHelperWritesFlags | kHelperReaches},
    HelperInfo{"fwait", fwait, kHelperMayLeave | kHelperReaches},
};

} // namespace

std::span<const HelperInfo> fpu_helpers()
{
    return kHelpers;
}

} // namespace emu::x86
