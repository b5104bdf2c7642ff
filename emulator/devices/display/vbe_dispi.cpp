#include "emulator/devices/display/vbe_dispi.hpp"

#include <algorithm>

namespace emu::devices::display {

namespace {

constexpr u16 kOldestId = 0xb0c0;
constexpr u16 kId = 0xb0c5;

} // namespace

void VbeDispi::reset()
{
    registers_ = {};
    registers_[id] = kId;
    registers_[bits_per_pixel] = 8;
    index = 0;
}

bool VbeDispi::depth_exists(u16 bits)
{
    constexpr std::array<u16, 6> kDepths{4, 8, 15, 16, 24, 32};
    return std::ranges::find(kDepths, bits) != kDepths.end();
}

u32 VbeDispi::pitch() const
{
    const u32 width = registers_[virtual_width];
    switch (bits()) {
    case 4:
        return width / 8;
    case 15:
        return width * 2;
    default:
        return width * (bits() / 8);
    }
}

u64 VbeDispi::start() const
{
    const u64 row = u64{registers_[y_offset]} * pitch();
    const u64 x = registers_[x_offset];
    switch (bits()) {
    case 4:
        return row + x / 8;
    case 15:
        return row + x * 2;
    default:
        return row + x * (bits() / 8);
    }
}

u16 VbeDispi::read(u16 which) const
{
    if (which == memory_64k) {
        return static_cast<u16>(std::min<u64>(vram_size_ >> 16, 0xffff));
    }
    if (which >= count) {
        return 0;
    }
    if ((registers_[enable] & kGetCapabilities) != 0) {
        switch (which) {
        case x_resolution:
            return kMaxWidth;
        case y_resolution:
            return kMaxHeight;
        case bits_per_pixel:
            return kMaxBits;
        default:
            break;
        }
    }
    return registers_[which];
}

void VbeDispi::limit_offsets()
{
    const u32 bytes = pitch();
    const u64 planes = bits() == 4 ? 4 : 1;
    const u64 rows = bytes == 0 ? 0 : vram_size_ / (bytes * planes);
    registers_[virtual_height] = static_cast<u16>(std::min<u64>(rows, 0xffff));
    const u32 spare_x =
        registers_[virtual_width] - std::min(registers_[virtual_width], registers_[x_resolution]);
    const u32 spare_y =
        registers_[virtual_height] - std::min(registers_[virtual_height], registers_[y_resolution]);
    registers_[x_offset] = static_cast<u16>(std::min<u32>(registers_[x_offset], spare_x));
    registers_[y_offset] = static_cast<u16>(std::min<u32>(registers_[y_offset], spare_y));
}

VbeDispi::Effect VbeDispi::write_enable(u16 value)
{
    const bool was = enabled();
    registers_[enable] = value;
    if ((value & kEnabled) == 0) {
        registers_[bank] = 0;
        return Effect::changed;
    }
    if (was) {
        return Effect::changed;
    }
    registers_[virtual_width] = registers_[x_resolution];
    registers_[x_offset] = 0;
    registers_[y_offset] = 0;
    const u64 planes = bits() == 4 ? 4 : 1;
    const bool fits = width() != 0 && height() != 0 && visible_bytes() * planes <= vram_size_;
    if (!fits) {
        registers_[enable] &= static_cast<u16>(~kEnabled);
        return Effect::changed;
    }
    limit_offsets();
    return (value & kKeepMemory) != 0 ? Effect::changed : Effect::changed_and_cleared;
}

VbeDispi::Effect VbeDispi::write(u16 which, u16 value)
{
    switch (which) {
    case id:
        if (value >= kOldestId && value <= kId) {
            registers_[id] = value;
        }
        return Effect::none;
    case x_resolution:
        if (!enabled() && value <= kMaxWidth && value % 8 == 0) {
            registers_[which] = value;
        }
        return Effect::none;
    case y_resolution:
        if (!enabled() && value <= kMaxHeight) {
            registers_[which] = value;
        }
        return Effect::none;
    case bits_per_pixel:
        if (!enabled() && (value == 0 || depth_exists(value))) {
            registers_[which] = value == 0 ? u16{8} : value;
        }
        return Effect::none;
    case enable:
        return write_enable(value);
    case bank:
        registers_[bank] = value & 0x1ff;
        return Effect::changed;
    case virtual_width: {
        const u64 planes = bits() == 4 ? 4 : 1;
        const u16 old = registers_[which];
        registers_[which] = static_cast<u16>(std::max<u32>(value & ~7u, width()));
        if (visible_bytes() * planes > vram_size_) {
            registers_[which] = old;
        }
        limit_offsets();
        return Effect::changed;
    }
    case x_offset:
    case y_offset:
        registers_[which] = value;
        limit_offsets();
        return Effect::changed;
    default:
        return Effect::none; // virtual height and memory size are the adapter's to say
    }
}

void VbeDispi::visit_state(StateVisitor& visitor)
{
    visitor.section("dispi");
    visitor.field("index", index);
    visitor.field("registers", registers_);
    if (visitor.restoring()) {
        const bool sane = depth_exists(registers_[bits_per_pixel]) &&
                          registers_[x_resolution] <= kMaxWidth &&
                          registers_[y_resolution] <= kMaxHeight;
        if (!sane) {
            reset();
        }
    }
}

} // namespace emu::devices::display
