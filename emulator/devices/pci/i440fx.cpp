#include "emulator/devices/pci/i440fx.hpp"

#include <algorithm>

namespace emu::devices::pci {

namespace {

constexpr u8 kPam0 = 0x59;
constexpr u8 kRowBoundaries = 0x60;
constexpr u8 kSmram = 0x72;

namespace smram {
constexpr u8 open = 0x40;
constexpr u8 closed = 0x20;
constexpr u8 lock = 0x10;
constexpr u8 enable = 0x08;
constexpr u8 base_segment = 0x02; // A0000h, the only one there is
} // namespace smram

namespace pam {
constexpr u8 read = 1;
constexpr u8 write = 2;
} // namespace pam

// Above video memory and option ROMs, below the local APIC.
constexpr int kShadowPriority = 3;
constexpr int kSmramPriority = 4;
constexpr u32 kVideoWindow = 0xa'0000;
constexpr u32 kVideoWindowSize = 0x2'0000;
constexpr u32 kRowUnit = 8 << 20; // bytes

constexpr PciIdentity kIdentity{.vendor = 0x8086,
                                .device = 0x1237,
                                .class_code = 0x06'00'00,
                                .revision = 2,
                                .command_mask = 0x0100, // SERR# enable; the rest is hard-wired
                                .command_reset = 0x0006,
                                .status = 0x0280};

} // namespace

I440fx::I440fx(Fabric fabric, RamBlock& ram) : PciDevice{fabric, kIdentity}, ram_{ram}
{
    for (u8 offset = 0x50; offset < kPam0; ++offset) {
        define(offset, 0, 0xff); // PMCCFG, DETURBO, DBC, AXC, DRAMR, DRAMC, DRAMT
    }
    for (u8 i = 0; i < 7; ++i) {
        define(kPam0 + i, 0, i == 0 ? 0x30 : 0x33);
    }
    const u64 rows = std::min<u64>(ram.size() / kRowUnit, 0xff);
    for (u8 i = 0; i < 8; ++i) {
        define(kRowBoundaries + i, static_cast<u8>(rows), 0xff);
    }
    define(kSmram, smram::base_segment, smram::open | smram::closed | smram::lock | smram::enable);

    using Access = AddressSpace::Access;
    for (unsigned i = 0; i < kSegments; ++i) {
        Segment& segment = segments_[i];
        segment.base = i == 0 ? 0xf'0000 : 0xc'0000 + (i - 1) * 0x4000;
        segment.size = i == 0 ? 0x1'0000 : 0x4000;
        segment.shadow = memory().map_ram(segment.base, segment.size, ram_, segment.base,
                                          Access::read_write, kShadowPriority);
        segment.write_through.bridge = this;
        segment.write_through.base = segment.base;
        segment.write_through_region = memory().map_mmio(
            segment.base, segment.size, segment.write_through, "PAM write-only", kShadowPriority);
    }
    smram_region_ = memory().map_ram(kVideoWindow, kVideoWindowSize, ram_, kVideoWindow,
                                     Access::read_write, kSmramPriority);
    update_shadows();
    update_smram();
}

// PAM0 bits 5:4 are the BIOS area; then two 16 KiB segments a register, low nibble first.
u8 I440fx::attributes(unsigned segment) const
{
    const u8 value = byte(static_cast<u8>(kPam0 + (segment + 1) / 2));
    const bool high = segment == 0 || segment % 2 == 0;
    return (high ? value >> 4 : value) & 3;
}

void I440fx::update_shadows()
{
    for (unsigned i = 0; i < kSegments; ++i) {
        const Segment& segment = segments_[i];
        const u8 attribute = attributes(i);
        const bool readable = (attribute & pam::read) != 0;
        const bool writable = (attribute & pam::write) != 0;
        memory().set_access(segment.shadow, writable ? AddressSpace::Access::read_write
                                                     : AddressSpace::Access::read_only);
        memory().set_enabled(segment.shadow, readable);
        memory().set_enabled(segment.write_through_region, writable && !readable);
    }
}

void I440fx::update_smram()
{
    const u8 value = byte(kSmram);
    const bool enabled = (value & smram::enable) != 0;
    const bool visible = smm_active_ || (value & smram::open) != 0;
    memory().set_enabled(smram_region_, enabled && visible);
}

void I440fx::set_smm_active(bool active)
{
    smm_active_ = active;
    update_smram();
}

void I440fx::config_changed(u8 offset, unsigned size)
{
    const bool all = size == 0;
    const unsigned end = offset + size;
    if (all || (offset < kPam0 + 7 && end > kPam0)) {
        update_shadows();
    }
    if (all || (offset <= kSmram && end > kSmram)) {
        // D_LCK: once set, the window can neither be opened nor be unlocked until reset.
        if (smram_locked_) {
            set_byte(kSmram, smram::base_segment | smram::lock | smram::enable |
                                 (byte(kSmram) & smram::closed));
        } else if ((byte(kSmram) & smram::lock) != 0) {
            smram_locked_ = true;
            set_byte(kSmram, byte(kSmram) & static_cast<u8>(~smram::open));
        }
        update_smram();
    }
}

u8 I440fx::read_below(u64 physical) const
{
    const auto& regions = const_cast<I440fx*>(this)->memory().regions();
    for (auto it = regions.rbegin(); it != regions.rend(); ++it) {
        const bool covers = physical >= it->base && physical - it->base < it->size;
        if (!it->enabled || it->priority >= kShadowPriority || !covers) {
            continue;
        }
        const u64 inside = physical - it->base;
        return it->block != nullptr ? it->block->data()[it->block_offset + inside]
                                    : static_cast<u8>(it->handler->mmio_read(inside, 1));
    }
    return 0xff;
}

u64 I440fx::WriteThrough::mmio_read(u64 offset, unsigned size)
{
    u64 value = 0;
    for (unsigned i = 0; i < size; ++i) {
        value |= u64{bridge->read_below(base + offset + i)} << (8 * i);
    }
    return value;
}

void I440fx::WriteThrough::mmio_write(u64 offset, unsigned size, u64 value)
{
    const u64 at = base + offset;
    for (unsigned i = 0; i < size; ++i) {
        bridge->ram_.data()[at + i] = static_cast<u8>(value >> (8 * i));
    }
    bridge->memory().notify_code_write(bridge->ram_, at, size);
}

void I440fx::reset_device()
{
    smm_active_ = false;
    smram_locked_ = false;
}

void I440fx::visit_device(StateVisitor& visitor)
{
    visitor.field("smm_active", smm_active_);
    visitor.field("smram_locked", smram_locked_);
}

} // namespace emu::devices::pci
