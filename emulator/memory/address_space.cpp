#include "emulator/memory/address_space.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <sys/mman.h>

namespace emu {

namespace {

constexpr u64 kHighestAddress = u64{1} << 36; // what PAE can reach

constexpr u64 page_up(u64 value)
{
    return (value + kPageSize - 1) & ~(kPageSize - 1);
}

} // namespace

RamBlock::RamBlock(std::string name, u64 size)
    : name_{std::move(name)}, size_{page_up(size)}, code_lines_(size_ / kPageSize, 0)
{
    void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::bad_alloc{};
    }
    data_ = static_cast<u8*>(memory);
}

RamBlock::~RamBlock()
{
    munmap(data_, size_);
}

bool RamBlock::may_hold_code(u64 offset, u64 length) const
{
    const u64 end = offset + length;
    while (offset < end) {
        const u64 page = offset / kPageSize;
        const u64 last = std::min(end - 1, page * kPageSize + kPageSize - 1);
        if ((code_lines_[page] & line_mask(offset % kPageSize, last % kPageSize)) != 0) {
            return true;
        }
        offset = last + 1;
    }
    return false;
}

AddressSpace::AddressSpace() : low_(kLowPages) {}

AddressSpace::RegionId AddressSpace::map_ram(u64 base, u64 size, RamBlock& block, u64 block_offset,
                                             Access access, int priority)
{
    const RegionId id = next_id_++;
    add({id, base, size, priority, true, access, &block, block_offset, nullptr, block.name()});
    return id;
}

AddressSpace::RegionId AddressSpace::map_mmio(u64 base, u64 size, MmioHandler& handler,
                                              std::string name, int priority)
{
    const RegionId id = next_id_++;
    add({id, base, size, priority, true, Access::read_write, nullptr, 0, &handler,
         std::move(name)});
    return id;
}

void AddressSpace::add(Region region)
{
    const u64 base = region.base;
    const u64 size = region.size;
    const auto place = std::ranges::upper_bound(regions_, region.priority, {}, &Region::priority);
    regions_.insert(place, std::move(region));
    flatten(base, size);
}

AddressSpace::Region* AddressSpace::find(RegionId id)
{
    const auto it = std::ranges::find(regions_, id, &Region::id);
    return it == regions_.end() ? nullptr : &*it;
}

void AddressSpace::set_enabled(RegionId id, bool enabled)
{
    Region* region = find(id);
    if (region != nullptr && region->enabled != enabled) {
        region->enabled = enabled;
        flatten(region->base, region->size);
    }
}

void AddressSpace::set_access(RegionId id, Access access)
{
    Region* region = find(id);
    if (region != nullptr && region->access != access) {
        region->access = access;
        flatten(region->base, region->size);
    }
}

void AddressSpace::move(RegionId id, u64 base)
{
    Region* region = find(id);
    if (region != nullptr && region->base != base) {
        const u64 old_base = region->base;
        region->base = base;
        flatten(old_base, region->size);
        flatten(base, region->size);
    }
}

void AddressSpace::unmap(RegionId id)
{
    const Region* region = find(id);
    if (region != nullptr) {
        const u64 base = region->base;
        const u64 size = region->size;
        std::erase_if(regions_, [id](const Region& r) { return r.id == id; });
        flatten(base, size);
    }
}

void AddressSpace::set_a20(bool open)
{
    const u64 mask = open ? ~u64{0} : ~(u64{1} << 20);
    if (mask != a20_mask_) {
        a20_mask_ = mask;
        if (listener_ != nullptr) {
            listener_->map_changed();
        }
    }
}

void AddressSpace::flatten(u64 base, u64 size)
{
    const u64 end = std::min(page_up(base + size), kHighestAddress);
    if (base >= end) {
        return;
    }
    if (end / kPageSize > kLowPages && high_.size() < end / kPageSize - kLowPages) {
        high_.resize(end / kPageSize - kLowPages);
    }
    const auto slot = [this](u64 number) -> Page& {
        return number < kLowPages ? low_[number] : high_[number - kLowPages];
    };
    for (u64 number = base / kPageSize; number < end / kPageSize; ++number) {
        slot(number) = Page{};
    }
    for (const Region& region : regions_) {
        const u64 from = std::max(base, region.base);
        const u64 to = std::min(end, page_up(region.base + region.size));
        if (!region.enabled) {
            continue;
        }
        for (u64 at = from; at < to; at += kPageSize) {
            const u64 inside = at - region.base;
            Page& page = slot(at / kPageSize);
            page = Page{};
            if (region.block != nullptr) {
                page.block = region.block;
                page.block_offset = region.block_offset + inside;
                page.writable = region.access == Access::read_write;
            } else {
                page.handler = region.handler;
                page.handler_offset = inside;
            }
        }
    }
    if (listener_ != nullptr) {
        listener_->map_changed();
    }
}

const AddressSpace::Page& AddressSpace::page(u64 physical) const
{
    const u64 number = (physical & a20_mask_) / kPageSize;
    if (number < kLowPages) {
        return low_[number];
    }
    return number - kLowPages < high_.size() ? high_[number - kLowPages] : unmapped_;
}

void AddressSpace::notify_code_write(RamBlock& block, u64 offset, u64 length)
{
    if (listener_ == nullptr) {
        return;
    }
    if (block.may_hold_code(offset, length)) {
        listener_->code_written(block, offset, length);
    }
}

void AddressSpace::read(u64 physical, std::span<u8> into)
{
    while (!into.empty()) {
        const u64 in_page = physical % kPageSize;
        const u64 count = std::min<u64>(into.size(), kPageSize - in_page);
        const Page& at = page(physical);
        if (at.block != nullptr) {
            std::memcpy(into.data(), at.block->data() + at.block_offset + in_page, count);
        } else {
            for (u64 i = 0; i < count; ++i) {
                into[i] = at.handler == nullptr ? u8{0xff}
                                                : static_cast<u8>(at.handler->mmio_read(
                                                      at.handler_offset + in_page + i, 1));
            }
        }
        into = into.subspan(count);
        physical += count;
    }
}

/// Bytes that stay what they are change no code.
void AddressSpace::write_ram(RamBlock& block, u64 offset, std::span<const u8> from)
{
    u8* const to = block.data() + offset;
    if (!block.may_hold_code(offset, from.size())) {
        std::memcpy(to, from.data(), from.size());
    } else if (std::memcmp(to, from.data(), from.size()) != 0) {
        std::memcpy(to, from.data(), from.size());
        notify_code_write(block, offset, from.size());
    }
}

void AddressSpace::write(u64 physical, std::span<const u8> from)
{
    while (!from.empty()) {
        const u64 in_page = physical % kPageSize;
        const u64 count = std::min<u64>(from.size(), kPageSize - in_page);
        const Page at = page(physical); // a copy: the handler may remap
        if (at.block != nullptr) {
            if (at.writable) {
                write_ram(*at.block, at.block_offset + in_page, from.first(count));
            }
        } else if (at.handler != nullptr) {
            for (u64 i = 0; i < count; ++i) {
                at.handler->mmio_write(at.handler_offset + in_page + i, 1, from[i]);
            }
        }
        from = from.subspan(count);
        physical += count;
    }
}

u64 AddressSpace::read_int(u64 physical, unsigned size)
{
    const u64 in_page = physical % kPageSize;
    const Page& at = page(physical);
    if (at.block == nullptr && at.handler != nullptr && in_page + size <= kPageSize) {
        return at.handler->mmio_read(at.handler_offset + in_page, size);
    }
    u64 value = 0; // little-endian hosts only, as the code generator
    read(physical, {reinterpret_cast<u8*>(&value), size});
    return value;
}

void AddressSpace::write_int(u64 physical, unsigned size, u64 value)
{
    const u64 in_page = physical % kPageSize;
    const Page& at = page(physical);
    if (at.block == nullptr && at.handler != nullptr && in_page + size <= kPageSize) {
        at.handler->mmio_write(at.handler_offset + in_page, size, value);
        return;
    }
    write(physical, {reinterpret_cast<const u8*>(&value), size});
}

} // namespace emu
