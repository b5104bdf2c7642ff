// Power-on state (Intel SDM vol. 3, table 9-1, but for the x87) and the system core's rows of the
// helper table.
#include "emulator/cpu/fpu/x87.hpp"
#include "emulator/cpu/x86/internal.hpp"

#include <vector>

namespace emu::x86 {

void reset(State& state)
{
    const u64 until = state.until;
    const i64 budget = state.budget;
    const u32 pending = state.pending;
    void* const guest = state.guest;
    const Model* const model = state.model;
    const bool line = state.interrupt_line;
    const bool smm = state.in_smm;

    state = State{};
    state.until = until;
    state.budget = budget;
    state.pending = pending;
    state.guest = guest;
    state.model = model;
    state.interrupt_line = line;

    for (Segment& segment : state.seg) {
        segment = {.selector = 0,
                   .base = 0,
                   .limit = 0xffff,
                   .type = kDataReadWrite,
                   .dpl = 0,
                   .present = true,
                   .big = false,
                   .avl = false,
                   .valid = true};
    }
    state.seg[kCs].selector = 0xf000;
    state.seg[kCs].base = 0xffff'0000;
    state.pc = 0xfff0;
    state.gdtr.limit = 0xffff;
    state.idtr.limit = 0xffff;
    state.ldtr = {.selector = 0,
                  .base = 0,
                  .limit = 0xffff,
                  .type = kLdt,
                  .dpl = 0,
                  .present = true,
                  .big = false,
                  .avl = false,
                  .valid = true};
    state.tr = state.ldtr;
    state.tr.type = kTss32Busy;
    state.set_reg32(kEdx, model == nullptr ? 0 : model->signature());
    state.set_arithmetic_flags(0);
    // Deviation: as after FNINIT, not control word 0040h and tags 5555h. Firmware of real PCs runs
    // FNINIT when it looks for the coprocessor, SeaBIOS does not, and programs count on it.
    fpu::fninit(state.x87);
    reset_msrs(state);
    if (smm) {
        world(state).hooks->set_smm_active(false);
    }
    flush_tlb(state, true);
    update_mode(state);
}

std::span<const HelperInfo> system_helpers()
{
    static const std::vector<HelperInfo> rows = [] {
        std::vector<HelperInfo> all;
        for (const auto list :
             {segment_helpers(), far_transfer_helpers(), interrupt_helpers(), control_helpers(),
              table_helpers(), cpuid_helpers(), msr_helpers(), io_helpers(), smm_helpers()}) {
            all.insert(all.end(), list.begin(), list.end());
        }
        return all;
    }();
    return rows;
}

} // namespace emu::x86
