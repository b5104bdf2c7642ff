// An ATAPI CD-ROM drive with data discs.
//
// Sources: "AT Attachment with Packet Interface - 6" (T13/1410D), section 9.8 (PACKET protocol);
// "Multimedia Commands - 3" (T10/1363D, "MMC-3"), section 6; "SCSI Primary Commands - 2" (SPC-2).
// Modelled: reading one data track, media change with unit attention, locking, PIO and DMA.
// Deviation: power-on and reset leave no unit attention (MMC-3 has 29h there). On a real PC the
// firmware has taken it before small systems come up that know no second try.
// Not modelled: audio, writing, sessions after the first, subchannel data other than the position.
#pragma once

#include "emulator/devices/block/ide_drive.hpp"

#include <memory>

namespace emu::devices::block {

/// SPC-2 table 105: sense key and additional sense code with its qualifier.
struct Sense {
    u8 key = 0;
    u8 code = 0;
    u8 qualifier = 0;
    bool operator==(const Sense&) const = default;
};

/// Unit attention: not ready to ready change, the medium may have changed.
inline constexpr Sense kMediumChanged{6, 0x28, 0};

class AtapiCdrom final : public IdeDrive {
public:
    AtapiCdrom(std::string name, Wiring wiring);

    /// Closes the tray on a disc (null: an empty tray). The guest is told at its next command.
    void insert(std::unique_ptr<img::Disk> disc);

    /// Opens the tray. False when the guest has locked it and `force` is not set; the guest is then
    /// told that somebody pressed the button.
    bool eject(bool force);
    bool has_disc() const { return disc_ != nullptr; }
    bool locked() const { return locked_; }
    img::Disk* disc() const { return disc_.get(); }
    bool tray_open() const { return tray_open_; }

private:
    static constexpr u32 kBlock = 2048;
    static constexpr u32 kRawBlock = 2352;
    using Packet = std::array<u8, 12>;

    enum class Phase : u8 { idle, packet, data_in, data_out };

    struct Command {
        u8 opcode;
        bool needs_disc;
        bool reports_attention; // false: runs although a unit attention is pending
        void (AtapiCdrom::*run)();
    };
    static std::span<const Command> commands();

    void put_signature() override;
    u8 idle_status() const override { return 0; }
    void reset_drive() override;
    void visit_drive(StateVisitor& visitor) override;
    std::optional<u64> begin_command() override;
    void execute() override;
    void data_in_drained() override;
    void data_out_filled() override;
    void next_data_in() override;
    void data_out_done() override;
    void run_dma() override;

    // ATA commands.
    void accept_packet();
    void identify_packet();
    void set_features();

    // Packet commands (atapi_commands.cpp, atapi_inquiry.cpp).
    void run_packet();
    void test_unit_ready();
    void request_sense();
    void inquiry();
    void mode_sense_6();
    void mode_sense_10();
    void mode_select_6();
    void mode_select_10();
    void start_stop();
    void prevent_allow();
    void read_capacity();
    void read_10();
    void read_12();
    void read_cd();
    void seek();
    void read_toc();
    void read_subchannel();
    void get_configuration();
    void get_event_status();
    void mechanism_status();
    void read_disc_information();

    std::vector<u8> mode_pages(u8 page) const;
    void start_read(u64 lba, u64 count, bool raw);
    bool refill();
    void reply(std::vector<u8> data, u64 allocation);
    void offer_chunk();
    void receive_parameters(u32 bytes);
    void succeed();
    void check(Sense sense);
    void invalid_field() { check({5, 0x24, 0}); }
    u64 disc_blocks() const { return disc_ != nullptr ? disc_->size() / kBlock : 0; }

    std::unique_ptr<img::Disk> disc_;
    Packet packet_{};
    Phase phase_ = Phase::idle;
    bool dma_ = false;
    u16 byte_limit_ = 0;
    std::vector<u8> pending_; // reply bytes not yet offered to the host
    u64 pending_at_ = 0;      // first of them
    u64 next_block_ = 0;      // then these blocks of the disc
    u64 blocks_left_ = 0;
    bool raw_ = false; // 2352-byte blocks
    u64 head_position_ = 0;
    Sense sense_;
    bool attention_ = false; // a unit attention is pending: the disc was changed
    bool media_changed_ = false;
    bool eject_requested_ = false;
    bool tray_open_ = false;
    bool locked_ = false;
    u8 transfer_mode_ = 0;
};

} // namespace emu::devices::block
