// What the firmware of the PC board is told: CMOS contents, fw_cfg items, the boot order.
#include "emulator/boards/pc.hpp"

#include "emulator/devices/firmware/linux_boot.hpp"
#include "emulator/devices/nvram/pc_cmos.hpp"

#include <algorithm>

namespace emu::boards {

namespace {

using namespace base;
using devices::BootDevice;

constexpr u8 kDiskTypes = 0x12;
constexpr u8 kDiskTypeC = 0x19; // and D at 1Ah: "type 47", the parameters follow
constexpr u8 kDiskParameters = 0x1b;
constexpr u8 kTranslation = 0x39; // two bits a drive
constexpr u8 kChecksumHigh = 0x2e;
constexpr u8 kUserType = 47;

Result<std::array<BootDevice, 3>> parse_boot_order(const std::string& letters)
{
    std::array<BootDevice, 3> order{BootDevice::none, BootDevice::none, BootDevice::none};
    std::size_t count = 0;
    for (const char letter : letters) {
        BootDevice device = BootDevice::none;
        switch (letter) {
        case 'a':
        case 'b':
            device = BootDevice::floppy;
            break;
        case 'c':
            device = BootDevice::hard_disk;
            break;
        case 'd':
            device = BootDevice::cdrom;
            break;
        case 'n':
            device = BootDevice::network;
            break;
        default:
            return fail(Errc::invalid_argument,
                        std::string{"boot order: no device is called '"} + letter + '\'');
        }
        const bool repeated = std::ranges::find(order, device) != order.end();
        if (!repeated && count < order.size()) {
            order[count++] = device;
        }
    }
    return order;
}

} // namespace

Status PcBoard::fill_cmos(const std::string& boot_order)
{
    auto order = parse_boot_order(boot_order);
    if (!order) {
        return std::move(order).error();
    }
    devices::PcCmosConfig cmos;
    cmos.ram_below_4g = config_.ram_bytes;
    cmos.boot_order = order.value();
    cmos.check_floppy_signature = config_.check_floppy_signature;
    for (unsigned number = 0; number < 2; ++number) {
        if (!config_.floppies[number]) {
            continue;
        }
        const auto geometry = fdc_->geometry(number);
        cmos.floppies[number] =
            geometry ? static_cast<devices::FloppyDrive>(devices::cmos_drive_type(*geometry))
                     : devices::FloppyDrive::k1440;
    }
    devices::fill_pc_cmos(*rtc_, cmos);
    put_disk_types();
    return ok();
}

/// The AT's hard disk entries, for systems that read them instead of asking the drive.
void PcBoard::put_disk_types()
{
    u8 types = 0;
    u8 translation = 0;
    for (unsigned position = 0; position < 4; ++position) {
        if (!hard_disks_[position]) {
            continue;
        }
        const auto& chosen = geometries_[position];
        translation |= static_cast<u8>(static_cast<unsigned>(chosen.translation) << (2 * position));
        if (position >= 2) {
            continue;
        }
        const auto& g = chosen.physical;
        types |= position == 0 ? 0xf0 : 0x0f;
        rtc_->set_byte(static_cast<u8>(kDiskTypeC + position), kUserType);
        const auto low = static_cast<u8>(g.cylinders);
        const auto high = static_cast<u8>(g.cylinders >> 8);
        const u8 control = g.heads > 8 ? 0xc8 : 0xc0;
        const std::array<u8, 9> entry{low,     high, g.heads, 0xff,     0xff,
                                      control, low,  high,    g.sectors};
        for (unsigned i = 0; i < entry.size(); ++i) {
            rtc_->set_byte(static_cast<u8>(kDiskParameters + 9 * position + i), entry[i]);
        }
    }
    rtc_->set_byte(kDiskTypes, types);
    rtc_->set_byte(kTranslation, translation);
    unsigned sum = 0; // of 10h to 2Dh
    for (u8 index = 0x10; index < kChecksumHigh; ++index) {
        sum += rtc_->byte(index);
    }
    rtc_->set_byte(kChecksumHigh, static_cast<u8>(sum >> 8));
    rtc_->set_byte(kChecksumHigh + 1, static_cast<u8>(sum));
}

Status PcBoard::build_firmware()
{
    // Both orders are checked now, so that a reset cannot fail.
    if (auto later = parse_boot_order(config_.boot_order); !later) {
        return std::move(later).error();
    }
    const bool once = !config_.boot_once.empty();
    if (auto status = fill_cmos(once ? config_.boot_once : config_.boot_order); !status) {
        return status;
    }
    fw_cfg_ = std::make_unique<devices::FwCfg>(memory_);
    map_ports("fw-cfg", *fw_cfg_);
    add(*fw_cfg_);
    devices::PcFirmwareConfig firmware;
    firmware.ram_below_4g = config_.ram_bytes;
    firmware.show_boot_menu = config_.boot_menu;
    firmware.boot_menu_wait_ms = config_.boot_menu_wait_ms;
    firmware.irq0_to_pin2 = config_.has_pci;
    if (!config_.kernel.empty()) {
        firmware.boot_order.emplace_back(devices::starts_by_multiboot(config_.kernel)
                                             ? devices::kMultibootPath
                                             : devices::kLinuxBootPath);
    }
    if (auto status = devices::fill_pc_firmware(*fw_cfg_, firmware); !status) {
        return status;
    }
    // Sleep states that the ACPI tables may offer, bit 7: only S0 and S5.
    if (auto status = fw_cfg_->add_file("etc/system-states", {0x80, 0, 0, 0x01, 0x02, 0x80});
        !status) {
        return status;
    }
    if (config_.vga == VgaKind::isa && !config_.vga_rom.empty()) {
        if (auto status = fw_cfg_->add_file("vgaroms/vgabios.bin", config_.vga_rom); !status) {
            return status;
        }
    }
    return config_.kernel.empty() ? ok() : add_kernel();
}

Status PcBoard::add_kernel()
{
    if (devices::starts_by_multiboot(config_.kernel)) {
        return devices::add_multiboot(*fw_cfg_, {.kernel = std::move(config_.kernel),
                                                 .command_line = config_.command_line,
                                                 .modules = std::move(config_.modules),
                                                 .ram_below_4g = config_.ram_bytes});
    }
    return devices::add_linux_boot(*fw_cfg_, {.kernel = std::move(config_.kernel),
                                              .initrd = std::move(config_.initrd),
                                              .command_line = config_.command_line,
                                              .ram_below_4g = config_.ram_bytes});
}

void PcBoard::handle_system(std::string_view text)
{
    if (text == "power_button" && power_) {
        power_->press_power_button();
    } else if (text == "reset") {
        request(PcEvent::machine_reset);
    } else if (text == "nmi" && cpu_ != nullptr) {
        cpu_->raise_nmi();
    } else if (config_.log != nullptr) {
        config_.log->guest_error("pc", "the machine has no such switch");
    }
}

void PcBoard::build_inputs()
{
    media_sink_.handle = [this](std::string_view text) { handle_media(text); };
    system_sink_.handle = [this](std::string_view text) { handle_system(text); };
    inputs_ = {{"keyboard", &keyboard_},     {"mouse", &mouse_},      {"serial0", uarts_[0].get()},
               {"serial1", uarts_[1].get()}, {"media", &media_sink_}, {"system", &system_sink_}};
}

} // namespace emu::boards
