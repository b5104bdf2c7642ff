// Page walks: Intel SDM vol. 3, 4.3 (32-bit paging), 4.4 (PAE), 4.6 (rights), 4.7 (page faults),
// 4.8 (accessed and dirty flags).
//
// Accessed bits are set only by walks that succeed, in all levels at once. Walks happen on TLB
// misses; which accesses miss depends on the guest's accesses alone, because interpreter and
// translated code share the TLB and its one fill function (tlb.cpp), and code fetches have a TLB of
// their own that never evicts (CodeTlb).
#include "emulator/cpu/x86/mmu.hpp"

#include "emulator/cpu/x86/internal.hpp"

namespace emu::x86 {

namespace {

constexpr u32 kPresent = 1;
constexpr u32 kWritable = 2;
constexpr u32 kUser = 4;
constexpr u32 kAccessed = 0x20;
constexpr u32 kDirty = 0x40;
constexpr u32 kLarge = 0x80;
constexpr u32 kGlobal = 0x100;

constexpr u32 kErrorPresent = 1;
constexpr u32 kErrorWrite = 2;
constexpr u32 kErrorUser = 4;
constexpr u32 kErrorReserved = 8;

constexpr u64 kPhysicalBits = u64{0xf'ffff'ffff}; // 36 bits
constexpr u64 kPaeReserved = ~kPhysicalBits;

/// One entry on the way from CR3 to the page.
struct Entry {
    u64 address = 0;
    u64 value = 0;
};

struct Path {
    std::array<Entry, 2> entries{};
    unsigned count = 0;
    u64 physical = 0;
    bool large = false;
    bool reserved = false; // a reserved bit is set
    bool present = false;
};

void walk_32(AddressSpace& memory, const State& state, u32 linear, Path& path)
{
    const u64 directory = (state.cr3 & 0xffff'f000) + ((linear >> 22) << 2);
    const u64 pde = memory.read_int(directory, 4);
    path.entries[path.count++] = {directory, pde};
    if ((pde & kPresent) == 0) {
        return;
    }
    if ((pde & kLarge) != 0 && (state.cr4 & kCr4Pse) != 0) {
        // PSE-36: bits 16..13 are physical address bits 35..32, bit 21 is reserved.
        path.reserved = (pde & 0x20'0000) != 0;
        path.physical = (pde & 0xffc0'0000) | ((pde & 0x1'e000) << 19) | (linear & 0x3f'ffff);
        path.large = true;
        path.present = true;
        return;
    }
    const u64 table = (pde & 0xffff'f000) + (((linear >> 12) & 0x3ff) << 2);
    const u64 pte = memory.read_int(table, 4);
    path.entries[path.count++] = {table, pte};
    path.present = (pte & kPresent) != 0;
    path.physical = (pte & 0xffff'f000) | (linear & 0xfff);
}

void walk_pae(AddressSpace& memory, const State& state, u32 linear, Path& path)
{
    const u64 pdpte = state.pdpte[linear >> 30];
    if ((pdpte & kPresent) == 0) {
        return;
    }
    const u64 directory = (pdpte & kPhysicalBits & ~u64{0xfff}) + (((linear >> 21) & 0x1ff) << 3);
    const u64 pde = memory.read_int(directory, 8);
    path.entries[path.count++] = {directory, pde};
    if ((pde & kPresent) == 0) {
        return;
    }
    path.reserved = (pde & kPaeReserved) != 0;
    if ((pde & kLarge) != 0) {
        path.reserved = path.reserved || (pde & 0x1f'e000) != 0;
        path.physical = (pde & kPhysicalBits & ~u64{0x1f'ffff}) | (linear & 0x1f'ffff);
        path.large = true;
        path.present = true;
        return;
    }
    if (path.reserved) {
        path.present = true; // the fault is reported without looking at the table
        return;
    }
    const u64 table = (pde & kPhysicalBits & ~u64{0xfff}) + (((linear >> 12) & 0x1ff) << 3);
    const u64 pte = memory.read_int(table, 8);
    path.entries[path.count++] = {table, pte};
    path.present = (pte & kPresent) != 0;
    path.reserved = (pte & kPaeReserved) != 0;
    path.physical = (pte & kPhysicalBits & ~u64{0xfff}) | (linear & 0xfff);
}

Path find_path(AddressSpace& memory, const State& state, u32 linear)
{
    Path path;
    if ((state.cr4 & kCr4Pae) != 0) {
        walk_pae(memory, state, linear, path);
    } else {
        walk_32(memory, state, linear, path);
    }
    return path;
}

/// R/W and U/S of the whole path: the more restrictive of both levels.
u64 combined_rights(const Path& path)
{
    u64 rights = kWritable | kUser;
    for (unsigned i = 0; i < path.count; ++i) {
        rights &= path.entries[i].value;
    }
    return rights;
}

bool store_allowed(const State& state, u64 rights, bool user)
{
    return (rights & kWritable) != 0 || (!user && (state.cr0 & kCr0Wp) == 0);
}

void set_accessed(AddressSpace& memory, Path& path, bool dirty)
{
    for (unsigned i = 0; i < path.count; ++i) {
        Entry& entry = path.entries[i];
        const bool last = i + 1 == path.count;
        const u64 wanted = entry.value | kAccessed | (last && dirty ? kDirty : 0);
        if (wanted != entry.value) {
            // The bits are in the low word; PAE entries keep their high one.
            memory.write_int(entry.address, 4, wanted & 0xffff'ffff);
            entry.value = wanted;
        }
    }
}

} // namespace

bool walk(State& state, u32 linear, Access access, bool user, Mapping& mapping)
{
    if ((state.cr0 & kCr0Pg) == 0) {
        mapping = {.physical = linear, .writable = true, .global = false, .large = false};
        return true;
    }
    AddressSpace& memory = *world(state).memory;
    Path path = find_path(memory, state, linear);
    const bool write = access == Access::write;
    const u64 rights = combined_rights(path);
    u32 error = (write ? kErrorWrite : 0) | (user ? kErrorUser : 0);
    if (!path.present) {
        raise_page_fault(state, linear, error);
        return false;
    }
    error |= kErrorPresent;
    if (path.reserved) {
        raise_page_fault(state, linear, error | kErrorReserved);
        return false;
    }
    const bool may_store = store_allowed(state, rights, user);
    if ((user && (rights & kUser) == 0) || (write && !may_store)) {
        raise_page_fault(state, linear, error);
        return false;
    }
    set_accessed(memory, path, write);
    const u64 last = path.entries[path.count - 1].value;
    mapping.physical = path.physical;
    mapping.writable = may_store && (last & kDirty) != 0;
    mapping.global = (state.cr4 & kCr4Pge) != 0 && (last & kGlobal) != 0;
    mapping.large = path.large;
    return true;
}

bool translate(State& state, u32 linear, Access access, bool user, u64& physical)
{
    Mapping mapping;
    if (!walk(state, linear, access, user, mapping)) {
        return false;
    }
    physical = world(state).memory->masked(mapping.physical);
    return true;
}

std::optional<u64> probe(const State& state, u32 linear)
{
    AddressSpace& memory = *static_cast<World*>(state.guest)->memory;
    if ((state.cr0 & kCr0Pg) == 0) {
        return memory.masked(linear);
    }
    const Path path = find_path(memory, state, linear);
    if (!path.present || path.reserved) {
        return std::nullopt;
    }
    return memory.masked(path.physical);
}

} // namespace emu::x86
