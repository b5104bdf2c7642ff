#include "emulator/devices/block/ata_disk.hpp"

#include <algorithm>

namespace emu::devices::block {

namespace {

// The latency model: small, so that firmware that polls does not burn guest time, and a function
// of the request alone.
constexpr u64 kOverheadNs = 20'000;
constexpr u64 kSeekNs = 60'000;
constexpr u64 kSectorNs = 2'500;   // 200 MB/s off the platters
constexpr u64 kBlockGapNs = 4'000; // between two PIO blocks
constexpr u64 kFlushNs = 50'000;

constexpr u64 kMax28 = u64{1} << 28;
constexpr u32 kDmaChunkSectors = 128;
constexpr u8 kMaxMultiple = 16;

} // namespace

AtaDisk::AtaDisk(std::string name, Wiring wiring, Config config)
    : IdeDrive{std::move(name), std::move(wiring)}, config_{std::move(config)},
      sectors_{config_.disk.size() / kSector}, translation_{config_.geometry}
{}

// ATA-6 8, by opcode. What is not here is aborted.
std::span<const AtaDisk::Command> AtaDisk::commands()
{
    static constexpr std::array<Command, 37> kCommands{{
        {0x10, 0x1f, &AtaDisk::recalibrate},
        {0x20, 0x21, &AtaDisk::read_pio},
        {0x24, 0x24, &AtaDisk::read_pio},
        {0x25, 0x25, &AtaDisk::read_dma},
        {0x27, 0x27, &AtaDisk::read_native_max},
        {0x29, 0x29, &AtaDisk::read_multiple},
        {0x30, 0x31, &AtaDisk::write_pio, Begins::with_host_data},
        {0x34, 0x34, &AtaDisk::write_pio, Begins::with_host_data},
        {0x35, 0x35, &AtaDisk::write_dma},
        {0x39, 0x39, &AtaDisk::write_multiple, Begins::with_host_data},
        {0x3c, 0x3c, &AtaDisk::write_pio, Begins::with_host_data}, // WRITE VERIFY
        {0x40, 0x42, &AtaDisk::verify},
        {0x70, 0x7f, &AtaDisk::seek},
        {0x91, 0x91, &AtaDisk::initialise_parameters},
        {0x94, 0x94, &AtaDisk::succeed}, // the power commands' ATA-1 opcodes
        {0x95, 0x95, &AtaDisk::succeed},
        {0x96, 0x96, &AtaDisk::succeed},
        {0x97, 0x97, &AtaDisk::succeed},
        {0x98, 0x98, &AtaDisk::check_power},
        {0x99, 0x99, &AtaDisk::succeed},
        {0xa1, 0xa1, &AtaDisk::identify_packet},
        {0xc4, 0xc4, &AtaDisk::read_multiple},
        {0xc5, 0xc5, &AtaDisk::write_multiple, Begins::with_host_data},
        {0xc6, 0xc6, &AtaDisk::set_multiple},
        {0xc8, 0xc9, &AtaDisk::read_dma},
        {0xca, 0xcb, &AtaDisk::write_dma},
        {0xe0, 0xe0, &AtaDisk::succeed}, // STANDBY IMMEDIATE
        {0xe1, 0xe1, &AtaDisk::succeed}, // IDLE IMMEDIATE
        {0xe2, 0xe2, &AtaDisk::succeed}, // STANDBY
        {0xe3, 0xe3, &AtaDisk::succeed}, // IDLE
        {0xe5, 0xe5, &AtaDisk::check_power},
        {0xe6, 0xe6, &AtaDisk::succeed}, // SLEEP: the next command wakes the drive
        {0xe7, 0xe7, &AtaDisk::flush},
        {0xea, 0xea, &AtaDisk::flush},
        {0xec, 0xec, &AtaDisk::identify},
        {0xef, 0xef, &AtaDisk::set_features},
        {0xf8, 0xf8, &AtaDisk::read_native_max},
    }};
    return kCommands;
}

void AtaDisk::put_signature()
{
    // ATA-6 9.12: the signature of a device without the PACKET feature set.
    task_.count = 1;
    task_.sector = 1;
    task_.low = 0;
    task_.high = 0;
    task_.device = 0;
}

u8 AtaDisk::idle_status() const
{
    return status::drdy | status::dsc;
}

void AtaDisk::reset_drive()
{
    translation_ = config_.geometry;
    transfer_ = Transfer::none;
    lba_ = 0;
    left_ = 0;
    per_block_ = 1;
    head_position_ = 0;
    multiple_ = kMaxMultiple;
    transfer_mode_ = 0;
    write_cache_ = true;
    look_ahead_ = true;
}

bool AtaDisk::long_form() const
{
    constexpr std::array<u8, 8> kLong{0x24, 0x25, 0x27, 0x29, 0x34, 0x35, 0x39, 0x42};
    return std::ranges::find(kLong, task_.command) != kLong.end();
}

u64 AtaDisk::requested_sectors() const
{
    if (long_form()) {
        const u64 count = (u64{task_.count_high} << 8) | task_.count;
        return count == 0 ? 0x1'0000 : count;
    }
    return task_.count == 0 ? 256 : task_.count;
}

std::optional<u64> AtaDisk::requested_lba() const
{
    if (long_form()) {
        return (u64{task_.high_high} << 40) | (u64{task_.low_high} << 32) |
               (u64{task_.sector_high} << 24) | (u64{task_.high} << 16) | (u64{task_.low} << 8) |
               task_.sector;
    }
    const u8 head = task_.device & device_bits::head;
    const u64 cylinder = (u64{task_.high} << 8) | task_.low;
    if ((task_.device & device_bits::lba) != 0) {
        return (u64{head} << 24) | (cylinder << 8) | task_.sector;
    }
    const bool exists =
        task_.sector >= 1 && task_.sector <= translation_.sectors && head < translation_.heads;
    if (!exists) {
        return std::nullopt;
    }
    return (cylinder * translation_.heads + head) * translation_.sectors + task_.sector - 1;
}

void AtaDisk::store_lba(u64 lba)
{
    if (long_form()) {
        task_.sector_high = static_cast<u8>(lba >> 24);
        task_.low_high = static_cast<u8>(lba >> 32);
        task_.high_high = static_cast<u8>(lba >> 40);
        task_.sector = static_cast<u8>(lba);
        task_.low = static_cast<u8>(lba >> 8);
        task_.high = static_cast<u8>(lba >> 16);
        return;
    }
    u8 head = 0;
    if ((task_.device & device_bits::lba) != 0) {
        task_.sector = static_cast<u8>(lba);
        task_.low = static_cast<u8>(lba >> 8);
        task_.high = static_cast<u8>(lba >> 16);
        head = static_cast<u8>((lba >> 24) & device_bits::head);
    } else if (translation_.sectors != 0 && translation_.heads != 0) {
        const u64 track = lba / translation_.sectors;
        const u64 cylinder = track / translation_.heads;
        task_.sector = static_cast<u8>(lba % translation_.sectors + 1);
        task_.low = static_cast<u8>(cylinder);
        task_.high = static_cast<u8>(cylinder >> 8);
        head = static_cast<u8>(track % translation_.heads);
    }
    task_.device = static_cast<u8>((task_.device & ~device_bits::head) | head);
}

const AtaDisk::Command* AtaDisk::command() const
{
    const auto all = commands();
    const auto row = std::ranges::find_if(all, [this](const Command& candidate) {
        return task_.command >= candidate.first && task_.command <= candidate.last;
    });
    return row == all.end() ? nullptr : &*row;
}

/// A write that can be done. What cannot ends later with its error, like any other command.
bool AtaDisk::takes_data_at_once() const
{
    const Command* row = command();
    const bool writes = row != nullptr && row->begins == Begins::with_host_data;
    const bool disabled = multiple_ == 0 && row != nullptr && row->run == &AtaDisk::write_multiple;
    return writes && !disabled && !config_.disk.read_only() && request_exists();
}

std::optional<u64> AtaDisk::begin_command()
{
    transfer_ = Transfer::none;
    if (takes_data_at_once()) {
        execute();
        return std::nullopt;
    }
    const bool media = task_.command >= 0x20 && task_.command < 0x80;
    const bool transfer = task_.command >= 0xc4 && task_.command <= 0xcb;
    if (!media && !transfer) {
        return task_.command == 0xe7 || task_.command == 0xea ? kFlushNs : kOverheadNs;
    }
    const u64 seek = requested_lba() == head_position_ ? 0 : kSeekNs;
    return kOverheadNs + seek;
}

void AtaDisk::execute()
{
    if (const Command* row = command()) {
        (this->*row->run)();
    } else {
        abort(); // SMART (B0h), security (F1h-F6h), SET MAX (F9h), DOWNLOAD MICROCODE, the unknown
    }
}

bool AtaDisk::request_exists() const
{
    const std::optional<u64> lba = requested_lba();
    return lba && *lba < sectors_ && requested_sectors() <= sectors_ - *lba;
}

/// Checks the request and sets up the transfer; on failure the command is already over.
bool AtaDisk::start(Transfer transfer, u32 sectors_per_block)
{
    if (!request_exists()) {
        transfer_ = Transfer::none;
        complete(error::idnf);
        return false;
    }
    transfer_ = transfer;
    lba_ = *requested_lba();
    left_ = requested_sectors();
    per_block_ = sectors_per_block;
    return true;
}

u32 AtaDisk::block_sectors() const
{
    return static_cast<u32>(std::min<u64>(per_block_, left_));
}

void AtaDisk::fail_at(u64 lba, u8 error_bits)
{
    log("the disk image failed; the guest sees a medium error");
    transfer_ = Transfer::none;
    store_lba(lba);
    task_.count = static_cast<u8>(left_);
    complete(error_bits);
}

// --- PIO ------------------------------------------------------------------------------------

void AtaDisk::begin_pio_in(u32 sectors_per_block)
{
    if (start(Transfer::pio_in, sectors_per_block)) {
        next_data_in();
    }
}

void AtaDisk::read_pio()
{
    begin_pio_in(1);
}

void AtaDisk::read_multiple()
{
    if (multiple_ == 0) {
        abort();
    } else {
        begin_pio_in(multiple_);
    }
}

void AtaDisk::next_data_in()
{
    const u32 count = block_sectors();
    buffer_.resize(std::size_t{count} * kSector);
    if (!config_.disk.read(lba_ * kSector, buffer_)) {
        buffer_.clear();
        fail_at(lba_, error::unc);
        return;
    }
    lba_ += count;
    left_ -= count;
    head_position_ = lba_;
    offer_data_in();
    raise_interrupt();
}

void AtaDisk::data_in_drained()
{
    if (transfer_ == Transfer::pio_in && left_ != 0) {
        task_.status = status::bsy;
        schedule(Step::data_in, kBlockGapNs);
        return;
    }
    if (transfer_ == Transfer::pio_in) {
        store_lba(lba_ - 1);
        task_.count = 0;
    }
    transfer_ = Transfer::none;
    task_.status = status::drdy | status::dsc;
}

void AtaDisk::begin_pio_out(u32 sectors_per_block)
{
    if (config_.disk.read_only()) {
        abort();
    } else if (start(Transfer::pio_out, sectors_per_block)) {
        request_data_out(block_sectors() * kSector); // ATA-6 9.6: no interrupt before the first
    }
}

void AtaDisk::write_pio()
{
    begin_pio_out(1);
}

void AtaDisk::write_multiple()
{
    if (multiple_ == 0) {
        abort();
    } else {
        begin_pio_out(multiple_);
    }
}

void AtaDisk::data_out_filled()
{
    const u64 seek = lba_ == head_position_ ? 0 : kOverheadNs + kSeekNs; // before the first block
    schedule(Step::data_out_done, kBlockGapNs + seek);
}

void AtaDisk::data_out_done()
{
    const u32 count = block_sectors();
    if (!config_.disk.write(lba_ * kSector, buffer_)) {
        fail_at(lba_, error::abrt);
        return;
    }
    lba_ += count;
    left_ -= count;
    head_position_ = lba_;
    if (left_ != 0) {
        request_data_out(block_sectors() * kSector);
        raise_interrupt();
        return;
    }
    transfer_ = Transfer::none;
    store_lba(lba_ - 1);
    task_.count = 0;
    complete(0);
}

// --- DMA ------------------------------------------------------------------------------------

void AtaDisk::read_dma()
{
    if (!has_dma()) {
        abort();
    } else if (start(Transfer::dma_in, kDmaChunkSectors)) {
        wait_for_dma(left_ * kSectorNs);
    }
}

void AtaDisk::write_dma()
{
    if (!has_dma() || config_.disk.read_only()) {
        abort();
    } else if (start(Transfer::dma_out, kDmaChunkSectors)) {
        wait_for_dma(left_ * kSectorNs);
    }
}

void AtaDisk::run_dma()
{
    const bool in = transfer_ == Transfer::dma_in;
    if (!in && transfer_ != Transfer::dma_out) {
        return;
    }
    std::vector<u8> chunk;
    while (left_ != 0) {
        const u32 count = block_sectors();
        chunk.resize(std::size_t{count} * kSector);
        if (in && !config_.disk.read(lba_ * kSector, chunk)) {
            fail_at(lba_, error::unc);
            return;
        }
        const u64 moved = in ? dma().to_memory(chunk) : dma().from_memory(chunk);
        if (moved != chunk.size()) {
            log("the bus master's table is shorter than the transfer");
            task_.status = status::drdy | status::drq; // waits for the host, for ever
            return;
        }
        if (!in && !config_.disk.write(lba_ * kSector, chunk)) {
            fail_at(lba_, error::abrt);
            return;
        }
        lba_ += count;
        left_ -= count;
    }
    transfer_ = Transfer::none;
    head_position_ = lba_;
    store_lba(lba_ - 1);
    task_.count = 0;
    complete(0);
}

// --- the rest -------------------------------------------------------------------------------

void AtaDisk::verify()
{
    if (start(Transfer::verify, 1)) {
        transfer_ = Transfer::none;
        lba_ += left_;
        left_ = 0;
        head_position_ = lba_;
        store_lba(lba_ - 1);
        task_.count = 0;
        complete(0);
    }
}

void AtaDisk::recalibrate()
{
    task_.low = 0;
    task_.high = 0;
    head_position_ = 0;
    complete(0);
}

void AtaDisk::seek()
{
    const std::optional<u64> lba = requested_lba();
    if (!lba || *lba >= sectors_) {
        complete(error::idnf);
        return;
    }
    head_position_ = *lba;
    complete(0);
}

void AtaDisk::initialise_parameters()
{
    const auto heads = static_cast<u8>((task_.device & device_bits::head) + 1);
    if (task_.count == 0) {
        abort();
        return;
    }
    const u64 cylinders = std::min<u64>(sectors_ / (u64{heads} * task_.count), 65535);
    translation_ = {static_cast<u16>(cylinders), heads, task_.count};
    complete(0);
}

void AtaDisk::set_multiple()
{
    const u8 count = task_.count;
    const bool power_of_two = (count & (count - 1)) == 0; // zero disables
    if (count > kMaxMultiple || !power_of_two) {
        multiple_ = 0;
        abort();
        return;
    }
    multiple_ = count;
    complete(0);
}

void AtaDisk::set_features()
{
    switch (task_.features) { // ATA-6 table 44
    case 0x02:
        write_cache_ = true;
        break;
    case 0x82:
        write_cache_ = false;
        break;
    case 0xaa:
        look_ahead_ = true;
        break;
    case 0x55:
        look_ahead_ = false;
        break;
    case 0x03: { // transfer mode in the count register
        const u8 kind = task_.count >> 3;
        const bool known = kind <= 1 || (has_dma() && (kind == 2 || kind == 4));
        if (!known) {
            abort();
            return;
        }
        transfer_mode_ = task_.count;
        break;
    }
    case 0x66: // keep settings over a soft reset: we always do
    case 0xcc:
        break;
    default:
        abort();
        return;
    }
    complete(0);
}

void AtaDisk::flush()
{
    if (!config_.disk.read_only() && !config_.disk.flush()) {
        log("the disk image could not be flushed");
        complete(error::abrt, status::df);
        return;
    }
    complete(0);
}

void AtaDisk::check_power()
{
    task_.count = 0xff; // active or idle
    complete(0);
}

void AtaDisk::succeed()
{
    complete(0);
}

void AtaDisk::read_native_max()
{
    const u64 limit = long_form() ? sectors_ : std::min(sectors_, kMax28);
    task_.device |= device_bits::lba;
    store_lba(limit == 0 ? 0 : limit - 1);
    complete(0);
}

void AtaDisk::identify_packet()
{
    put_signature(); // ATA-6 8.16: how hosts tell disks from packet devices
    abort();
}

void AtaDisk::identify()
{
    buffer_ = identify_data();
    transfer_ = Transfer::none;
    offer_data_in();
    raise_interrupt();
}

void AtaDisk::visit_drive(StateVisitor& visitor)
{
    visitor.field("cylinders", translation_.cylinders);
    visitor.field("heads", translation_.heads);
    visitor.field("sectors", translation_.sectors);
    visitor.field("transfer", transfer_);
    visitor.field("lba", lba_);
    visitor.field("left", left_);
    visitor.field("per_block", per_block_);
    visitor.field("head_position", head_position_);
    visitor.field("multiple", multiple_);
    visitor.field("transfer_mode", transfer_mode_);
    visitor.field("write_cache", write_cache_);
    visitor.field("look_ahead", look_ahead_);
    if (visitor.restoring()) {
        lba_ = std::min(lba_, sectors_);
        left_ = std::min(left_, sectors_ - lba_);
        per_block_ = std::clamp<u32>(per_block_, 1, kDmaChunkSectors);
    }
}

} // namespace emu::devices::block
