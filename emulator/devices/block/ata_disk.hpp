// An ATA hard disk.
//
// Source: "AT Attachment with Packet Interface - 6" (T13/1410D), section 8 (command descriptions);
// the older commands from "AT Attachment Interface" (ANSI X3.221-1994).
// Modelled: PIO, multiple and DMA transfers with 28- and 48-bit addresses, CHS translation, power
// and feature commands. Not modelled: SMART, security, HPA, streaming; they are aborted.
#pragma once

#include "emulator/devices/block/geometry.hpp"
#include "emulator/devices/block/ide_drive.hpp"

namespace emu::devices::block {

class AtaDisk final : public IdeDrive {
public:
    struct Config {
        img::Disk& disk; // must outlive the drive
        Geometry geometry;
        std::string model = "MENAGERIE HARDDISK";
        std::string serial = "MG00001";
    };

    AtaDisk(std::string name, Wiring wiring, Config config);

    u64 sectors() const { return sectors_; }
    const Geometry& geometry() const { return config_.geometry; }

private:
    static constexpr u32 kSector = 512;

    enum class Transfer : u8 { none, pio_in, pio_out, dma_in, dma_out, verify };
    enum class Begins : u8 { with_work, with_host_data };

    /// One row of the command table.
    struct Command {
        u8 first; // opcodes first..last
        u8 last;
        void (AtaDisk::*run)();
        Begins begins = Begins::with_work;
    };
    static std::span<const Command> commands();
    const Command* command() const;
    bool takes_data_at_once() const;

    void put_signature() override;
    u8 idle_status() const override;
    void reset_drive() override;
    void visit_drive(StateVisitor& visitor) override;
    std::optional<u64> begin_command() override;
    void execute() override;
    void data_in_drained() override;
    void data_out_filled() override;
    void next_data_in() override;
    void data_out_done() override;
    void run_dma() override;

    // Commands.
    void read_pio();
    void read_multiple();
    void write_pio();
    void write_multiple();
    void read_dma();
    void write_dma();
    void verify();
    void identify();
    void identify_packet();
    void recalibrate();
    void seek();
    void initialise_parameters();
    void set_multiple();
    void set_features();
    void flush();
    void check_power();
    void succeed();
    void read_native_max();

    bool long_form() const; // a 48-bit command
    u64 requested_sectors() const;
    std::optional<u64> requested_lba() const;
    void store_lba(u64 lba);
    bool request_exists() const;
    bool start(Transfer transfer, u32 sectors_per_block);
    void begin_pio_in(u32 sectors_per_block);
    void begin_pio_out(u32 sectors_per_block);
    u32 block_sectors() const;
    void fail_at(u64 lba, u8 error_bits);
    std::vector<u8> identify_data() const;

    Config config_;
    u64 sectors_;
    Geometry translation_; // what INITIALIZE DEVICE PARAMETERS chose
    Transfer transfer_ = Transfer::none;
    u64 lba_ = 0;           // of the next sector
    u64 left_ = 0;          // sectors
    u32 per_block_ = 1;     // sectors between two DRQs
    u64 head_position_ = 0; // LBA after the last transfer, for the latency model
    u8 multiple_ = 0;       // sectors per block of the MULTIPLE commands; 0 disabled
    u8 transfer_mode_ = 0;  // as SET FEATURES 03h set it
    bool write_cache_ = true;
    bool look_ahead_ = true;
};

} // namespace emu::devices::block
