// What the files of the system core share: descriptors, stacks under construction, events.
//
// Intel SDM vol. 3: 3.4.5 (descriptors), 5.8 (gates), 6.12 (events), 7 (tasks).
#pragma once

#include "emulator/cpu/x86/helpers.hpp"
#include "emulator/cpu/x86/model.hpp"
#include "emulator/cpu/x86/system.hpp"

namespace emu::x86 {

/// Types of system descriptors (SDM vol. 3, table 3-2).
enum SystemType : u8 {
    kTss16Available = 1,
    kLdt = 2,
    kTss16Busy = 3,
    kCallGate16 = 4,
    kTaskGate = 5,
    kInterruptGate16 = 6,
    kTrapGate16 = 7,
    kTss32Available = 9,
    kTss32Busy = 11,
    kCallGate32 = 12,
    kInterruptGate32 = 14,
    kTrapGate32 = 15,
};

inline constexpr u8 kTypeBusyBit = 2;
inline constexpr u8 kTypeCode = 8;
inline constexpr u8 kTypeConformingOrDown = 4;
inline constexpr u8 kTypeReadOrWrite = 2;
inline constexpr u8 kTypeAccessed = 1;
inline constexpr u8 kTypeNotSystem = 0x10;
inline constexpr u8 kDataReadWrite = 0x13; // accessed
inline constexpr u8 kCodeReadable = 0x1b;  // accessed

/// An entry of the GDT, LDT or IDT.
struct Descriptor {
    u32 low = 0;
    u32 high = 0;

    u32 base() const { return low >> 16 | (high & 0xff) << 16 | (high & 0xff00'0000); }
    u32 limit() const
    {
        const u32 raw = (low & 0xffff) | (high & 0xf'0000);
        return (high & 0x80'0000) != 0 ? raw << 12 | 0xfff : raw;
    }
    u8 type() const { return (high >> 8) & 0x1f; } // with S
    u8 system_type() const { return is_system() ? (high >> 8) & 0xf : 0; }
    u8 dpl() const { return (high >> 13) & 3; }
    bool present() const { return (high & 0x8000) != 0; }
    bool is_system() const { return (high & 0x1000) == 0; }
    bool is_code() const { return (high & 0x1800) == 0x1800; }
    bool is_data() const { return (high & 0x1800) == 0x1000; }
    bool conforming() const { return is_code() && (high & 0x400) != 0; }
    bool readable() const { return is_data() || (is_code() && (high & 0x200) != 0); }
    bool writable() const { return is_data() && (high & 0x200) != 0; }

    // Gates.
    u16 gate_selector() const { return static_cast<u16>(low >> 16); }
    bool gate_is_32() const { return (high & 0x800) != 0; }
    u32 gate_offset() const { return (low & 0xffff) | (gate_is_32() ? high & 0xffff'0000 : 0); }
    u32 gate_parameters() const { return high & 0x1f; }
};

constexpr bool is_null(u16 selector)
{
    return (selector & ~3) == 0;
}
constexpr u8 rpl(u16 selector)
{
    return selector & 3;
}

/// Records a fault with an error code, EXT added while an external event is being delivered.
/// Returns false, so that a check can `return fail_with(...)`.
bool fail_with(State& state, Vector vector, u32 error_code);
/// The same with the index and table of a selector as the error code.
bool fail_with_selector(State& state, Vector vector, u16 selector);

inline bool protected_mode(const State& state)
{
    return (state.cr0 & kCr0Pe) != 0 && (state.eflags & kVm) == 0;
}
inline bool v86_mode(const State& state)
{
    return (state.eflags & kVm) != 0; // never set while CR0.PE is clear
}
inline u32 iopl(const State& state)
{
    return (state.eflags >> 12) & 3;
}

/// EFLAGS bits under `mask` become those of `value`; arithmetic flags included.
void write_eflags(State& state, u32 value, u32 mask);
/// Asks the dispatcher to look at interrupts if one can now be taken.
void recheck_interrupts(State& state);

// Memory as the processor itself uses it: supervisor privilege.
bool read_system(State& state, u32 linear, unsigned size, u32& value);
bool write_system(State& state, u32 linear, unsigned size, u32 value);

// segment.cpp
bool segment_allows(const State& state, const Segment& segment, u32 offset, unsigned size,
                    bool write);
/// The linear address of a selector's descriptor; false if outside its table.
bool descriptor_address(const State& state, u16 selector, u32& linear);
/// Reads a descriptor; outside the table is `vector` with the selector.
bool read_descriptor(State& state, u16 selector, Vector vector, Descriptor& descriptor);
/// Sets the accessed bit in memory and in `descriptor`.
bool mark_accessed(State& state, u16 selector, Descriptor& descriptor);
Segment make_segment(u16 selector, const Descriptor& descriptor);
/// What real and virtual-8086 mode make of a selector.
Segment make_v86_segment(u16 selector);
void load_real_segment(State& state, Seg seg, u16 selector);
/// ES, SS, DS, FS, GS in protected mode. `vector` is #GP, or #TS in a task switch.
bool load_protected_segment(State& state, Seg seg, u16 selector, Vector vector);
/// Checks a stack segment for privilege `cpl` and reads its descriptor. Null: vector(0).
bool read_stack_segment(State& state, u16 selector, u8 cpl, Vector vector, Descriptor& descriptor);
bool load_ldt(State& state, u16 selector, Vector vector);
/// After a return to outer privilege: segments the new CPL may not use become null.
void drop_inaccessible_segments(State& state);
void set_code_segment(State& state, u16 selector, const Descriptor& descriptor, u8 cpl);

/// Pushes and pops on a stack that becomes the current one only with commit().
class Stack {
public:
    /// The current stack.
    explicit Stack(State& state)
        : state_{state}, ss_{state.seg[kSs]}, sp_{state.reg32(kEsp)}, user_{state.cpl == 3}
    {}
    /// A new stack: faults on it carry its selector.
    Stack(State& state, const Segment& ss, u32 sp, u8 cpl)
        : state_{state}, ss_{ss}, sp_{sp}, error_{static_cast<u16>(ss.selector & ~3)}, user_{cpl ==
                                                                                             3}
    {}
    bool push(u32 value, unsigned size);
    bool pop(u32& value, unsigned size);
    void skip(u32 bytes) { sp_ += bytes; }
    /// Only the stack pointer, 16 bits of it on a 16-bit stack.
    void commit_pointer() const;
    const Segment& ss() const { return ss_; }
    u32 sp() const { return sp_; }

private:
    u32 offset(u32 sp) const { return ss_.big ? sp : sp & 0xffff; }
    State& state_;
    Segment ss_;
    u32 sp_;
    u16 error_ = 0;
    bool user_;
};

// gates.cpp
/// SS and ESP for privilege `cpl` from the current TSS, checked.
bool read_inner_stack(State& state, u8 cpl, Descriptor& ss, u16& selector, u32& esp);

// task_switch.cpp
enum class TaskSwitch : u8 { jump, call, iret };
/// Follows a task gate to its TSS. `descriptor` is the gate.
bool switch_through_task_gate(State& state, const Descriptor& gate, TaskSwitch how, u32 return_eip,
                              std::optional<u32> error_code);
/// `descriptor` is the new task's TSS descriptor, type checked. Faults after the point of no return
/// are delivered in the new task; then true is returned. `return_eip` is saved as the old EIP.
bool switch_task(State& state, u16 selector, const Descriptor& descriptor, TaskSwitch how,
                 u32 return_eip, std::optional<u32> error_code);

// interrupt.cpp
struct Event {
    u8 vector = 0;
    bool software = false; // INT n, INT3, INTO: gate privilege is checked
    bool resume = false;   // a fault: RF is set in the saved EFLAGS
    std::optional<u32> error_code;
    u32 return_eip = 0;
};
/// False if delivery itself faulted; that fault is recorded and nothing has changed.
bool deliver_event(State& state, const Event& event);

// debug.cpp
/// Notes a data breakpoint hit by an access.
void note_data_access(State& state, u32 linear, unsigned size, bool write);
void note_io_access(State& state, u16 port, unsigned size);
inline bool breakpoints_enabled(const State& state)
{
    return (state.dr7 & 0xff) != 0;
}
inline bool alignment_checked(const State& state, bool user)
{
    return user && (state.cr0 & kCr0Am) != 0 && (state.eflags & kAc) != 0 && state.cpl == 3;
}

// control.cpp
/// Loads CR3 and, under PAE, the four PDPTEs; false with #GP recorded if those are bad.
bool load_cr3(State& state, u32 value);

// cpuid.cpp
/// False without a model.
bool has_feature(const State& state, u32 feature);

// msr.cpp
void reset_msrs(State& state);

// smm.cpp
void enter_smm(State& state);

// Rows of the helper table, one list per file; system_helpers() joins them.
std::span<const HelperInfo> segment_helpers();
std::span<const HelperInfo> far_transfer_helpers();
std::span<const HelperInfo> interrupt_helpers();
std::span<const HelperInfo> control_helpers();
std::span<const HelperInfo> table_helpers();
std::span<const HelperInfo> cpuid_helpers();
std::span<const HelperInfo> msr_helpers();
std::span<const HelperInfo> smm_helpers();
std::span<const HelperInfo> io_helpers();

} // namespace emu::x86
