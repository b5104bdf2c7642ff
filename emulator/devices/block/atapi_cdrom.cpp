#include "emulator/devices/block/atapi_cdrom.hpp"

#include <algorithm>
#include <cstring>

namespace emu::devices::block {

namespace {

constexpr u64 kOverheadNs = 20'000;
constexpr u64 kSeekNs = 300'000;
constexpr u64 kBlockNs = 20'000; // 100 MB/s: far above any real drive, see AtaDisk's model
constexpr u64 kChunkGapNs = 4'000;
constexpr u64 kRefillBlocks = 16;
constexpr u64 kGone = u64{1} << 40; // no disc has it: what is left of a read fails cleanly

/// The interrupt reason in the count register during PACKET commands (ATA-6 8.21).
namespace reason {
constexpr u8 command = 0x01;
constexpr u8 to_host = 0x02;
} // namespace reason

constexpr u8 kPacket = 0xa0;
constexpr u8 kUseDma = 0x01; // features bit 0

} // namespace

AtapiCdrom::AtapiCdrom(std::string name, Wiring wiring)
    : IdeDrive{std::move(name), std::move(wiring)}
{}

void AtapiCdrom::put_signature()
{
    task_.count = 1;
    task_.sector = 1;
    task_.low = 0x14;
    task_.high = 0xeb;
    task_.device = 0;
}

void AtapiCdrom::reset_drive()
{
    packet_ = {};
    phase_ = Phase::idle;
    dma_ = false;
    byte_limit_ = 0;
    pending_.clear();
    pending_at_ = 0;
    next_block_ = 0;
    blocks_left_ = 0;
    raw_ = false;
    head_position_ = 0;
    sense_ = {};
    attention_ = false;
    media_changed_ = false;
    eject_requested_ = false;
    tray_open_ = false;
    locked_ = false;
    transfer_mode_ = 0;
}

void AtapiCdrom::insert(std::unique_ptr<img::Disk> disc)
{
    disc_ = std::move(disc);
    tray_open_ = false;
    attention_ = true;
    media_changed_ = true;
    eject_requested_ = false;
    next_block_ = kGone;
}

bool AtapiCdrom::eject(bool force)
{
    if (locked_ && !force) {
        eject_requested_ = true;
        return false;
    }
    disc_.reset();
    next_block_ = kGone;
    tray_open_ = true;
    media_changed_ = true;
    attention_ = true;
    return true;
}

// --- ATA commands ---------------------------------------------------------------------------

std::optional<u64> AtapiCdrom::begin_command()
{
    phase_ = Phase::idle;
    blocks_left_ = 0;
    if (task_.command == kPacket && ((task_.features & kUseDma) == 0 || has_dma())) {
        accept_packet();
        return std::nullopt;
    }
    return kOverheadNs;
}

void AtapiCdrom::execute()
{
    if (phase_ == Phase::packet) {
        run_packet();
        return;
    }
    switch (task_.command) {
    case 0x08: // DEVICE RESET: no interrupt, the signature
        phase_ = Phase::idle;
        put_signature();
        task_.error = 1;
        task_.status = 0;
        break;
    case kPacket:
        accept_packet();
        break;
    case 0xa1:
        identify_packet();
        break;
    case 0xec: // ATA-6 8.15.5.2
        put_signature();
        abort();
        break;
    case 0xef:
        set_features();
        break;
    case 0xe0:
    case 0xe1:
    case 0xe2:
    case 0xe3:
    case 0xe6:
        complete(0);
        break;
    case 0xe5:
        task_.count = 0xff;
        complete(0);
        break;
    default:
        abort();
        break;
    }
}

void AtapiCdrom::accept_packet()
{
    dma_ = (task_.features & kUseDma) != 0;
    if (dma_ && !has_dma()) {
        abort();
        return;
    }
    const auto limit = static_cast<u16>((task_.high << 8) | task_.low);
    // Zero is reserved; hosts write it for commands without data. FFFFh means FFFEh.
    byte_limit_ = limit == 0 || limit == 0xffff ? u16{0xfffe} : limit;
    phase_ = Phase::packet;
    request_data_out(static_cast<u32>(packet_.size()));
    task_.count = reason::command;
}

void AtapiCdrom::identify_packet()
{
    buffer_.assign(512, 0);
    const std::span<u8> bytes{buffer_};
    put_word(bytes, 0, 0x85c0); // packet device, CD-ROM, removable, DRQ within 50 us, 12 bytes
    put_ata_string(bytes.subspan(20, 20), "MG00002");
    put_ata_string(bytes.subspan(46, 8), "1.0");
    put_ata_string(bytes.subspan(54, 40), "MENAGERIE CD-ROM");
    put_word(bytes, 48, 1);
    put_word(bytes, 49, has_dma() ? 0x0b00 : 0x0a00); // LBA, IORDY, DMA
    put_word(bytes, 53, 0x0003);
    if (has_dma()) {
        const u8 kind = transfer_mode_ >> 3;
        const auto selected = static_cast<u16>(0x100u << (transfer_mode_ & 7));
        put_word(bytes, 62, static_cast<u16>(0x07 | (kind == 2 ? selected : 0)));
        put_word(bytes, 63, static_cast<u16>(0x07 | (kind == 4 ? selected : 0)));
    }
    put_word(bytes, 64, 0x0003);
    for (const unsigned index : {65u, 66u, 67u, 68u}) {
        put_word(bytes, index, 120);
    }
    put_word(bytes, 80, 0x001e); // ATA-1 to ATA/ATAPI-4
    put_word(bytes, 82, 0x0210); // PACKET, DEVICE RESET
    put_word(bytes, 83, 0x4000);
    put_word(bytes, 84, 0x4000);
    put_word(bytes, 85, 0x0210);
    put_word(bytes, 87, 0x4000);
    phase_ = Phase::idle;
    offer_data_in();
    raise_interrupt();
}

void AtapiCdrom::set_features()
{
    const u8 kind = task_.count >> 3;
    const bool known = kind <= 1 || (has_dma() && (kind == 2 || kind == 4));
    if (task_.features != 0x03 || !known) {
        abort();
        return;
    }
    transfer_mode_ = task_.count;
    complete(0);
}

// --- the PACKET protocol --------------------------------------------------------------------

void AtapiCdrom::data_out_filled()
{
    if (phase_ == Phase::packet) {
        std::memcpy(packet_.data(), buffer_.data(), packet_.size());
        constexpr std::array<u8, 5> kMedia{0x28, 0xa8, 0xbe, 0x2b, 0xb9};
        const bool media = std::ranges::find(kMedia, packet_[0]) != kMedia.end();
        const u64 lba =
            (u64{packet_[2]} << 24) | (u64{packet_[3]} << 16) | (u64{packet_[4]} << 8) | packet_[5];
        const u64 seek = media && lba != head_position_ ? kSeekNs : 0;
        schedule(Step::execute, kOverheadNs + seek);
    } else {
        schedule(Step::data_out_done, kChunkGapNs);
    }
}

void AtapiCdrom::run_packet()
{
    phase_ = Phase::idle;
    pending_.clear();
    pending_at_ = 0;
    blocks_left_ = 0;
    const auto all = commands();
    const auto row = std::ranges::find(all, packet_[0], &Command::opcode);
    if (row == all.end()) {
        check({5, 0x20, 0}); // invalid command operation code
        return;
    }
    if (row->reports_attention && attention_) {
        attention_ = false;
        check(kMediumChanged);
        return;
    }
    if (row->needs_disc && disc_ == nullptr) {
        check({2, 0x3a, static_cast<u8>(tray_open_ ? 2 : 1)});
        return;
    }
    if (packet_[0] != 0x03) {
        sense_ = {};
    }
    (this->*row->run)();
}

void AtapiCdrom::succeed()
{
    phase_ = Phase::idle;
    task_.count = reason::command | reason::to_host;
    complete(0);
}

void AtapiCdrom::check(Sense sense)
{
    phase_ = Phase::idle;
    pending_.clear();
    blocks_left_ = 0;
    sense_ = sense;
    task_.count = reason::command | reason::to_host;
    complete(static_cast<u8>((sense.key << 4) | (sense.key == 5 ? error::abrt : 0)));
    if (sense.key == 0) {
        task_.status |= status::err;
    }
}

/// Sends at most `allocation` bytes of a small answer.
void AtapiCdrom::reply(std::vector<u8> data, u64 allocation)
{
    pending_ = std::move(data);
    pending_.resize(std::min<u64>(pending_.size(), allocation));
    pending_at_ = 0;
    if (pending_.empty()) {
        succeed();
        return;
    }
    phase_ = Phase::data_in;
    if (dma_) {
        wait_for_dma(kChunkGapNs);
    } else {
        offer_chunk();
    }
}

void AtapiCdrom::start_read(u64 lba, u64 count, bool raw)
{
    if (lba > disc_blocks() || count > disc_blocks() - lba) {
        check({5, 0x21, 0}); // logical block address out of range
        return;
    }
    if (count == 0) {
        succeed();
        return;
    }
    next_block_ = lba;
    blocks_left_ = count;
    raw_ = raw;
    phase_ = Phase::data_in;
    if (dma_) {
        wait_for_dma(count * kBlockNs);
    } else {
        task_.status = status::bsy;
        schedule(Step::data_in, std::min(count, kRefillBlocks) * kBlockNs);
    }
}

/// Fetches more of the disc into `pending_`. False after a medium error (reported).
bool AtapiCdrom::refill()
{
    const u64 count = std::min(blocks_left_, kRefillBlocks);
    const u32 block = raw_ ? kRawBlock : kBlock;
    pending_.assign(count * block, 0);
    pending_at_ = 0;
    for (u64 i = 0; i < count; ++i) {
        const std::span<u8> place{pending_.data() + i * block, block};
        const u64 lba = next_block_ + i;
        if (disc_ == nullptr || !disc_->read(lba * kBlock, place.subspan(raw_ ? 16 : 0, kBlock))) {
            log("the disc image failed; the guest sees a medium error");
            check({3, 0x11, 0}); // unrecovered read error
            return false;
        }
        if (raw_) {
            // ECMA-130 section 14: sync, header with BCD minutes-seconds-frames, mode 1. The error
            // correction bytes are left zero.
            std::fill_n(place.begin() + 1, 10, u8{0xff});
            const u64 frame = lba + 150;
            const auto bcd = [](u64 v) { return static_cast<u8>((v / 10) << 4 | v % 10); };
            place[12] = bcd(frame / 75 / 60);
            place[13] = bcd(frame / 75 % 60);
            place[14] = bcd(frame % 75);
            place[15] = 1;
        }
    }
    next_block_ += count;
    blocks_left_ -= count;
    head_position_ = next_block_;
    return true;
}

void AtapiCdrom::offer_chunk()
{
    const u64 left = pending_.size() - pending_at_;
    const bool more = left > byte_limit_ || blocks_left_ != 0;
    u64 count = std::min<u64>(left, byte_limit_);
    if (more && count > 1) {
        count &= ~u64{1}; // only the last transfer may be odd
    }
    buffer_.assign(pending_.begin() + static_cast<std::ptrdiff_t>(pending_at_),
                   pending_.begin() + static_cast<std::ptrdiff_t>(pending_at_ + count));
    pending_at_ += count;
    task_.count = reason::to_host;
    task_.low = static_cast<u8>(count);
    task_.high = static_cast<u8>(count >> 8);
    offer_data_in();
    raise_interrupt();
}

void AtapiCdrom::data_in_drained()
{
    if (phase_ == Phase::data_in) {
        task_.status = status::bsy;
        schedule(Step::data_in, kChunkGapNs);
    } else {
        task_.status = status::drdy | status::dsc; // IDENTIFY PACKET DEVICE
    }
}

void AtapiCdrom::next_data_in()
{
    if (pending_at_ == pending_.size()) {
        if (blocks_left_ == 0) {
            succeed();
            return;
        }
        if (!refill()) {
            return;
        }
    }
    offer_chunk();
}

void AtapiCdrom::run_dma()
{
    task_.count = reason::to_host;
    for (;;) {
        const std::span<const u8> rest{pending_.data() + pending_at_,
                                       pending_.size() - pending_at_};
        const u64 moved = dma().to_memory(rest);
        pending_at_ += moved;
        if (moved != rest.size()) {
            log("the bus master's table is shorter than the transfer");
            task_.status = status::drdy | status::drq;
            return;
        }
        if (blocks_left_ == 0) {
            succeed();
            return;
        }
        if (!refill()) {
            return;
        }
    }
}

void AtapiCdrom::receive_parameters(u32 bytes)
{
    if (bytes == 0) {
        succeed();
        return;
    }
    if (dma_) {
        check({5, 0x24, 0}); // MODE SELECT by DMA: no known host does it
        return;
    }
    phase_ = Phase::data_out;
    request_data_out(std::min<u32>(bytes, byte_limit_));
    task_.count = 0;
    task_.low = static_cast<u8>(buffer_.size());
    task_.high = static_cast<u8>(buffer_.size() >> 8);
    raise_interrupt();
}

void AtapiCdrom::data_out_done()
{
    succeed(); // the pages have nothing that could change
}

void AtapiCdrom::visit_drive(StateVisitor& visitor)
{
    visitor.field("packet", packet_);
    visitor.field("phase", phase_);
    visitor.field("dma", dma_);
    visitor.field("byte_limit", byte_limit_);
    visitor.field("pending", pending_);
    visitor.field("pending_at", pending_at_);
    visitor.field("next_block", next_block_);
    visitor.field("blocks_left", blocks_left_);
    visitor.field("raw", raw_);
    visitor.field("head_position", head_position_);
    visitor.field("sense_key", sense_.key);
    visitor.field("sense_code", sense_.code);
    visitor.field("sense_qualifier", sense_.qualifier);
    visitor.field("attention", attention_);
    visitor.field("media_changed", media_changed_);
    visitor.field("eject_requested", eject_requested_);
    visitor.field("tray_open", tray_open_);
    visitor.field("locked", locked_);
    visitor.field("transfer_mode", transfer_mode_);
    if (visitor.restoring()) {
        pending_at_ = std::min<u64>(pending_at_, pending_.size());
        byte_limit_ = std::max<u16>(byte_limit_, 2);
        phase_ = phase_ > Phase::data_out ? Phase::idle : phase_;
    }
}

} // namespace emu::devices::block
