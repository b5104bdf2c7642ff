// Guest physical memory: regions with priorities, flattened into a table of 4 KiB pages.
//
// RAM and ROM pages are reached by host pointers; everything else goes to a handler. Devices that
// move data (DMA) use the same table with the same checks as the CPU.
#pragma once

#include "base/types.hpp"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace emu {

using base::u16;
using base::u32;
using base::u64;
using base::u8;

inline constexpr u64 kPageSize = 4096;

/// Anonymous zero-filled host memory that guests see as RAM, ROM or video memory.
class RamBlock {
public:
    /// `size` is rounded up to whole pages. Throws std::bad_alloc when the host has too little.
    RamBlock(std::string name, u64 size);
    ~RamBlock();
    RamBlock(const RamBlock&) = delete;
    RamBlock& operator=(const RamBlock&) = delete;

    const std::string& name() const { return name_; }
    u64 size() const { return size_; }
    std::span<u8> bytes() { return {data_, size_}; }
    u8* data() { return data_; }

    /// One word a page: bit n is set where code may have been translated from the n-th 64 bytes
    /// (see CodeListener).
    std::vector<u64>& code_lines() { return code_lines_; }
    /// Do any of these bytes lie in such a line?
    bool may_hold_code(u64 offset, u64 length) const;

    static constexpr u64 kLineSize = 64;
    /// The lines of one page that bytes [first, last] of it touch.
    static constexpr u64 line_mask(u64 first, u64 last)
    {
        const u64 upto = last / kLineSize == 63 ? ~u64{0} : (u64{2} << (last / kLineSize)) - 1;
        return upto & ~((u64{1} << (first / kLineSize)) - 1);
    }

private:
    std::string name_;
    u64 size_;
    u8* data_;
    std::vector<u64> code_lines_;
};

class MmioHandler {
public:
    virtual ~MmioHandler() = default;

    /// `offset` is from the start of the mapped region; `size` is 1, 2, 4 or 8 bytes; the access
    /// does not cross a page.
    virtual u64 mmio_read(u64 offset, unsigned size) = 0;
    virtual void mmio_write(u64 offset, unsigned size, u64 value) = 0;
};

/// Told when bytes that code was translated from change, and when the map of pages changes.
class CodeListener {
public:
    virtual ~CodeListener() = default;
    virtual void code_written(RamBlock& block, u64 offset, u64 length) = 0;
    virtual void map_changed() = 0;
};

class AddressSpace {
public:
    using RegionId = u32;
    enum class Access : u8 { read_write, read_only }; // writes to read_only memory are dropped

    AddressSpace();

    /// Regions of higher priority hide lower ones; of equal priority, the later one wins. Bases and
    /// sizes are multiples of 4 KiB below 64 GiB. Disabled regions are as if absent.
    RegionId map_ram(u64 base, u64 size, RamBlock& block, u64 block_offset, Access access,
                     int priority = 0);
    RegionId map_mmio(u64 base, u64 size, MmioHandler& handler, std::string name, int priority = 0);
    /// Reads come from the block; writes go to the handler (flash, planar video with fast reads).
    void set_enabled(RegionId id, bool enabled);
    void set_access(RegionId id, Access access);
    void move(RegionId id, u64 base);
    void unmap(RegionId id);

    /// Bit 20 of every address is forced to 0 while false (the A20 gate).
    void set_a20(bool open);
    bool a20() const { return a20_mask_ == ~u64{0}; }

    /// What lies at a page. `host` is null when reads (or writes) need a handler.
    struct Page {
        RamBlock* block = nullptr; // RAM or ROM
        u64 block_offset = 0;      // of the page's first byte
        MmioHandler* handler = nullptr;
        u64 handler_offset = 0;
        bool writable = false;
    };
    const Page& page(u64 physical) const;

    /// Any length, any alignment; may cross regions. Unmapped bytes read as 0xff.
    void read(u64 physical, std::span<u8> into);
    void write(u64 physical, std::span<const u8> from);

    /// `size` 1, 2, 4 or 8; little-endian.
    u64 read_int(u64 physical, unsigned size);
    void write_int(u64 physical, unsigned size, u64 value);

    /// Direct writes to RAM through a host pointer must report here when the page holds code.
    void notify_code_write(RamBlock& block, u64 offset, u64 length);
    void set_code_listener(CodeListener* listener) { listener_ = listener; }
    u64 masked(u64 physical) const { return physical & a20_mask_; }

    struct Region {
        RegionId id;
        u64 base;
        u64 size; // bytes
        int priority;
        bool enabled;
        Access access;
        RamBlock* block;
        u64 block_offset;
        MmioHandler* handler;
        std::string name;
    };
    const std::vector<Region>& regions() const { return regions_; }

private:
    void write_ram(RamBlock& block, u64 offset, std::span<const u8> from);
    Region* find(RegionId id);
    void add(Region region);
    void flatten(u64 base, u64 size);

    static constexpr u64 kLowPages = u64{1} << 20; // the first 4 GiB
    std::vector<Region> regions_;                  // by priority, then age
    std::vector<Page> low_;
    std::vector<Page> high_; // grown when something is mapped above 4 GiB
    Page unmapped_;
    u64 a20_mask_ = ~u64{0};
    RegionId next_id_ = 1;
    CodeListener* listener_ = nullptr;
};

} // namespace emu
