// The drives of the PC board and changing what is in them.
#include "emulator/boards/pc.hpp"

#include "emulator/devices/block/ata_disk.hpp"

#include <algorithm>

namespace emu::boards {

namespace {

using namespace base;
using namespace devices::block;

constexpr u64 kSector = 512;
constexpr u64 kCdBlock = 2048;

Status check_hard_disk(const img::Disk& disk, const std::string& name)
{
    if (disk.size() < kSector) {
        return fail(Errc::invalid_argument, name + ": the disk has no sectors");
    }
    if (disk.size() / kSector >= u64{1} << 48) {
        return fail(Errc::unsupported, name + ": the disk has more sectors than 48 bits count");
    }
    return ok();
}

Status check_disc(const img::Disk& disk, const std::string& name)
{
    if (disk.size() < kCdBlock || disk.size() / kCdBlock > 0xffff'ffff) {
        return fail(Errc::invalid_argument, name + ": no CD or DVD has this size");
    }
    return ok();
}

std::vector<u8> bytes_of(const std::string& text)
{
    return {text.begin(), text.end()};
}

/// Takes the text before the next space off the front.
std::string_view take_word(std::string_view& text)
{
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return word;
}

} // namespace

std::vector<u8> insert_payload(const std::string& drive, const std::string& path)
{
    return bytes_of("insert " + drive + ' ' + path);
}

std::vector<u8> eject_payload(const std::string& drive, bool force)
{
    return bytes_of((force ? "eject-force " : "eject ") + drive);
}

IdeChannel& PcBoard::ide_channel(unsigned index)
{
    return pci_ide_ ? pci_ide_->channel(index) : isa_ide_->channel(index);
}

std::string PcBoard::ide_name(unsigned position) const
{
    const auto& drive = config_.ide[position];
    const char* kind = drive && drive->cdrom ? "-cd" : "-hd";
    return "ide" + std::to_string(position / 2) + kind + std::to_string(position % 2);
}

Status PcBoard::build_ide()
{
    if (!pci_ide_) {
        isa_ide_ = std::make_unique<IsaIde>(
            ports_, Piix3Ide::Wiring{
                        .clock = clock_, .irqs = {irq("ide0"), irq("ide1")}, .log = config_.log});
        add(*isa_ide_);
    }
    for (unsigned position = 0; position < 4; ++position) {
        auto& drive = config_.ide[position];
        if (!drive) {
            continue;
        }
        const std::string name = ide_name(position);
        IdeChannel& channel = ide_channel(position / 2);
        const unsigned unit = position % 2;
        if (drive->cdrom) {
            auto cdrom = std::make_unique<AtapiCdrom>(name, channel.drive_wiring(unit));
            if (drive->disk) {
                if (auto status = check_disc(*drive->disk, name); !status) {
                    return status;
                }
                cdrom->insert(std::move(drive->disk));
            }
            channel.attach(unit, std::move(cdrom));
            continue;
        }
        if (!drive->disk) {
            return fail(Errc::invalid_argument, name + ": a hard disk without an image");
        }
        if (auto status = check_hard_disk(*drive->disk, name); !status) {
            return status;
        }
        hard_disks_[position] = std::move(drive->disk);
        img::Disk& disk = *hard_disks_[position];
        geometries_[position] = drive->geometry ? DiskGeometry{*drive->geometry, Translation::none}
                                                : choose_geometry(disk);
        AtaDisk::Config config{.disk = disk, .geometry = geometries_[position].physical};
        config.serial =
            drive->serial.empty() ? "MG0000" + std::to_string(position + 1) : drive->serial;
        channel.attach(unit, std::make_unique<AtaDisk>(name, channel.drive_wiring(unit), config));
    }
    return ok();
}

Status PcBoard::build_floppies()
{
    using devices::FloppyController;
    const std::array<bool, 2> present{config_.floppies[0].has_value(),
                                      config_.floppies[1].has_value()};
    fdc_ = std::make_unique<FloppyController>(
        FloppyController::Wiring{.clock = clock_, .irq6 = irq("fdc"), .dma = dma_->channel(2)},
        present);
    map_ports("fdc", *fdc_);
    add(*fdc_);
    for (unsigned number = 0; number < 2; ++number) {
        auto& drive = config_.floppies[number];
        if (!drive || !drive->disk) {
            continue;
        }
        floppy_disks_[number] = std::move(drive->disk);
        img::Disk& disk = *floppy_disks_[number];
        const bool locked = drive->write_protected || disk.read_only();
        if (auto status = fdc_->insert(number, disk, locked); !status) {
            return std::move(status).error().in("floppy" + std::to_string(number));
        }
    }
    return ok();
}

// --- media changes --------------------------------------------------------------------------

int PcBoard::ide_position(const std::string& drive) const
{
    for (unsigned position = 0; position < 4; ++position) {
        if (config_.ide[position] && config_.ide[position]->cdrom && ide_name(position) == drive) {
            return static_cast<int>(position);
        }
    }
    return -1;
}

int PcBoard::floppy_number(const std::string& drive) const
{
    for (unsigned number = 0; number < 2; ++number) {
        if (config_.floppies[number] && drive == "floppy" + std::to_string(number)) {
            return static_cast<int>(number);
        }
    }
    return -1;
}

std::vector<PcDrive> PcBoard::drives()
{
    std::vector<PcDrive> all;
    for (unsigned position = 0; position < 4; ++position) {
        if (!config_.ide[position]) {
            continue;
        }
        img::Disk* disk = hard_disks_[position].get();
        const bool cdrom = config_.ide[position]->cdrom;
        bool tray_open = false;
        if (cdrom) {
            const auto* drive =
                static_cast<AtapiCdrom*>(ide_channel(position / 2).drive(position % 2));
            disk = drive->disc();
            tray_open = drive->tray_open();
        }
        all.push_back({ide_name(position), cdrom, disk, tray_open});
    }
    for (unsigned number = 0; number < 2; ++number) {
        if (config_.floppies[number]) {
            all.push_back({"floppy" + std::to_string(number), true, floppy_disks_[number].get()});
        }
    }
    return all;
}

Status PcBoard::change_medium(const std::string& drive, std::unique_ptr<img::Disk> disk)
{
    if (const int number = floppy_number(drive); number >= 0) {
        const auto index = static_cast<unsigned>(number);
        img::Disk& medium = *disk;
        const bool locked = config_.floppies[index]->write_protected || medium.read_only();
        if (auto status = fdc_->insert(index, medium, locked); !status) {
            return std::move(status).error().in(drive);
        }
        floppy_disks_[index] = std::move(disk);
        return ok();
    }
    const int position = ide_position(drive);
    if (position < 0) {
        return fail(Errc::invalid_argument, drive + ": no drive with a removable medium");
    }
    if (auto status = check_disc(*disk, drive); !status) {
        return status;
    }
    IdeDrive* at =
        ide_channel(static_cast<unsigned>(position) / 2).drive(static_cast<unsigned>(position) % 2);
    static_cast<AtapiCdrom*>(at)->insert(std::move(disk));
    return ok();
}

Status PcBoard::eject(const std::string& drive, bool force)
{
    if (const int number = floppy_number(drive); number >= 0) {
        fdc_->eject(static_cast<unsigned>(number));
        floppy_disks_[static_cast<unsigned>(number)].reset();
        return ok();
    }
    const int position = ide_position(drive);
    if (position < 0) {
        return fail(Errc::invalid_argument, drive + ": no drive with a removable medium");
    }
    IdeDrive* at =
        ide_channel(static_cast<unsigned>(position) / 2).drive(static_cast<unsigned>(position) % 2);
    if (!static_cast<AtapiCdrom*>(at)->eject(force)) {
        return fail(Errc::io, drive + ": the guest has locked the tray");
    }
    return ok();
}

void PcBoard::handle_media(std::string_view text)
{
    const std::string_view verb = take_word(text);
    const std::string drive{take_word(text)};
    Status status = ok();
    if (verb == "eject" || verb == "eject-force") {
        status = eject(drive, verb == "eject-force");
    } else if (verb == "insert" && config_.open_medium) {
        auto disk = config_.open_medium(std::string{text});
        status = disk ? change_medium(drive, std::move(disk).value())
                      : Status{std::move(disk).error().in(drive)};
    } else {
        status = fail(Errc::unsupported, "media change \"" + std::string{verb} + '"');
    }
    if (!status && config_.media_error) {
        config_.media_error(status.error());
    }
}

} // namespace emu::boards
