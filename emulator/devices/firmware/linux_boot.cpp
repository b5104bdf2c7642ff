#include "emulator/devices/firmware/linux_boot.hpp"

#include "base/endian.hpp"
#include "emulator/devices/firmware/option_rom.hpp"

#include <algorithm>
#include <charconv>

namespace emu::devices {

namespace {

using namespace base;

constexpr u8 kRom[] = {
#include "emulator/devices/firmware/linux_boot_rom.inc"
};

// Offsets in the real-mode header ("The Real-Mode Kernel Header")
enum HeaderOffset : std::size_t {
    kSetupSectors = 0x1f1,
    kVideoMode = 0x1fa,
    kBootFlag = 0x1fe,
    kMagic = 0x202,
    kVersion = 0x206,
    kTypeOfLoader = 0x210,
    kLoadFlags = 0x211,
    kRamdiskImage = 0x218,
    kRamdiskSize = 0x21c,
    kHeapEnd = 0x224,
    kCommandLine = 0x228,
    kInitrdMax = 0x22c,
    kCommandLineSize = 0x238,
    kInitSize = 0x260,
    kHeaderEnd = 0x264
};

constexpr u32 kHdrS = 0x53726448;
constexpr u8 kLoadedHigh = 0x01;
constexpr u8 kCanUseHeap = 0x80;
constexpr u8 kUndefinedLoader = 0xff;

// SeaBIOS keeps its tables (BUILD_MAX_HIGHTABLE, 256 KiB) at the top of low RAM.
constexpr u64 kFirmwareReserve = 1_MiB;

struct Layout {
    u32 setup;
    u32 kernel;
    u32 command_line;
    u32 initrd = 0;
};

struct Header {
    u16 version;
    std::size_t setup_bytes;
    bool high;
    u64 initrd_max;       // highest address the initrd may occupy
    u64 command_line_max; // characters
    u64 init_size;        // bytes the kernel needs from its load address
};

Result<Header> parse_header(std::span<const u8> image)
{
    if (image.size() < 0x400 || load_le<u16>(image, kBootFlag) != 0xaa55) {
        return fail(Errc::wrong_format, "not a Linux kernel image (no boot signature)");
    }
    if (load_le<u32>(image, kMagic) != kHdrS) {
        return fail(Errc::unsupported,
                    "not a Linux kernel image, or one older than boot protocol 2.00");
    }
    Header h{};
    h.version = load_le<u16>(image, kVersion);
    if (h.version < 0x200) {
        return fail(Errc::unsupported, "Linux boot protocols before 2.00 are not supported");
    }
    const std::size_t sectors = image[kSetupSectors] == 0 ? 4 : image[kSetupSectors];
    h.setup_bytes = (sectors + 1) * 512;
    if (sectors > 64 || h.setup_bytes >= image.size()) {
        return fail(Errc::corrupt, "Linux kernel: its set-up code does not fit the file");
    }
    h.high = (image[kLoadFlags] & kLoadedHigh) != 0;
    h.initrd_max = h.version >= 0x203 ? load_le<u32>(image, kInitrdMax) : 0x37ff'ffff;
    h.command_line_max = h.version >= 0x206 ? load_le<u32>(image, kCommandLineSize) : 255;
    h.init_size = h.version >= 0x20a ? load_le<u32>(image, kInitSize) : 0;
    return h;
}

// "vga=" is the boot loader's business ("Special Command Line Options").
void apply_video_mode(std::span<u8> setup, std::string_view command_line)
{
    const auto at = command_line.find("vga=");
    if (at == std::string_view::npos || (at != 0 && command_line[at - 1] != ' ')) {
        return;
    }
    std::string_view value = command_line.substr(at + 4);
    value = value.substr(0, value.find(' '));
    u16 mode = 0xffff;
    if (value == "ext") {
        mode = 0xfffe;
    } else if (value == "ask") {
        mode = 0xfffd;
    } else if (value != "normal") {
        const bool hex = value.starts_with("0x");
        value.remove_prefix(hex ? 2 : 0);
        const auto [end, error] =
            std::from_chars(value.data(), value.data() + value.size(), mode, hex ? 16 : 10);
        if (error != std::errc{}) {
            return;
        }
    }
    store_le<u16>(setup, kVideoMode, mode);
}

Result<Layout> place(const Header& header, const LinuxBootConfig& config)
{
    const u64 line = config.command_line.size() + 1;
    if (config.command_line.size() > header.command_line_max || line > 0x8000) {
        return fail(Errc::invalid_argument,
                    "the kernel command line is longer than this kernel's " +
                        std::to_string(std::min<u64>(header.command_line_max, 0x7fff)) +
                        " characters");
    }
    Layout layout{};
    const u64 kernel_bytes = config.kernel.size() - header.setup_bytes;
    if (header.high) {
        layout = {.setup = 0x1'0000, .kernel = 0x10'0000, .command_line = 0x2'0000};
    } else {
        // An old zImage: below the set-up code, which stays in its historical place.
        const u64 line_at = 0x9'a000 - ((line + 15) & ~u64{15});
        layout = {.setup = 0x9'0000, .kernel = 0x1'0000, .command_line = static_cast<u32>(line_at)};
        if (kernel_bytes > 0x8'0000 || line > 0x1000 || header.setup_bytes > 0x8200) {
            return fail(Errc::corrupt, "Linux kernel: too big for a zImage");
        }
    }
    const u64 top =
        config.ram_below_4g > kFirmwareReserve ? config.ram_below_4g - kFirmwareReserve : 0;
    const u64 kernel_end =
        layout.kernel + std::max(kernel_bytes, header.high ? header.init_size : 0);
    if (kernel_end > top) {
        return fail(Errc::invalid_argument, "the Linux kernel does not fit into guest RAM");
    }
    if (!config.initrd.empty()) {
        const u64 limit = std::min(top, header.initrd_max + 1);
        const u64 size = config.initrd.size();
        const u64 floor = std::max<u64>(kernel_end, 1_MiB);
        if (size > limit || ((limit - size) & ~u64{4095}) < floor) {
            return fail(Errc::invalid_argument, "the initial RAM disk does not fit into guest RAM");
        }
        layout.initrd = static_cast<u32>((limit - size) & ~u64{4095});
    }
    return layout;
}

void patch_header(std::span<u8> setup, const Header& header, const Layout& layout,
                  const LinuxBootConfig& config)
{
    setup[kTypeOfLoader] = kUndefinedLoader;
    if (header.version >= 0x201) {
        setup[kLoadFlags] |= kCanUseHeap;
        store_le<u16>(setup, kHeapEnd,
                      static_cast<u16>(layout.command_line - layout.setup - 0x200));
    }
    if (header.version >= 0x202) {
        store_le<u32>(setup, kCommandLine, layout.command_line);
    } else { // "The Kernel Command Line": the older way
        store_le<u16>(setup, 0x20, 0xa33f);
        store_le<u16>(setup, 0x22, static_cast<u16>(layout.command_line - layout.setup));
    }
    store_le<u32>(setup, kRamdiskImage, layout.initrd);
    store_le<u32>(setup, kRamdiskSize, static_cast<u32>(config.initrd.size()));
    apply_video_mode(setup, config.command_line);
}

void add_part(FwCfg& fw_cfg, std::array<u16, 3> keys, u64 address, std::vector<u8> data)
{
    fw_cfg.add_integer(keys[0], address, 4);
    fw_cfg.add_integer(keys[1], data.size(), 4);
    fw_cfg.add_item(keys[2], std::move(data));
}

} // namespace

std::vector<u8> linux_boot_rom()
{
    return finish_option_rom(kRom);
}

bool is_linux_kernel(std::span<const u8> file)
{
    return file.size() >= 0x400 && load_le<u16>(file, kBootFlag) == 0xaa55 &&
           load_le<u32>(file, kMagic) == kHdrS;
}

base::Status add_linux_boot(FwCfg& fw_cfg, LinuxBootConfig config)
{
    auto header = parse_header(config.kernel);
    if (!header) {
        return std::move(header).error();
    }
    const auto layout = place(header.value(), config);
    if (!layout) {
        return layout.error();
    }
    const auto& [setup_at, kernel_at, line_at, initrd_at] = layout.value();
    const auto split =
        config.kernel.begin() + static_cast<std::ptrdiff_t>(header.value().setup_bytes);
    std::vector<u8> setup{config.kernel.begin(), split};
    patch_header(setup, header.value(), layout.value(), config);

    std::vector<u8> line{config.command_line.begin(), config.command_line.end()};
    line.push_back(0);
    using F = FwCfg;
    add_part(fw_cfg, {F::setup_address, F::setup_size, F::setup_data}, setup_at, std::move(setup));
    add_part(fw_cfg, {F::kernel_address, F::kernel_size, F::kernel_data}, kernel_at,
             {split, config.kernel.end()});
    add_part(fw_cfg, {F::command_line_address, F::command_line_size, F::command_line_data}, line_at,
             std::move(line));
    add_part(fw_cfg, {F::initrd_address, F::initrd_size, F::initrd_data}, initrd_at,
             std::move(config.initrd));
    return fw_cfg.add_file("genroms/linuxboot.bin", linux_boot_rom());
}

} // namespace emu::devices
