// MMX instructions. Source: Intel SDM vol. 1, chapter 9; vol. 3, 12.1 (CR0.EM gives #UD, TS #NM).
#include "emulator/cpu/x86/fpu_checks.hpp"
#include "emulator/cpu/x86/ops.hpp"

#include "emulator/cpu/fpu/mmx.hpp"

namespace emu::x86 {

namespace {

/// The checks of every MMX instruction; false: it must not happen.
bool may_run(State& state)
{
    if ((state.cr0 & kCr0Em) != 0) {
        raise_fault(state, kInvalidOpcode);
        return false;
    }
    return is_fpu_available(state) && no_fpu_error_pending(state);
}

/// The operand that ModRM rm names: an MMX register or `size` bytes of memory.
bool read_rm(State& state, const FpuArgs& args, u32 offset, unsigned size, u64& value)
{
    if (!args.is_memory()) {
        value = fpu::mmx_register(state.x87, args.rm());
        return true;
    }
    return check_segment(state, static_cast<Seg>(args.segment), offset, size, false) &&
           load(state, state.segment_base[args.segment] + offset, size, state.cpl == 3, value);
}

bool write_memory(State& state, const FpuArgs& args, u32 offset, unsigned size, u64 value)
{
    return check_segment(state, static_cast<Seg>(args.segment), offset, size, true) &&
           store(state, state.segment_base[args.segment] + offset, size, state.cpl == 3, value);
}

void write_register(State& state, unsigned number, u64 value)
{
    fpu::begin_mmx(state.x87);
    fpu::set_mmx_register(state.x87, number, value);
}

/// The form "op mm, mm/m64".
u32 mmx_operation(State& state, u32 packed, u32 offset, u32)
{
    const FpuArgs args = unpack_fpu_args(packed);
    const fpu::MmxOperation operation = fpu::mmx_operation(args.opcode);
    u64 source = 0;
    if (operation == nullptr) {
        raise_fault(state, kInvalidOpcode);
    } else if (may_run(state) && read_rm(state, args, offset, 8, source)) {
        const u64 destination = fpu::mmx_register(state.x87, args.reg());
        write_register(state, args.reg(), operation(destination, source));
    }
    return 0;
}

/// 0F 71, 72, 73: `immediate` is the second argument.
u32 mmx_shift(State& state, u32 packed, u32 immediate, u32)
{
    const FpuArgs args = unpack_fpu_args(packed);
    const fpu::MmxOperation operation = fpu::mmx_shift_by_immediate(args.opcode, args.reg());
    if (operation == nullptr) {
        raise_fault(state, kInvalidOpcode);
    } else if (may_run(state)) {
        const u64 destination = fpu::mmx_register(state.x87, args.rm());
        write_register(state, args.rm(), operation(destination, immediate));
    }
    return 0;
}

/// 0F 6E: MOVD mm, r/m32.
u32 mmx_load32(State& state, u32 packed, u32 offset, u32)
{
    const FpuArgs args = unpack_fpu_args(packed);
    u64 value = 0;
    if (!may_run(state)) {
        return 0;
    }
    if (!args.is_memory()) {
        value = state.reg32(args.rm());
    } else if (!read_rm(state, args, offset, 4, value)) {
        return 0;
    }
    write_register(state, args.reg(), value);
    return 0;
}

/// 0F 7E: MOVD r/m32, mm.
u32 mmx_store32(State& state, u32 packed, u32 offset, u32)
{
    const FpuArgs args = unpack_fpu_args(packed);
    if (!may_run(state)) {
        return 0;
    }
    const u64 value = fpu::mmx_register(state.x87, args.reg()) & 0xffff'ffff;
    if (args.is_memory() && !write_memory(state, args, offset, 4, value)) {
        return 0;
    }
    if (!args.is_memory()) {
        state.set_reg32(args.rm(), static_cast<u32>(value));
    }
    fpu::begin_mmx(state.x87);
    return 0;
}

/// 0F 6F: MOVQ mm, mm/m64.
u32 mmx_load64(State& state, u32 packed, u32 offset, u32)
{
    const FpuArgs args = unpack_fpu_args(packed);
    u64 value = 0;
    if (may_run(state) && read_rm(state, args, offset, 8, value)) {
        write_register(state, args.reg(), value);
    }
    return 0;
}

/// 0F 7F: MOVQ mm/m64, mm.
u32 mmx_store64(State& state, u32 packed, u32 offset, u32)
{
    const FpuArgs args = unpack_fpu_args(packed);
    if (!may_run(state)) {
        return 0;
    }
    const u64 value = fpu::mmx_register(state.x87, args.reg());
    if (!args.is_memory()) {
        write_register(state, args.rm(), value);
    } else if (write_memory(state, args, offset, 8, value)) {
        fpu::begin_mmx(state.x87);
    }
    return 0;
}

/// 0F 77.
u32 emms(State& state, u32, u32, u32)
{
    if (may_run(state)) {
        fpu::emms(state.x87);
    }
    return 0;
}

constexpr std::array kHelpers{
    HelperInfo{"mmx_operation", mmx_operation, kHelperMayLeave | kHelperReaches},
    HelperInfo{"mmx_shift", mmx_shift, kHelperMayLeave},
    HelperInfo{"mmx_load32", mmx_load32, kHelperMayLeave | kHelperReaches},
    HelperInfo{"mmx_store32", mmx_store32, kHelperMayLeave | kHelperReaches},
    HelperInfo{"mmx_load64", mmx_load64, kHelperMayLeave | kHelperReaches},
    HelperInfo{"mmx_store64", mmx_store64, kHelperMayLeave | kHelperReaches},
    HelperInfo{"emms", emms, kHelperMayLeave},
};

} // namespace

std::span<const HelperInfo> mmx_helpers()
{
    return kHelpers;
}

} // namespace emu::x86
