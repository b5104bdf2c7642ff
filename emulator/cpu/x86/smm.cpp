// System management mode: SMI and RSM with the 32-bit state save map of the P6. Intel SDM vol. 3,
// 34.4 (SMRAM, table 34-1), 34.5 (the SMI handler's environment), 34.10-11 (auto HALT, SMBASE).
//
// The descriptor caches, which Intel keeps in the reserved part of the map, are at 7E00h + n here.
#include "emulator/cpu/x86/internal.hpp"

namespace emu::x86 {

namespace {

constexpr u32 kSaveArea = 0x8000; // map offsets below are relative to SMBASE + this
constexpr u32 kRevision = 0x7efc;
constexpr u32 kSmbaseSlot = 0x7ef8;
constexpr u32 kAutoHalt = 0x7f02;
constexpr u32 kCaches = 0x7e00;
constexpr u32 kRelocatable = 0x2'0000; // SMBASE relocation, no I/O restart

/// A 32-bit field of State and where it is saved.
struct Field {
    u32 offset;
    u32 State::*member;
};
constexpr Field kFields[] = {
    {0x7ffc, &State::cr0}, {0x7ff8, &State::cr3}, {0x7ff0, &State::pc},
    {0x7fcc, &State::dr6}, {0x7fc8, &State::dr7}, {0x7e80, &State::cr4},
};

struct SelectorField {
    u32 offset;
    Seg seg;
};
constexpr SelectorField kSelectors[] = {
    {0x7fa8, kEs}, {0x7fac, kCs}, {0x7fb0, kSs}, {0x7fb4, kDs}, {0x7fb8, kFs}, {0x7fbc, kGs},
};
constexpr u32 kEflagsSlot = 0x7ff4;
constexpr u32 kEdiSlot = 0x7fec; // then ESI EBP ESP EBX EDX ECX EAX downwards in address order
constexpr u32 kTrSlot = 0x7fc4;
constexpr u32 kLdtrSlot = 0x7fc0;
constexpr u32 kGdtSlot = 0x7e84;
constexpr u32 kIdtSlot = 0x7e8c;
constexpr u32 kCplSlot = 0x7e94;

class SaveMap {
public:
    explicit SaveMap(State& state) : memory_{*world(state).memory}, base_{state.smbase + kSaveArea}
    {}
    u32 get(u32 offset, unsigned size = 4) const
    {
        return static_cast<u32>(memory_.read_int(u32(base_ + offset), size));
    }
    void put(u32 offset, u32 value, unsigned size = 4) const
    {
        memory_.write_int(u32(base_ + offset), size, value);
    }

private:
    AddressSpace& memory_;
    u32 base_;
};

u32 pack_attributes(const Segment& s)
{
    return s.type | u32{s.dpl} << 8 | u32{s.present} << 10 | u32{s.big} << 11 | u32{s.avl} << 12 |
           u32{s.valid} << 13;
}

void unpack_attributes(Segment& s, u32 bits)
{
    s.type = bits & 0x1f;
    s.dpl = bits >> 8 & 3;
    s.present = (bits >> 10 & 1) != 0;
    s.big = (bits >> 11 & 1) != 0;
    s.avl = (bits >> 12 & 1) != 0;
    s.valid = (bits >> 13 & 1) != 0;
}

void save_cache(const SaveMap& map, unsigned n, const Segment& s)
{
    map.put(kCaches + n * 12, s.base);
    map.put(kCaches + n * 12 + 4, s.limit);
    map.put(kCaches + n * 12 + 8, pack_attributes(s));
}

void restore_cache(const SaveMap& map, unsigned n, u16 selector, Segment& s)
{
    s.selector = selector;
    s.base = map.get(kCaches + n * 12);
    s.limit = map.get(kCaches + n * 12 + 4);
    unpack_attributes(s, map.get(kCaches + n * 12 + 8));
}

void save(State& state)
{
    const SaveMap map{state};
    for (const Field& field : kFields) {
        map.put(field.offset, state.*field.member);
    }
    map.put(kEflagsSlot, state.full_eflags());
    for (unsigned n = 0; n < 8; ++n) {
        map.put(kEdiSlot - 4 * (7 - n), state.reg32(n));
    }
    for (const auto& [offset, seg] : kSelectors) {
        map.put(offset, state.seg[seg].selector);
        save_cache(map, seg, state.seg[seg]);
    }
    map.put(kTrSlot, state.tr.selector);
    save_cache(map, kSegments, state.tr);
    map.put(kLdtrSlot, state.ldtr.selector);
    save_cache(map, kSegments + 1, state.ldtr);
    map.put(kGdtSlot, state.gdtr.base);
    map.put(kGdtSlot + 4, state.gdtr.limit);
    map.put(kIdtSlot, state.idtr.base);
    map.put(kIdtSlot + 4, state.idtr.limit);
    map.put(kCplSlot, state.cpl);
    map.put(kRevision, kRelocatable);
    map.put(kSmbaseSlot, state.smbase);
    map.put(kAutoHalt, state.halted ? 1 : 0, 2);
}

void restore(State& state)
{
    const SaveMap map{state};
    for (const Field& field : kFields) {
        state.*field.member = map.get(field.offset);
    }
    write_eflags(state, map.get(kEflagsSlot), 0x003f'7fd5);
    for (unsigned n = 0; n < 8; ++n) {
        state.set_reg32(n, map.get(kEdiSlot - 4 * (7 - n)));
    }
    for (const auto& [offset, seg] : kSelectors) {
        restore_cache(map, seg, static_cast<u16>(map.get(offset)), state.seg[seg]);
    }
    restore_cache(map, kSegments, static_cast<u16>(map.get(kTrSlot)), state.tr);
    restore_cache(map, kSegments + 1, static_cast<u16>(map.get(kLdtrSlot)), state.ldtr);
    state.gdtr = {map.get(kGdtSlot), static_cast<u16>(map.get(kGdtSlot + 4))};
    state.idtr = {map.get(kIdtSlot), static_cast<u16>(map.get(kIdtSlot + 4))};
    state.cpl = map.get(kCplSlot) & 3;
    state.halted = (map.get(kAutoHalt, 2) & 1) != 0;
    state.smbase = map.get(kSmbaseSlot);
}

u32 helper_rsm(State& state, u32, u32, u32)
{
    if (!state.in_smm) {
        raise_fault(state, kInvalidOpcode);
        return 0;
    }
    const SaveMap map{state};
    const u32 cr0 = map.get(0x7ffc);
    const bool bad = ((cr0 & kCr0Pg) != 0 && (cr0 & kCr0Pe) == 0) ||
                     ((cr0 & kCr0Nw) != 0 && (cr0 & kCr0Cd) == 0);
    if (bad) {
        state.shutdown = true; // SDM vol. 3, 34.4.1
        return 0;
    }
    restore(state);
    state.in_smm = false;
    state.nmi_blocked = false;
    world(state).hooks->set_smm_active(false);
    flush_tlb(state, true);
    if ((state.cr0 & kCr0Pg) != 0 && !load_cr3(state, state.cr3)) {
        state.fault_pending = false;
        state.leave_request = 0;
        state.shutdown = true; // bad PDPTEs
    }
    update_mode(state);
    recheck_interrupts(state);
    return 0;
}

constexpr HelperInfo kHelpers[] = {
    {"rsm", helper_rsm, kHelperMayLeave | kHelperWritesFlags},
};

} // namespace

std::span<const HelperInfo> smm_helpers()
{
    return kHelpers;
}

void enter_smm(State& state)
{
    world(state).hooks->set_smm_active(true);
    save(state);
    state.in_smm = true;
    state.halted = false;
    state.nmi_blocked = true;
    state.cr0 &= ~(kCr0Pe | kCr0Em | kCr0Ts | kCr0Pg);
    state.cr4 = 0;
    state.dr7 = 0x400;
    write_eflags(state, 0, 0x003f'7fd5);
    for (Segment& segment : state.seg) {
        segment = {.selector = 0,
                   .base = 0,
                   .limit = 0xffff'ffff,
                   .type = kDataReadWrite,
                   .dpl = 0,
                   .present = true,
                   .big = false,
                   .avl = false,
                   .valid = true};
    }
    state.seg[kCs].selector = static_cast<u16>(state.smbase >> 4);
    state.seg[kCs].base = state.smbase;
    state.cpl = 0;
    state.pc = kSaveArea;
    flush_tlb(state, true);
    update_mode(state);
}

} // namespace emu::x86
