// The CPU's window at A0000h: "Graphics Controller", sections on read and write modes.
#include "emulator/devices/display/vga.hpp"

#include <bit>
#include <cstring>

namespace emu::devices::display {

namespace {

constexpr int kDirectPriority = 2; // over the MMIO window, under SMRAM
constexpr u32 kBankSize = 0x1'0000;

/// Four bits, one a plane, to four bytes of all zeros or all ones.
constexpr u32 spread(u8 planes)
{
    u32 mask = 0;
    for (unsigned plane = 0; plane < 4; ++plane) {
        if ((planes >> plane & 1) != 0) {
            mask |= u32{0xff} << (8 * plane);
        }
    }
    return mask;
}

constexpr u32 replicate(u8 byte)
{
    return byte * 0x0101'0101u;
}

constexpr u8 rotate_right(u8 value, unsigned count)
{
    return std::rotr(value, static_cast<int>(count));
}

constexpr u8 kChain4 = 0x08;      // memory mode
constexpr u8 kSequential = 0x04;  // memory mode bit 2: odd/even off
constexpr u8 kHostOddEven = 0x10; // graphics mode
constexpr u8 kReadMode1 = 0x08;

u32 load(const u8* data, u32 at)
{
    u32 value;
    std::memcpy(&value, data + at, sizeof value);
    return value;
}

} // namespace

/// Recomputes what every access would otherwise derive, and maps memory directly where an access
/// has no effect but the obvious.
void Vga::registers_changed()
{
    const bool vbe = dispi_.enabled();
    const u8 memory_mode = r_.seq[seq::memory_mode];
    if (vbe && dispi_.bits() >= 8) {
        addressing_ = Addressing::linear;
    } else if ((memory_mode & kChain4) != 0) {
        addressing_ = Addressing::chain4;
    } else if ((memory_mode & kSequential) == 0 && (r_.gfx[gfx::mode] & kHostOddEven) != 0) {
        // The two bits are to be complements ("Memory Mode Register" bit 2). Where a guest leaves
        // them at odds, addresses are taken as they are: GRUB's firmware loads its font so.
        addressing_ = Addressing::odd_even;
    } else {
        addressing_ = Addressing::planar;
    }
    map_mask32_ = spread(r_.seq[seq::map_mask]);
    set_reset32_ = spread(r_.gfx[gfx::set_reset]);
    enable_set_reset32_ = spread(r_.gfx[gfx::enable_set_reset]);
    bit_mask32_ = replicate(r_.gfx[gfx::mask]);
    const bool mode_0 = (r_.gfx[gfx::mode] & 3) == 0;
    plain_write_ = mode_0 && r_.gfx[gfx::rotate] == 0 && r_.gfx[gfx::enable_set_reset] == 0 &&
                   r_.gfx[gfx::mask] == 0xff;

    const bool plain_chain4 = addressing_ == Addressing::chain4 && r_.seq[seq::map_mask] == 0x0f &&
                              plain_write_ && (r_.gfx[gfx::mode] & kReadMode1) == 0;
    const u8 window = (r_.gfx[gfx::misc] >> 2) & 3;
    map_direct(addressing_ == Addressing::linear || (plain_chain4 && window <= 1 && !vbe));
}

void Vga::map_direct(bool wanted)
{
    const u64 offset = addressing_ == Addressing::linear
                           ? (u64{dispi_.bank_number()} * kBankSize) & vram_mask_
                           : 0;
    if (wanted == direct_mapped_ && (!wanted || offset == direct_offset_)) {
        return;
    }
    if (direct_mapped_) {
        wiring_.memory.unmap(direct_region_);
    }
    if (wanted) {
        direct_region_ = wiring_.memory.map_ram(kWindow, kBankSize, vram_, offset,
                                                AddressSpace::Access::read_write, kDirectPriority);
    }
    direct_mapped_ = wanted;
    direct_offset_ = offset;
}

/// "Miscellaneous Register" bits 3:2: which part of the window answers.
std::optional<u32> Vga::window_address(u64 offset) const
{
    const auto at = static_cast<u32>(offset);
    switch ((r_.gfx[gfx::misc] >> 2) & 3) {
    case 0:
        return at;
    case 1:
        return at < 0x1'0000 ? std::optional{at} : std::nullopt;
    case 2:
        return at >= 0x1'0000 && at < 0x1'8000 ? std::optional{at - 0x1'0000} : std::nullopt;
    default:
        return at >= 0x1'8000 ? std::optional{at - 0x1'8000} : std::nullopt;
    }
}

u32 Vga::read_planes(u32 address)
{
    const u32 at = (address << 2) & vram_mask_ & ~u32{3};
    r_.latches = load(vram_.data(), at);
    return r_.latches;
}

u8 Vga::read_memory(u64 offset)
{
    const std::optional<u32> found = window_address(offset);
    if (!found) {
        return 0xff;
    }
    u32 address = *found;
    u8 plane = r_.gfx[gfx::read_map] & 3;
    switch (addressing_) {
    case Addressing::linear:
        return vram_.data()[(address + dispi_.bank_number() * kBankSize) & vram_mask_];
    case Addressing::chain4:
        plane = address & 3;
        address >>= 2;
        break;
    case Addressing::odd_even:
        plane = static_cast<u8>((plane & 2) | (address & 1));
        address >>= 1;
        break;
    case Addressing::planar:
        if (dispi_.enabled()) {
            address += dispi_.bank_number() * kBankSize;
        }
        break;
    }
    const u32 planes = read_planes(address);
    if ((r_.gfx[gfx::mode] & kReadMode1) == 0) {
        return static_cast<u8>(planes >> (8 * plane));
    }
    // Read mode 1: a bit is set where the cared-for planes have the compare colour.
    const u32 difference = (planes ^ spread(r_.gfx[gfx::compare])) & spread(r_.gfx[gfx::dont_care]);
    const u32 folded = difference | (difference >> 16);
    return static_cast<u8>(~(folded | (folded >> 8)));
}

void Vga::write_planes(u32 address, u8 value)
{
    const u32 at = (address << 2) & vram_mask_ & ~u32{3};
    u8* const place = vram_.data() + at;
    const u32 old = load(vram_.data(), at);
    u32 bits = 0;
    if (plain_write_) {
        bits = replicate(value);
    } else {
        u32 mask = bit_mask32_;
        const u8 rotated = rotate_right(value, r_.gfx[gfx::rotate] & 7);
        bool logic = true;
        switch (r_.gfx[gfx::mode] & 3) {
        case 0:
            bits =
                (replicate(rotated) & ~enable_set_reset32_) | (set_reset32_ & enable_set_reset32_);
            break;
        case 1: // the latches, as they are
            bits = r_.latches;
            mask = ~u32{0};
            logic = false;
            break;
        case 2: // the low four bits are a colour
            bits = spread(value & 0x0f);
            break;
        default: // 3: set/reset where the byte says
            bits = set_reset32_;
            mask &= replicate(rotated);
            logic = true;
            break;
        }
        if (logic) {
            switch ((r_.gfx[gfx::rotate] >> 3) & 3) {
            case 1:
                bits &= r_.latches;
                break;
            case 2:
                bits |= r_.latches;
                break;
            case 3:
                bits ^= r_.latches;
                break;
            default:
                break;
            }
        }
        bits = (bits & mask) | (r_.latches & ~mask);
    }
    const u32 stored = (old & ~map_mask32_) | (bits & map_mask32_);
    std::memcpy(place, &stored, sizeof stored);
}

void Vga::write_memory(u64 offset, u8 value)
{
    const std::optional<u32> found = window_address(offset);
    if (!found) {
        return;
    }
    u32 address = *found;
    const u32 all = map_mask32_;
    switch (addressing_) {
    case Addressing::linear:
        vram_.data()[(address + dispi_.bank_number() * kBankSize) & vram_mask_] = value;
        return;
    case Addressing::chain4:
        map_mask32_ &= u32{0xff} << (8 * (address & 3));
        address >>= 2;
        break;
    case Addressing::odd_even:
        map_mask32_ &= (address & 1) != 0 ? 0xff00'ff00u : 0x00ff'00ffu;
        address >>= 1;
        break;
    case Addressing::planar:
        if (dispi_.enabled()) {
            address += dispi_.bank_number() * kBankSize;
        }
        break;
    }
    write_planes(address, value);
    map_mask32_ = all;
}

u64 Vga::mmio_read(u64 offset, unsigned size)
{
    u64 value = 0;
    for (unsigned i = 0; i < size; ++i) {
        value |= u64{read_memory(offset + i)} << (8 * i);
    }
    return value;
}

void Vga::mmio_write(u64 offset, unsigned size, u64 value)
{
    for (unsigned i = 0; i < size; ++i) {
        write_memory(offset + i, static_cast<u8>(value >> (8 * i)));
    }
}

} // namespace emu::devices::display
