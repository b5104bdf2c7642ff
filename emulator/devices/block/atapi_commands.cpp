// The packet commands of the CD-ROM drive: MMC-3 section 6 and SPC-2 section 7.
#include "emulator/devices/block/atapi_cdrom.hpp"

#include "base/endian.hpp"

#include <algorithm>

namespace emu::devices::block {

namespace {

constexpr u32 kFramesBeforeZero = 150; // the two seconds before LBA 0
constexpr u32 kFramesPerSecond = 75;
constexpr u8 kLeadOut = 0xaa;
constexpr u8 kDataTrack = 0x14; // ADR 1, control: data track

void put_address(std::span<u8> at, u64 lba, bool msf)
{
    if (!msf) {
        base::store_be<u32>(at, 0, static_cast<u32>(lba));
        return;
    }
    const u64 frame = lba + kFramesBeforeZero;
    at[0] = 0;
    at[1] = static_cast<u8>(frame / kFramesPerSecond / 60);
    at[2] = static_cast<u8>(frame / kFramesPerSecond % 60);
    at[3] = static_cast<u8>(frame % kFramesPerSecond);
}

u16 word_of(std::span<const u8> packet, std::size_t at)
{
    return base::load_be<u16>(packet, at);
}

u32 dword_of(std::span<const u8> packet, std::size_t at)
{
    return base::load_be<u32>(packet, at);
}

} // namespace

std::span<const AtapiCdrom::Command> AtapiCdrom::commands()
{
    using D = AtapiCdrom;
    static constexpr std::array<Command, 21> kCommands{{
        {0x00, true, true, &D::test_unit_ready},
        {0x03, false, false, &D::request_sense},
        {0x12, false, false, &D::inquiry},
        {0x15, false, true, &D::mode_select_6},
        {0x1a, false, true, &D::mode_sense_6},
        {0x1b, false, true, &D::start_stop},
        {0x1e, false, true, &D::prevent_allow},
        {0x25, true, true, &D::read_capacity},
        {0x28, true, true, &D::read_10},
        {0x2b, true, true, &D::seek},
        {0x42, true, true, &D::read_subchannel},
        {0x43, true, true, &D::read_toc},
        {0x46, false, false, &D::get_configuration},
        {0x4a, false, false, &D::get_event_status},
        {0x51, true, true, &D::read_disc_information},
        {0x55, false, true, &D::mode_select_10},
        {0x5a, false, true, &D::mode_sense_10},
        {0xa8, true, true, &D::read_12},
        {0xb9, true, true, &D::read_cd}, // READ CD MSF
        {0xbd, false, true, &D::mechanism_status},
        {0xbe, true, true, &D::read_cd},
    }};
    return kCommands;
}

void AtapiCdrom::test_unit_ready()
{
    succeed();
}

void AtapiCdrom::request_sense()
{
    // SPC-2 7.20: a pending unit attention is reported and cleared here as well.
    if (sense_ == Sense{} && attention_) {
        sense_ = kMediumChanged;
        attention_ = false;
    }
    std::vector<u8> data(18, 0);
    data[0] = 0x70; // current error, fixed format
    data[2] = sense_.key;
    data[7] = 10;
    data[12] = sense_.code;
    data[13] = sense_.qualifier;
    sense_ = {};
    reply(std::move(data), packet_[4]);
}

void AtapiCdrom::start_stop()
{
    const bool start = (packet_[4] & 1) != 0;
    const bool load_eject = (packet_[4] & 2) != 0;
    if (load_eject && !start) {
        if (locked_) {
            check({2, 0x53, 2}); // medium removal prevented
            return;
        }
        eject(false);
        attention_ = false; // the guest did it itself
    } else if (load_eject && tray_open_) {
        tray_open_ = false;
    }
    succeed();
}

void AtapiCdrom::prevent_allow()
{
    locked_ = (packet_[4] & 1) != 0;
    succeed();
}

void AtapiCdrom::read_capacity()
{
    std::vector<u8> data(8, 0);
    const u64 blocks = disc_blocks();
    base::store_be<u32>(data, 0, static_cast<u32>(blocks == 0 ? 0 : blocks - 1));
    base::store_be<u32>(data, 4, kBlock);
    reply(std::move(data), 8);
}

void AtapiCdrom::read_10()
{
    start_read(dword_of(packet_, 2), word_of(packet_, 7), false);
}

void AtapiCdrom::read_12()
{
    start_read(dword_of(packet_, 2), dword_of(packet_, 6), false);
}

void AtapiCdrom::read_cd()
{
    u64 lba = dword_of(packet_, 2);
    u64 count = (u64{packet_[6]} << 16) | word_of(packet_, 7);
    if (packet_[0] == 0xb9) {
        const auto frames = [this](std::size_t at) {
            return (i64{packet_[at]} * 60 + packet_[at + 1]) * kFramesPerSecond + packet_[at + 2];
        };
        const i64 first = frames(3) - kFramesBeforeZero;
        const i64 end = frames(6) - kFramesBeforeZero;
        if (first < 0 || end < first) {
            invalid_field();
            return;
        }
        lba = static_cast<u64>(first);
        count = static_cast<u64>(end - first);
    }
    const u8 sector_type = (packet_[1] >> 2) & 7;
    if (sector_type == 1) {
        check({5, 0x64, 0}); // illegal mode for this track: there is no audio
        return;
    }
    switch (packet_[9] & 0xf8) { // MMC-3 table 288: which fields of the sector
    case 0x00:
        succeed();
        break;
    case 0x10: // user data
        start_read(lba, count, false);
        break;
    case 0xf8: // all
        start_read(lba, count, true);
        break;
    default:
        invalid_field();
        break;
    }
}

void AtapiCdrom::seek()
{
    const u32 lba = dword_of(packet_, 2);
    if (lba >= disc_blocks()) {
        check({5, 0x21, 0});
        return;
    }
    head_position_ = lba;
    succeed();
}

void AtapiCdrom::read_toc()
{
    const bool msf = (packet_[1] & 2) != 0;
    // SFF-8020 put the format into the top bits of byte 9, MMC into byte 2.
    const u8 format = (packet_[2] & 0x0f) != 0 ? packet_[2] & 0x0f : packet_[9] >> 6;
    const u8 first = packet_[6];
    std::vector<u8> data{0, 0, 1, 1};
    const auto add_track = [&](u8 number, u64 lba) {
        std::array<u8, 8> entry{0, kDataTrack, number, 0};
        put_address(std::span{entry}.subspan(4), lba, msf);
        data.insert(data.end(), entry.begin(), entry.end());
    };
    const auto add_raw = [&](u8 point, u64 value, bool is_address) {
        std::array<u8, 11> entry{1, kDataTrack, 0, point};
        if (is_address) {
            put_address(std::span{entry}.subspan(7), value, true);
        } else {
            entry[8] = static_cast<u8>(value);
        }
        data.insert(data.end(), entry.begin(), entry.end());
    };
    switch (format) {
    case 0:
        if (first > 1 && first != kLeadOut) {
            invalid_field();
            return;
        }
        if (first <= 1) {
            add_track(1, 0);
        }
        add_track(kLeadOut, disc_blocks());
        break;
    case 1: // session information
        add_track(1, 0);
        break;
    case 2: // the raw table of contents
        add_raw(0xa0, 1, false);
        add_raw(0xa1, 1, false);
        add_raw(0xa2, disc_blocks(), true);
        add_raw(1, 0, true);
        break;
    default:
        invalid_field();
        return;
    }
    base::store_be<u16>(data, 0, static_cast<u16>(data.size() - 2));
    reply(std::move(data), word_of(packet_, 7));
}

void AtapiCdrom::read_subchannel()
{
    const bool msf = (packet_[1] & 2) != 0;
    const bool wanted = (packet_[2] & 0x40) != 0;
    std::vector<u8> data{0, 0x15, 0, 0}; // audio status 15h: nothing is playing
    if (wanted) {
        if (packet_[3] != 1) {
            invalid_field(); // only the current position is known
            return;
        }
        data.resize(16, 0);
        data[3] = 12;
        data[4] = 1;
        data[5] = kDataTrack;
        data[6] = 1;
        data[7] = 1;
        put_address(std::span{data}.subspan(8), head_position_, msf);
        put_address(std::span{data}.subspan(12), head_position_, false);
    }
    reply(std::move(data), word_of(packet_, 7));
}

void AtapiCdrom::mechanism_status()
{
    std::vector<u8> data(8, 0);
    data[1] = tray_open_ ? 0x10 : 0x00;
    data[5] = 1; // one slot
    reply(std::move(data), word_of(packet_, 8));
}

void AtapiCdrom::read_disc_information()
{
    if ((packet_[1] & 7) != 0) {
        invalid_field();
        return;
    }
    std::vector<u8> data(34, 0); // MMC-3 table 337
    base::store_be<u16>(data, 0, 32);
    data[2] = 0x0e; // complete session, complete disc, not erasable
    data[3] = 1;    // first track
    data[4] = 1;    // sessions
    data[5] = 1;
    data[6] = 1;
    data[7] = 0x20; // unrestricted use
    std::fill_n(data.begin() + 16, 8, u8{0xff});
    reply(std::move(data), word_of(packet_, 7));
}

} // namespace emu::devices::block
