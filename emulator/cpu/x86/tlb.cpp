// The data TLB that translated code reads inline, the code TLB, and memory accesses that miss.
//
// Tags: exec_state.hpp. An entry that is valid but must not be used inline (device memory, ROM and
// pages with translated code on the write side) has kSlow in its tag; the slow path then uses
// TlbSide::frame and does not walk again, so that being slow is invisible to the guest.
#include "emulator/cpu/x86/internal.hpp"
#include "emulator/cpu/x86/mmu.hpp"

#include <algorithm>
#include <cstring>

namespace emu::x86 {

namespace {

constexpr u32 kPageMask = 0xffff'f000;
/// Above all alignment bits an inline check may fold into its comparison, and set in kInvalid.
constexpr u32 kSlow = 0x800;

constexpr bool tag_matches(u32 tag, u32 linear)
{
    return tag == (linear & kPageMask) || tag == ((linear & kPageMask) | kSlow);
}

/// Remembers that an entry is in use, so that a flush need not look at all of them.
void list_filled(TlbSide& side, unsigned index)
{
    if (side.filled_count < TlbSide::kListed) {
        side.filled[side.filled_count] = static_cast<u16>(index);
    }
    if (side.filled_count <= TlbSide::kListed) {
        ++side.filled_count;
    }
}

void fill(State& state, u32 linear, unsigned mode, const Mapping& mapping)
{
    const unsigned index = ir::tlb_index(linear);
    ir::TlbEntry& entry = state.tlb[mode][index];
    TlbSide& side = state.tlb_side[mode];
    if (entry.read_tag == ir::TlbEntry::kInvalid) {
        list_filled(side, index);
    }
    const u64 physical = world(state).memory->masked(mapping.physical);
    const AddressSpace::Page& page = world(state).memory->page(physical);
    const u32 tag = linear & kPageMask;
    side.frame[index] = static_cast<u32>(physical >> 12);
    const u64 bit = u64{1} << (index % 64);
    side.global[index / 64] =
        mapping.global ? side.global[index / 64] | bit : side.global[index / 64] & ~bit;
    state.tlb_has_large_pages = state.tlb_has_large_pages || mapping.large;
    side.code_lines[index] = nullptr;
    entry.write_tag = ir::TlbEntry::kInvalid;
    if (page.block == nullptr) {
        entry.read_tag = tag | kSlow;
        entry.write_tag = mapping.writable ? tag | kSlow : ir::TlbEntry::kInvalid;
        entry.addend = 0;
        return;
    }
    entry.read_tag = tag;
    entry.addend = reinterpret_cast<u64>(page.block->data() + page.block_offset) - tag;
    if (mapping.writable) {
        const u64& lines = page.block->code_lines()[page.block_offset / kPageSize];
        entry.write_tag = page.writable && lines == 0 ? tag : tag | kSlow;
        side.code_lines[index] = page.writable ? &lines : nullptr;
    }
}

/// The physical address for an access within one page; fills the TLB.
bool look_up(State& state, u32 linear, Access access, bool user, u64& physical)
{
    const unsigned mode = user ? 1 : 0;
    const unsigned index = ir::tlb_index(linear);
    const ir::TlbEntry& entry = state.tlb[mode][index];
    if (!tag_matches(access == Access::write ? entry.write_tag : entry.read_tag, linear)) {
        Mapping mapping;
        if (!walk(state, linear, access, user, mapping)) {
            return false;
        }
        fill(state, linear, mode, mapping);
    }
    physical = u64{state.tlb_side[mode].frame[index]} << 12 | (linear & 0xfff);
    return true;
}

u64 read_physical(AddressSpace& memory, u64 physical, unsigned size)
{
    const AddressSpace::Page& page = memory.page(physical);
    if (page.block == nullptr) {
        return memory.read_int(physical, size);
    }
    u64 value = 0;
    std::memcpy(&value, page.block->data() + page.block_offset + physical % kPageSize, size);
    return value;
}

bool crosses_page(u32 linear, unsigned size)
{
    return (linear & 0xfff) + size > kPageSize;
}

/// An access in one or two pieces, both translated before either is made.
struct Pieces {
    u64 first = 0;
    u64 second = 0;
    unsigned first_size = 0;
    unsigned second_size = 0;
};

bool find_pieces(State& state, u32 linear, unsigned size, Access access, bool user, Pieces& pieces)
{
    if (alignment_checked(state, user) && (linear & (size - 1)) != 0) {
        raise_fault(state, kAlignmentCheck, 0);
        return false;
    }
    pieces.first_size = size;
    if (crosses_page(linear, size)) {
        pieces.first_size = kPageSize - (linear & 0xfff);
        pieces.second_size = size - pieces.first_size;
    }
    if (!look_up(state, linear, access, user, pieces.first)) {
        return false;
    }
    return pieces.second_size == 0 ||
           look_up(state, linear + pieces.first_size, access, user, pieces.second);
}

/// Flushes one mode's entries; global ones stay unless asked for.
void flush_side(State& state, unsigned mode, bool global_too)
{
    auto& entries = state.tlb[mode];
    TlbSide& side = state.tlb_side[mode];
    if (side.filled_count > TlbSide::kListed) {
        side.filled_count = 0;
        for (unsigned index = 0; index < ir::kTlbSize; ++index) {
            const bool global = (side.global[index / 64] >> (index % 64) & 1) != 0;
            if (entries[index].read_tag == ir::TlbEntry::kInvalid) {
                continue;
            }
            if (global && !global_too) {
                list_filled(side, index);
            } else {
                entries[index] = ir::TlbEntry{};
            }
        }
        return;
    }
    const unsigned count = side.filled_count;
    side.filled_count = 0;
    for (unsigned i = 0; i < count; ++i) {
        const unsigned index = side.filled[i];
        const bool global = (side.global[index / 64] >> (index % 64) & 1) != 0;
        if (global && !global_too && entries[index].read_tag != ir::TlbEntry::kInvalid) {
            list_filled(side, index);
        } else {
            entries[index] = ir::TlbEntry{};
        }
    }
}

void mapping_changed(State& state, bool global_too)
{
    if (world(state).translations_changed) {
        world(state).translations_changed(global_too);
    }
}

/// A plain hit of the data TLB while nothing but the page decides; null otherwise.
u8* fast_host(const State& state, u32 linear, unsigned size, bool user, bool write)
{
    const ir::TlbEntry& entry = state.tlb[user ? 1 : 0][ir::tlb_index(linear)];
    const u32 tag = write ? entry.write_tag : entry.read_tag;
    if (tag != ((linear + size - 1) & kPageMask) || breakpoints_enabled(state) ||
        alignment_checked(state, user)) {
        return nullptr;
    }
    return reinterpret_cast<u8*>(linear + entry.addend);
}

/// Bytes of RAM in a page that holds code, as the data TLB knows it.
struct CodePagePlace {
    u8* host = nullptr; // null: it is no such place, or more than the page decides
    bool may_be_code = false;
};

CodePagePlace in_code_page(const State& state, u32 linear, unsigned size, bool user)
{
    const unsigned mode = user ? 1 : 0;
    const unsigned index = ir::tlb_index(linear);
    const ir::TlbEntry& entry = state.tlb[mode][index];
    const u32 last_page = (linear + size - 1) & kPageMask;
    const u64* const lines = state.tlb_side[mode].code_lines[index];
    if (entry.write_tag != (last_page | kSlow) || entry.read_tag != last_page || lines == nullptr ||
        breakpoints_enabled(state) || alignment_checked(state, user)) {
        return {};
    }
    const u32 first = linear & 0xfff;
    return {reinterpret_cast<u8*>(linear + entry.addend),
            (*lines & RamBlock::line_mask(first, first + size - 1)) != 0};
}

/// Sizes known when compiling make it a store instead of a call.
void store_int(u8* host, unsigned size, u64 value)
{
    switch (size) {
    case 1:
        *host = static_cast<u8>(value);
        break;
    case 2:
        std::memcpy(host, &value, 2);
        break;
    case 4:
        std::memcpy(host, &value, 4);
        break;
    default:
        std::memcpy(host, &value, size);
        break;
    }
}

} // namespace

void CodeTlb::fill(unsigned mode, u32 linear, u64 physical, bool global)
{
    if (!frames_[mode]) {
        frames_[mode].reset(static_cast<u32*>(std::calloc(1u << 20, sizeof(u32))));
        if (!frames_[mode]) {
            throw std::bad_alloc{};
        }
    }
    frames_[mode].get()[linear >> 12] =
        (static_cast<u32>(physical >> 12) + 1) | (global ? kGlobal : 0);
    (global ? filled_global_ : filled_).push_back(linear >> 12);
}

void CodeTlb::drop_page(u32 linear)
{
    for (auto& frames : frames_) {
        if (frames) {
            frames.get()[linear >> 12] = 0;
        }
    }
}

void CodeTlb::clear(bool global_too)
{
    for (const u32 page : filled_) {
        for (auto& frames : frames_) {
            if (frames && (frames.get()[page] & kGlobal) == 0) {
                frames.get()[page] = 0;
            }
        }
    }
    filled_.clear();
    if (global_too) {
        for (const u32 page : filled_global_) {
            drop_page(page << 12);
        }
        filled_global_.clear();
    }
}

bool fetch_page(State& state, u32 linear, u64& physical)
{
    CodeTlb& tlb = world(state).code_tlb;
    const bool user = state.cpl == 3;
    if (tlb.find(user ? 1 : 0, linear, physical)) {
        return true;
    }
    Mapping mapping;
    if (!walk(state, linear, Access::execute, user, mapping)) {
        return false;
    }
    physical = world(state).memory->masked(mapping.physical);
    tlb.fill(user ? 1 : 0, linear, physical, mapping.global);
    return true;
}

bool load(State& state, u32 linear, unsigned size, bool user, u64& value)
{
    if (const u8* host = fast_host(state, linear, size, user, false)) {
        value = 0;
        std::memcpy(&value, host, size);
        return true;
    }
    Pieces pieces;
    if (!find_pieces(state, linear, size, Access::read, user, pieces)) {
        return false;
    }
    AddressSpace& memory = *world(state).memory;
    if (pieces.second_size == 0) {
        value = read_physical(memory, pieces.first, size);
    } else {
        std::array<u8, 8> bytes{};
        memory.read(pieces.first, {bytes.data(), pieces.first_size});
        memory.read(pieces.second, {bytes.data() + pieces.first_size, pieces.second_size});
        value = 0;
        std::memcpy(&value, bytes.data(), size);
    }
    if (breakpoints_enabled(state)) {
        note_data_access(state, linear, size, false);
    }
    return true;
}

bool store(State& state, u32 linear, unsigned size, bool user, u64 value)
{
    if (u8* host = fast_host(state, linear, size, user, true)) {
        std::memcpy(host, &value, size);
        return true;
    }
    if (store_beside_code(state, linear, size, user, value)) {
        return true;
    }
    Pieces pieces;
    if (!find_pieces(state, linear, size, Access::write, user, pieces)) {
        return false;
    }
    AddressSpace& memory = *world(state).memory;
    if (pieces.second_size == 0) {
        memory.write_int(pieces.first, size, value);
    } else {
        std::array<u8, 8> bytes{};
        std::memcpy(bytes.data(), &value, sizeof bytes);
        memory.write(pieces.first, {bytes.data(), pieces.first_size});
        memory.write(pieces.second, {bytes.data() + pieces.first_size, pieces.second_size});
    }
    if (breakpoints_enabled(state)) {
        note_data_access(state, linear, size, true);
    }
    return true;
}

bool store_beside_code(State& state, u32 linear, unsigned size, bool user, u64 value)
{
    const CodePagePlace place = in_code_page(state, linear, size, user);
    if (place.host == nullptr) {
        return false;
    }
    if (place.may_be_code) {
        return std::memcmp(place.host, &value, size) == 0;
    }
    store_int(place.host, size, value);
    return true;
}

u8* host_beside_code(State& state, u32 linear, unsigned size, bool user)
{
    const CodePagePlace place = in_code_page(state, linear, size, user);
    return place.may_be_code ? nullptr : place.host;
}

bool check_load(State& state, u32 linear, unsigned size, bool user)
{
    Pieces pieces;
    return find_pieces(state, linear, size, Access::read, user, pieces);
}

bool check_store(State& state, u32 linear, unsigned size, bool user)
{
    Pieces pieces;
    return find_pieces(state, linear, size, Access::write, user, pieces);
}

void flush_tlb(State& state, bool global_too)
{
    for (unsigned mode = 0; mode < ir::kMmuModes; ++mode) {
        flush_side(state, mode, global_too);
    }
    if (global_too) {
        state.tlb_has_large_pages = false;
    }
    world(state).code_tlb.clear(global_too);
    mapping_changed(state, global_too);
}

void flush_tlb_page(State& state, u32 linear)
{
    if (state.tlb_has_large_pages) {
        // One 4 MiB page may fill many entries; INVLPG drops them all (SDM vol. 3, 4.10.4.1).
        flush_tlb(state, true);
        return;
    }
    for (auto& entries : state.tlb) {
        ir::TlbEntry& entry = entries[ir::tlb_index(linear)];
        if (tag_matches(entry.read_tag, linear)) {
            entry = ir::TlbEntry{};
        }
    }
    world(state).code_tlb.drop_page(linear);
    mapping_changed(state, true);
}

void protect_code_page(State& state, const u8* host_page)
{
    const u64 host = reinterpret_cast<u64>(host_page);
    for (auto& entries : state.tlb) {
        for (ir::TlbEntry& entry : entries) {
            const bool fast = (entry.write_tag & 0xfff) == 0;
            if (fast && entry.write_tag + entry.addend == host) {
                entry.write_tag |= kSlow;
            }
        }
    }
}

} // namespace emu::x86
