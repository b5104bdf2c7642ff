#include "emulator/devices/firmware/multiboot.hpp"

#include "base/endian.hpp"
#include "emulator/devices/firmware/linux_boot.hpp"
#include "emulator/devices/firmware/multiboot_image.hpp"
#include "emulator/devices/firmware/option_rom.hpp"

#include <algorithm>

namespace emu::devices {

namespace {

using namespace base;

constexpr u8 kRom[] = {
#include "emulator/devices/firmware/multiboot_rom.inc"
};

// fw_cfg keys of the "architecture-local" range: what the ROM reads, then a key for each part.
constexpr u16 kBlockSizeKey = 0x8100;
constexpr u16 kBlockKey = 0x8101;
constexpr u16 kZeroesKey = 0x8102; // an empty item: bytes past an item's end read as zero
constexpr u16 kFirstPartKey = 0x8103;

constexpr u32 kBlockAddress = 0x8'0000;
constexpr u64 kLargestBlock = 0x1'0000;
constexpr u32 kLowestFree = 0x8000;     // below are the BIOS's data and the ROM's stack
constexpr u64 kFirmwareReserve = 1_MiB; // at the end of RAM
constexpr u64 kMostZeroes = 256_MiB;    // that fw_cfg writes at once
constexpr std::size_t kMaxRows = 2000;  // the ROM reaches them with 16 bits
constexpr u64 kModuleAlignment = 4096;

/// Section 3.3, then what the ROM is told; as in multiboot_rom.asm.
enum BlockOffset : std::size_t {
    kFlags = 0,
    kCommandLine = 16,
    kModuleCount = 20,
    kModules = 24,
    kMapAddress = 48,
    kLoaderName = 64,
    kVbeControl = 72,
    kVbeMode = 76,
    kFramebuffer = 88,
    kPitch = 96,
    kWidth = 100,
    kHeight = 104,
    kBitsPerPixel = 108,
    kFramebufferType = 109,
    kEntry = 0x80,
    kRowCount = 0x84,
    kVideoWanted = 0x88,
    kVideoWidth = 0x8c,
    kVideoHeight = 0x90,
    kVideoDepth = 0x94,
    kVbeModeInfo = 0x100,
    kVbeControlInfo = 0x200,
    kMap = 0x400,
    kRows = 0x1000
};

namespace flag {
constexpr u32 memory = 0x0001;
constexpr u32 command_line = 0x0004;
constexpr u32 modules = 0x0008;
constexpr u32 map = 0x0040;
constexpr u32 loader_name = 0x0200;
constexpr u32 framebuffer = 0x1000;
} // namespace flag

struct Row {
    u16 key;
    u32 address;
    u32 size; // bytes
};

/// Boot information and all that is copied with it, growing as strings and tables are appended.
class Block {
public:
    Block() : bytes_(kRows) {}
    void set(std::size_t at, u64 value) { store_le<u32>(bytes_, at, static_cast<u32>(value)); }
    void set_byte(std::size_t at, u8 value) { bytes_[at] = value; }
    void set_flag(u32 bit) { set(kFlags, load_le<u32>(bytes_, kFlags) | bit); }

    /// Appends zeroes; returns their offset.
    std::size_t append(std::size_t size)
    {
        const std::size_t at = bytes_.size();
        bytes_.resize(at + size);
        return at;
    }
    /// Appends a string with its end; returns its address in the guest.
    u64 append(std::string_view text)
    {
        const std::size_t at = append(text.size() + 1);
        std::ranges::copy(text, bytes_.begin() + static_cast<std::ptrdiff_t>(at));
        return kBlockAddress + at;
    }
    std::size_t size() const { return bytes_.size(); }
    std::vector<u8> take() { return std::move(bytes_); }

private:
    std::vector<u8> bytes_;
};

/// Collects the parts that are read into memory.
class Parts {
public:
    explicit Parts(FwCfg& fw_cfg) : fw_cfg_{fw_cfg} {}

    void add(u64 address, std::vector<u8> bytes, u64 memory_size)
    {
        const u64 size = bytes.size();
        if (size != 0) {
            fw_cfg_.add_item(next_key_, std::move(bytes));
            add_row(next_key_++, address, size);
        }
        for (u64 at = size; at < memory_size; at += kMostZeroes) {
            add_row(kZeroesKey, address + at, std::min(kMostZeroes, memory_size - at));
        }
    }
    const std::vector<Row>& rows() const { return rows_; }

private:
    void add_row(u16 key, u64 address, u64 size)
    {
        rows_.push_back({key, static_cast<u32>(address), static_cast<u32>(size)});
    }

    FwCfg& fw_cfg_;
    u16 next_key_ = kFirstPartKey;
    std::vector<Row> rows_;
};

void describe_video(Block& block, const MultibootVideo& video)
{
    // What a kernel without a preference gets.
    constexpr u32 kAnyWidth = 1024;
    constexpr u32 kAnyHeight = 768;
    constexpr u32 kAnyDepth = 32;
    if (!video.text) {
        block.set(kVideoWanted, 1);
        block.set(kVideoWidth, video.width == 0 ? kAnyWidth : video.width);
        block.set(kVideoHeight, video.height == 0 ? kAnyHeight : video.height);
        block.set(kVideoDepth, video.depth == 0 ? kAnyDepth : video.depth);
        block.set(kVbeControl, kBlockAddress + kVbeControlInfo);
        block.set(kVbeMode, kBlockAddress + kVbeModeInfo);
        return;
    }
    constexpr u8 kEgaText = 2;
    block.set(kFramebuffer, 0xb'8000);
    block.set(kPitch, 160);
    block.set(kWidth, 80);
    block.set(kHeight, 25);
    block.set_byte(kBitsPerPixel, 16);
    block.set_byte(kFramebufferType, kEgaText);
    block.set_flag(flag::framebuffer);
}

struct Place {
    u64 start;
    u64 end;
};

/// Where modules go: each to a page of its own behind the kernel.
Result<std::vector<Place>> place_modules(const MultibootImage& image, const MultibootConfig& config,
                                         u64 top)
{
    u64 at = 1_MiB;
    for (const MultibootSegment& segment : image.segments) {
        at = std::max(at, u64{segment.address} + segment.memory_size);
    }
    std::vector<Place> places;
    for (const BootModule& module : config.modules) {
        at = (at + kModuleAlignment - 1) & ~(kModuleAlignment - 1);
        if (at > top || module.bytes.size() > top - at) {
            return fail(Errc::invalid_argument,
                        "the module '" + module.text + "' does not fit into guest RAM");
        }
        places.push_back({at, at + module.bytes.size()});
        at += module.bytes.size();
    }
    return places;
}

/// All that is checked before memory is taken for it.
Status check_segments(const MultibootImage& image, u64 top)
{
    u64 total = 0;
    for (const MultibootSegment& segment : image.segments) {
        const u64 end = u64{segment.address} + segment.memory_size;
        const bool high = segment.address >= 1_MiB && end <= top;
        const bool low = segment.address >= kLowestFree && end <= kBlockAddress;
        if (!high && !low) {
            return fail(
                Errc::invalid_argument,
                segment.address >= 1_MiB
                    ? "the Multiboot kernel does not fit into guest RAM"
                    : "the Multiboot kernel has a segment at " +
                          std::to_string(segment.address / 1_KiB) +
                          " KiB, where firmware or boot information is (the ELF headers? ld -n "
                          "leaves them out)");
        }
        total += segment.memory_size;
    }
    return total <= top ? ok()
                        : Status{fail(Errc::corrupt, "the Multiboot kernel's segments are larger "
                                                     "than guest RAM together")};
}

void append_rows(Block& block, const std::vector<Row>& rows)
{
    constexpr std::size_t kRowSize = 12;
    std::size_t at = block.append(rows.size() * kRowSize);
    block.set(kRowCount, rows.size());
    for (const Row& row : rows) {
        block.set(at, row.key);
        block.set(at + 4, row.address);
        block.set(at + 8, row.size);
        at += kRowSize;
    }
}

void append_modules(Block& block, const std::vector<BootModule>& modules,
                    const std::vector<Place>& places)
{
    constexpr std::size_t kModuleSize = 16;
    std::size_t at = block.append(modules.size() * kModuleSize);
    block.set(kModuleCount, modules.size());
    block.set(kModules, kBlockAddress + at);
    for (std::size_t i = 0; i < modules.size(); ++i) {
        block.set(at, places[i].start);
        block.set(at + 4, places[i].end);
        block.set(at + 8, block.append(modules[i].text));
        at += kModuleSize;
    }
}

} // namespace

bool starts_by_multiboot(std::span<const u8> kernel)
{
    return is_multiboot_kernel(kernel) && !is_linux_kernel(kernel);
}

std::vector<u8> multiboot_rom()
{
    return finish_option_rom(kRom);
}

Status add_multiboot(FwCfg& fw_cfg, MultibootConfig config)
{
    const auto parsed = parse_multiboot(config.kernel);
    if (!parsed) {
        return parsed.error();
    }
    const MultibootImage& image = parsed.value();
    const u64 top =
        config.ram_below_4g > kFirmwareReserve ? config.ram_below_4g - kFirmwareReserve : 0;
    if (auto status = check_segments(image, top); !status) {
        return status;
    }
    const auto places = place_modules(image, config, top);
    if (!places) {
        return places.error();
    }
    Parts parts{fw_cfg};
    for (const MultibootSegment& segment : image.segments) {
        parts.add(segment.address, {segment.bytes.begin(), segment.bytes.end()},
                  segment.memory_size);
    }
    for (std::size_t i = 0; i < config.modules.size(); ++i) {
        const Place& place = places.value()[i];
        parts.add(place.start, std::move(config.modules[i].bytes), place.end - place.start);
    }
    if (parts.rows().size() > kMaxRows) {
        return fail(Errc::unsupported, "more than 2000 Multiboot modules and segments");
    }

    Block block;
    append_rows(block, parts.rows());
    append_modules(block, config.modules, places.value());
    block.set(kCommandLine, block.append(config.command_line));
    block.set(kLoaderName, block.append("Menagerie"));
    block.set(kMapAddress, kBlockAddress + kMap);
    block.set(kEntry, image.entry);
    block.set_flag(flag::memory | flag::command_line | flag::modules | flag::map |
                   flag::loader_name);
    if (image.video) {
        describe_video(block, *image.video);
    }
    if (block.size() > kLargestBlock) {
        return fail(Errc::invalid_argument,
                    "the kernel's and its modules' command lines are too long together");
    }
    fw_cfg.add_integer(kBlockSizeKey, block.size(), 4);
    fw_cfg.add_item(kBlockKey, block.take());
    fw_cfg.add_item(kZeroesKey, {});
    return fw_cfg.add_file("genroms/multiboot.bin", multiboot_rom());
}

} // namespace emu::devices
