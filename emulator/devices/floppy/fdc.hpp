// 82077AA floppy disk controller with up to two drives, ports 3F0h-3F5h and 3F7h.
//
// Source: Intel "82077AA CHMOS Single-Chip Floppy Disk Controller" (290166), "DS" below.
// Deviations: rotation is not modelled: a sector takes kSectorNs, a step kStepNs (fdc.cpp); a drive
// without a disk answers "missing address mark" at once instead of waiting for an index pulse for
// ever; the motor need not run. Images keep no deleted-data marks: sectors written deleted read as
// normal ones. A multi-track command whose EOT names a sector beyond the track goes on at the other
// head and on the next cylinder, for the EOT - R + 1 sectors that such a command means: SeaBIOS
// reads up to 72 sectors so, where a real drive finds no such ID. Not modelled: the SCAN commands
// (answered as invalid), sector sizes but 512 bytes (answered "no data").
#pragma once

#include "emulator/devices/byte_io.hpp"
#include "emulator/devices/dma/dma_channel.hpp"
#include "emulator/devices/floppy/floppy_geometry.hpp"
#include "emulator/machine/clock.hpp"
#include "imgtool/disk.hpp"

#include <array>
#include <optional>

namespace emu::devices {

class FloppyController final : public Device, public ByteIo {
public:
    static constexpr unsigned kDrives = 2;

    struct Wiring {
        Clock& clock;
        Wire irq6;
        DmaChannel& dma; // channel 2
    };

    /// `present[n]`: a drive is cabled there.
    FloppyController(Wiring wiring, std::array<bool, kDrives> present);

    std::string_view name() const override { return "fdc"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    /// The disk must outlive its stay in the drive. Fails when no floppy has its size or no drive
    /// is there; the drive then keeps what it had.
    base::Status insert(unsigned drive, img::Disk& disk, bool write_protected);
    void eject(unsigned drive);
    bool has_disk(unsigned drive) const
    {
        return drive < kDrives && drives_[drive].disk != nullptr;
    }
    std::optional<FloppyGeometry> geometry(unsigned drive) const;

protected:
    u8 read_byte(u16 port) override;
    void write_byte(u16 port, u8 value) override;

private:
    enum class Phase : u8 { resetting, command, execution, result };
    enum class Action : u8 { none, read, write, verify, format, read_id };

    struct Drive {
        bool present = false;
        img::Disk* disk = nullptr;
        FloppyGeometry geometry;
        bool write_protected = false;
        bool changed = true; // the DSKCHG line
        u8 track = 0;        // the head's physical position
        u8 reported = 0;     // PCN
        u8 target = 0;       // of a running seek
        bool seeking = false;
        bool recalibrating = false;
        u8 interrupt = 0; // ST0 for SENSE INTERRUPT STATUS, or 0
        void visit_state(StateVisitor& visitor);
    };

    struct Command;
    static const Command* find_command(u8 opcode);

    // fdc.cpp: registers, phases and control commands
    void write_dor(u8 value);
    void begin_reset();
    void finish_reset();
    u8 main_status() const;
    u8 digital_input() const;
    u8 read_fifo();
    void write_fifo(u8 value);
    void finish_result();
    void enter_result(std::initializer_list<u8> bytes, bool interrupt);
    void set_irq(bool level);
    Drive& selected() { return drives_[parameters_[1] & (kDrives - 1)]; }
    bool selected_exists() const;

    void invalid();
    void specify();
    void sense_drive();
    void recalibrate();
    void sense_interrupt();
    void seek();
    void relative_seek();
    void start_seek(unsigned number, u8 target, bool recalibrating);
    void seek_done(unsigned number);
    void configure();
    void version();
    void dump_registers();
    void perpendicular();
    void lock();

    // fdc_data.cpp: commands that reach the disk
    void read_data();
    void read_deleted();
    void read_track();
    void write_data();
    void verify();
    void read_id();
    void format_track();
    void begin(Action action);
    void execute();
    void execute_read_id();
    void transfer_sector();
    void format_sector();
    bool pio() const { return (head_load_ & 1) != 0; }
    void offer_buffer(u16 bytes);
    u8 read_pio();
    void write_pio(u8 value);
    void sector_transferred(bool terminal_count);
    bool multi_track() const;
    bool end_is_beyond_track() const;
    std::optional<u64> advance_sector();
    std::optional<u64> next_cylinder();
    std::optional<u64> locate_sector();
    bool rate_matches(const Drive& drive) const;
    void finish(u8 st0_code);
    void fail(u8 st1, u8 st2);

    Wiring wiring_;
    Timer timer_; // resets and the execution phase
    Timer seek_timer_0_;
    Timer seek_timer_1_;
    std::array<Drive, kDrives> drives_;

    Phase phase_ = Phase::command;
    Action action_ = Action::none;
    u8 dor_ = 0;
    u8 tape_ = 0;
    u8 rate_ = 2; // data rate select: 0 500, 1 300, 2 250, 3 1000 kbit/s
    bool irq_ = false;
    u8 resets_to_sense_ = 0; // SENSE INTERRUPT STATUS answers still due after a reset

    u8 step_rate_ = 0; // SPECIFY, first byte
    u8 head_load_ = 0; // and second; bit 0 is ND
    u8 configuration_ = 0;
    u8 precompensation_track_ = 0;
    u8 perpendicular_ = 0;
    bool locked_ = false;
    u8 last_sectors_ = 0; // SC/EOT of the last command, for DUMPREG

    std::array<u8, 9> parameters_{}; // the opcode first
    u8 parameter_count_ = 0;
    std::array<u8, 10> result_{};
    u8 result_count_ = 0;
    u8 result_position_ = 0;

    // The execution phase
    u8 cylinder_ = 0; // of the sector ID that is looked for
    u8 head_ = 0;
    u8 sector_ = 0;
    bool control_mark_ = false; // a read of deleted data found a normal sector
    bool track_mode_ = false;   // READ TRACK
    u16 sectors_left_ = 0;      // 0: up to EOT
    u8 format_left_ = 0;        // sectors
    std::array<u8, kFloppySectorSize> buffer_{};
    u16 buffer_size_ = 0; // PIO: bytes to move; 0 when none is due
    u16 buffer_position_ = 0;
};

} // namespace emu::devices
