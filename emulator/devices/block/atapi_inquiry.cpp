// What the CD-ROM drive says about itself: INQUIRY, mode pages, features and events.
#include "emulator/devices/block/atapi_cdrom.hpp"

#include "base/endian.hpp"

#include <algorithm>
#include <string_view>

namespace emu::devices::block {

namespace {

constexpr u8 kCdRomDevice = 0x05;
constexpr u8 kRemovable = 0x80;
constexpr u16 kProfileCdRom = 0x0008;
constexpr u16 kProfileDvdRom = 0x0010;
constexpr u64 kLargestCd = 450'000; // blocks: 100 minutes; longer discs are DVDs

void put_text(std::vector<u8>& data, std::size_t at, std::size_t length, std::string_view text)
{
    for (std::size_t i = 0; i < length; ++i) {
        data[at + i] = i < text.size() ? static_cast<u8>(text[i]) : u8{' '};
    }
}

} // namespace

void AtapiCdrom::inquiry()
{
    if ((packet_[1] & 1) != 0) {
        invalid_field(); // no vital product data pages
        return;
    }
    std::vector<u8> data(36, 0); // SPC-2 table 46
    data[0] = kCdRomDevice;
    data[1] = kRemovable;
    data[3] = 0x21; // ATAPI version 2, response format 1
    data[4] = 31;
    put_text(data, 8, 8, "MENAGERI");
    put_text(data, 16, 16, "MENAGERIE CD-ROM");
    put_text(data, 32, 4, "1.0");
    reply(std::move(data), (u64{packet_[3]} << 8) | packet_[4]);
}

std::vector<u8> AtapiCdrom::mode_pages(u8 page) const
{
    std::vector<u8> data;
    const auto add = [&](u8 code, std::initializer_list<u8> body) {
        if (page == code || page == 0x3f) {
            data.push_back(code);
            data.push_back(static_cast<u8>(body.size()));
            data.insert(data.end(), body);
        }
    };
    add(0x01, {0, 3, 0, 0, 0, 0});                                // read error recovery
    add(0x0d, {0, 0, 0, 60, 0, 75});                              // CD device parameters
    add(0x0e, {4, 0, 0, 0, 0, 75, 1, 0xff, 2, 0xff, 0, 0, 0, 0}); // audio control
    // Capabilities (MMC-3 annex D.2): reads CD-R, CD-RW; tray with lock; 50 times speed.
    const u8 lock = locked_ ? 0x2b : 0x29;
    add(0x2a, {0x03, 0, 0x70, 0x60, lock, 0, 0x22, 0xc2, 0, 2, 2, 0, 0x22, 0xc2, 0, 0, 0, 0, 0, 0});
    return data;
}

void AtapiCdrom::mode_sense_6()
{
    std::vector<u8> pages = mode_pages(packet_[2] & 0x3f);
    if (pages.empty()) {
        invalid_field();
        return;
    }
    std::vector<u8> data{static_cast<u8>(pages.size() + 3),
                         static_cast<u8>(disc_ != nullptr ? 0x01 : 0x70), 0, 0};
    data.insert(data.end(), pages.begin(), pages.end());
    reply(std::move(data), packet_[4]);
}

void AtapiCdrom::mode_sense_10()
{
    if ((packet_[2] >> 6) == 3) {
        check({5, 0x39, 0}); // saving parameters not supported
        return;
    }
    std::vector<u8> pages = mode_pages(packet_[2] & 0x3f);
    if (pages.empty()) {
        invalid_field();
        return;
    }
    std::vector<u8> data(8, 0);
    base::store_be<u16>(data, 0, static_cast<u16>(pages.size() + 6));
    data[2] = disc_ != nullptr ? 0x01 : 0x70; // 120 mm data disc, or none
    data.insert(data.end(), pages.begin(), pages.end());
    reply(std::move(data), base::load_be<u16>(packet_, 7));
}

void AtapiCdrom::mode_select_6()
{
    receive_parameters(packet_[4]);
}

void AtapiCdrom::mode_select_10()
{
    receive_parameters(base::load_be<u16>(packet_, 7));
}

void AtapiCdrom::get_configuration()
{
    const u8 kind = packet_[1] & 3;
    const u16 first = base::load_be<u16>(packet_, 2);
    const u16 profile = disc_ == nullptr             ? 0
                        : disc_blocks() > kLargestCd ? kProfileDvdRom
                                                     : kProfileCdRom;
    std::vector<u8> data(8, 0);
    base::store_be<u16>(data, 6, profile);
    const auto add = [&](u16 code, u8 flags, std::vector<u8> body) {
        const bool current = (flags & 1) != 0;
        const bool wanted = kind == 2 ? code == first : code >= first && (kind == 0 || current);
        if (wanted) {
            data.push_back(static_cast<u8>(code >> 8));
            data.push_back(static_cast<u8>(code));
            data.push_back(flags);
            data.push_back(static_cast<u8>(body.size()));
            data.insert(data.end(), body.begin(), body.end());
        }
    };
    const u8 cd = profile == kProfileCdRom ? 1 : 0;
    const u8 dvd = profile == kProfileDvdRom ? 1 : 0;
    const u8 any = disc_ != nullptr ? 1 : 0;
    add(0x0000, 0x03, {0x00, 0x10, dvd, 0, 0x00, 0x08, cd, 0}); // profile list
    add(0x0001, 0x0b, {0, 0, 0, 2, 1, 0, 0, 0});                // core: ATAPI
    add(0x0003, 0x03, {0x29, 0, 0, 0});                         // removable medium: tray, lock
    add(0x0010, any, {0, 0, 8, 0, 0, 1, 0, 0});                 // random readable
    add(0x001e, cd, {0, 0, 0, 0});                              // CD read
    add(0x001f, dvd, {});                                       // DVD read
    base::store_be<u32>(data, 0, static_cast<u32>(data.size() - 4));
    reply(std::move(data), base::load_be<u16>(packet_, 7));
}

void AtapiCdrom::get_event_status()
{
    constexpr u8 kMediaClass = 0x10;
    constexpr u8 kPolled = 0x01;
    if ((packet_[1] & kPolled) == 0) {
        invalid_field();
        return;
    }
    std::vector<u8> data{0, 0, 0x80, kMediaClass}; // no event of the asked classes
    if ((packet_[4] & kMediaClass) != 0) {
        const u8 event = media_changed_ ? (disc_ != nullptr ? 2 : 3) : eject_requested_ ? 1 : 0;
        const u8 state = static_cast<u8>((tray_open_ ? 1 : 0) | (disc_ != nullptr ? 2 : 0));
        data = {0, 4, 4, kMediaClass, event, state, 0, 0};
        media_changed_ = false;
        eject_requested_ = false;
    }
    base::store_be<u16>(data, 0, static_cast<u16>(data.size() - 2));
    reply(std::move(data), base::load_be<u16>(packet_, 7));
}

} // namespace emu::devices::block
