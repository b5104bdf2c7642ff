#include "emulator/devices/firmware/fw_cfg.hpp"

#include "base/endian.hpp"

#include <algorithm>
#include <array>

namespace emu::devices {

namespace {

constexpr u16 kSelector = 0x510;
constexpr u16 kData = 0x511;
constexpr u16 kDma = 0x514;
constexpr u64 kDmaSignature = 0x51454d5520434647; // "QEMU CFG"
constexpr std::size_t kMaxFileName = 55;
constexpr std::size_t kDirectoryEntry = 64;

// DMA control bits
constexpr u32 kDmaError = 0x01;
constexpr u32 kDmaRead = 0x02;
constexpr u32 kDmaSkip = 0x04;
constexpr u32 kDmaSelect = 0x08;
constexpr u32 kDmaWrite = 0x10;

} // namespace

FwCfg::FwCfg(AddressSpace& memory) : memory_{memory}
{
    add_item(signature, {'Q', 'E', 'M', 'U'});
    add_integer(interface_version, 3, 4); // traditional and DMA interfaces
    rebuild_directory();
}

void FwCfg::reset()
{
    selected_ = 0;
    offset_ = 0;
    dma_address_ = 0;
}

void FwCfg::visit_state(StateVisitor& visitor)
{
    visitor.section("fw-cfg");
    visitor.field("selected", selected_);
    visitor.field("offset", offset_);
    visitor.field("dma_address", dma_address_);
}

void FwCfg::add_item(u16 key, std::vector<u8> data)
{
    items_[key] = std::move(data);
}

void FwCfg::add_integer(u16 key, u64 value, unsigned bytes)
{
    std::vector<u8> data;
    for (unsigned i = 0; i < bytes; ++i) {
        data.push_back(static_cast<u8>(value >> (8 * i)));
    }
    add_item(key, std::move(data));
}

base::Status FwCfg::add_file(const std::string& name, std::vector<u8> data)
{
    if (name.empty() || name.size() > kMaxFileName) {
        return base::fail(base::Errc::invalid_argument,
                          "fw_cfg: file name '" + name + "' is not 1 to 55 bytes long");
    }
    if (file(name) != nullptr) {
        return base::fail(base::Errc::invalid_argument, "fw_cfg: two files named '" + name + "'");
    }
    const auto key = static_cast<u16>(first_file + files_.size());
    files_.emplace_back(name, key);
    add_item(key, std::move(data));
    rebuild_directory();
    return base::ok();
}

const std::vector<u8>* FwCfg::item(u16 key) const
{
    const auto found = items_.find(key);
    return found == items_.end() ? nullptr : &found->second;
}

const std::vector<u8>* FwCfg::file(const std::string& name) const
{
    const auto found =
        std::ranges::find(files_, name, [](const auto& entry) { return entry.first; });
    return found == files_.end() ? nullptr : item(found->second);
}

void FwCfg::rebuild_directory()
{
    std::vector<u8> directory(4 + files_.size() * kDirectoryEntry);
    base::store_be<u32>(directory, 0, static_cast<u32>(files_.size()));
    std::size_t at = 4;
    for (const auto& [name, key] : files_) {
        base::store_be<u32>(directory, at, static_cast<u32>(items_[key].size()));
        base::store_be<u16>(directory, at + 4, key);
        std::ranges::copy(name, directory.begin() + static_cast<std::ptrdiff_t>(at + 8));
        at += kDirectoryEntry;
    }
    add_item(file_directory, std::move(directory));
}

void FwCfg::select(u16 key)
{
    selected_ = key;
    offset_ = 0;
}

u8 FwCfg::next_byte()
{
    const std::vector<u8>* data = item(selected_);
    if (data == nullptr || offset_ >= data->size()) {
        return 0; // unknown items and bytes past the end read as zero
    }
    return (*data)[offset_++];
}

u32 FwCfg::io_read(u64 port, unsigned size)
{
    u32 value = 0;
    for (unsigned i = 0; i < size; ++i) {
        const u64 p = port + i;
        u8 byte = 0;
        if (p == kData) {
            byte = next_byte();
        } else if (p >= kDma && p < kDma + 8) {
            byte = static_cast<u8>(kDmaSignature >> (8 * (kDma + 7 - p)));
        }
        value |= u32{byte} << (8 * i);
    }
    return value;
}

void FwCfg::io_write(u64 port, unsigned size, u32 value)
{
    if (port == kSelector) {
        select(static_cast<u16>(value));
        return;
    }
    if (size != 4) {
        return; // the data port is read-only; the DMA address takes two 32-bit writes
    }
    const u32 swapped = __builtin_bswap32(value);
    if (port == kDma) {
        dma_address_ = u64{swapped} << 32 | (dma_address_ & 0xffff'ffff);
    } else if (port == kDma + 4) {
        dma_address_ = (dma_address_ & ~u64{0xffff'ffff}) | swapped;
        run_dma();
        dma_address_ = 0;
    }
}

void FwCfg::run_dma()
{
    std::array<u8, 16> request{};
    memory_.read(dma_address_, request);
    const u32 control = base::load_be<u32>(request, 0);
    u32 length = base::load_be<u32>(request, 4);
    u64 target = base::load_be<u64>(request, 8);
    if ((control & kDmaSelect) != 0) {
        select(static_cast<u16>(control >> 16));
    }
    u32 result = 0;
    const std::vector<u8>* data = item(selected_);
    const u64 available = data == nullptr || offset_ >= data->size() ? 0 : data->size() - offset_;
    if ((control & kDmaRead) != 0) {
        const auto taken = static_cast<u32>(std::min<u64>(available, length));
        if (taken != 0) {
            memory_.write(target, std::span{*data}.subspan(offset_, taken));
            offset_ += taken;
        }
        static constexpr std::array<u8, 4096> kZeroes{};
        target += taken;
        length -= taken;
        // A guest may ask for gigabytes past the end: no more than RAM can hold is worth writing.
        length = std::min<u32>(length, 0x1000'0000);
        while (length != 0) {
            const u32 chunk = std::min<u32>(length, kZeroes.size());
            memory_.write(target, std::span{kZeroes}.first(chunk));
            target += chunk;
            length -= chunk;
        }
    } else if ((control & kDmaSkip) != 0) {
        offset_ += static_cast<u32>(std::min<u64>(available, length));
    } else if ((control & kDmaWrite) != 0) {
        result = kDmaError;
    }
    std::array<u8, 4> answer{};
    base::store_be<u32>(answer, 0, result);
    memory_.write(dma_address_, answer);
}

base::Status fill_pc_firmware(FwCfg& fw_cfg, const PcFirmwareConfig& config)
{
    fw_cfg.add_integer(FwCfg::ram_size, config.ram_below_4g + config.ram_above_4g, 8);
    fw_cfg.add_integer(FwCfg::cpu_count, config.cpus, 2);
    fw_cfg.add_integer(FwCfg::max_cpus, config.cpus, 2);
    fw_cfg.add_integer(FwCfg::no_graphics, 0, 2);
    fw_cfg.add_integer(FwCfg::boot_menu, config.show_boot_menu ? 1 : 0, 2);
    fw_cfg.add_integer(FwCfg::irq0_override, config.irq0_to_pin2 ? 1 : 0, 1);
    fw_cfg.add_item(FwCfg::numa, std::vector<u8>(8 + 8 * std::size_t{config.cpus}));

    std::vector<E820Entry> map{{0, config.ram_below_4g, E820Entry::usable}};
    if (config.ram_above_4g != 0) {
        map.push_back({u64{1} << 32, config.ram_above_4g, E820Entry::usable});
    }
    map.insert(map.end(), config.reserved.begin(), config.reserved.end());
    std::vector<u8> e820(map.size() * 20);
    for (std::size_t i = 0; i < map.size(); ++i) {
        base::store_le<u64>(e820, i * 20, map[i].base);
        base::store_le<u64>(e820, i * 20 + 8, map[i].size);
        base::store_le<u32>(e820, i * 20 + 16, map[i].type);
    }
    if (auto status = fw_cfg.add_file("etc/e820", std::move(e820)); !status) {
        return status;
    }
    if (config.show_boot_menu) {
        std::vector<u8> wait(4);
        base::store_le<u32>(wait, 0, config.boot_menu_wait_ms);
        if (auto status = fw_cfg.add_file("etc/boot-menu-wait", std::move(wait)); !status) {
            return status;
        }
    }
    if (config.boot_order.empty()) {
        return base::ok();
    }
    std::string order; // one path a line, a zero at the end
    for (const std::string& path : config.boot_order) {
        order += path + '\n';
    }
    order += '\0';
    return fw_cfg.add_file("bootorder", {order.begin(), order.end()});
}

} // namespace emu::devices
