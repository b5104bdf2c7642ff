// What every device on an IDE cable has: the task file, the data register, INTRQ and DMA requests.
//
// Source: "AT Attachment with Packet Interface - 6" (T13/1410D), sections 6 (interface registers),
// 7 (interface register definitions) and 9 (protocols). "ATA-6" below.
//
// A register write never completes a command: it arms the drive's timer, and the work is done when
// the virtual clock gets there. A command that begins with data from the host asks for them at
// once, as drives do (ATA-6 9.6, 9.8: BSY need not be seen): old drivers send without a look at
// DRQ.
#pragma once

#include "emulator/machine/clock.hpp"
#include "emulator/machine/device.hpp"
#include "imgtool/disk.hpp"

#include <array>
#include <optional>
#include <vector>

namespace emu::devices::block {

namespace status {
inline constexpr u8 err = 0x01; // CHK for packet devices
inline constexpr u8 drq = 0x08;
inline constexpr u8 dsc = 0x10; // seek complete
inline constexpr u8 df = 0x20;  // device fault
inline constexpr u8 drdy = 0x40;
inline constexpr u8 bsy = 0x80;
} // namespace status

namespace error {
inline constexpr u8 abrt = 0x04;
inline constexpr u8 idnf = 0x10;
inline constexpr u8 unc = 0x40;
} // namespace error

namespace device_bits {
inline constexpr u8 head = 0x0f;
inline constexpr u8 dev = 0x10;
inline constexpr u8 lba = 0x40;
inline constexpr u8 obsolete = 0xa0; // read as ones
} // namespace device_bits

/// Command block registers by offset from 1F0h.
enum class TaskRegister : u8 { data, error, count, sector, low, high, device, status };

/// The bus master's side of a DMA transfer, as the drive sees it.
class DmaEngine {
public:
    virtual ~DmaEngine() = default;

    /// The host has set up a transfer and started the engine.
    virtual bool running() const = 0;

    /// Moves bytes; returns how many the host had room (or data) for.
    virtual u64 to_memory(std::span<const u8> from) = 0;
    virtual u64 from_memory(std::span<u8> into) = 0;
};

class IdeDrive {
public:
    struct Wiring {
        Clock& clock;
        Wire interrupt;           // INTRQ of this drive, before nIEN and selection
        DmaEngine* dma = nullptr; // null: the host has none and DMA commands are aborted
        GuestLog* log = nullptr;
    };

    IdeDrive(std::string name, Wiring wiring);
    virtual ~IdeDrive() = default;

    const std::string& name() const { return name_; }

    /// Hardware reset: as power-on but the medium stays.
    void reset();
    void soft_reset(bool asserted);

    u8 read_register(TaskRegister which, bool high_order_byte) const;

    /// Registers are latched by both drives; a command runs only on the `selected` one.
    void write_register(TaskRegister which, u8 value, bool selected);
    void acknowledge_interrupt();
    bool interrupt() const { return interrupt_; }

    /// The data register; `size` 1, 2 or 4 bytes.
    u32 read_data(unsigned size);
    void write_data(unsigned size, u32 value);

    /// The bus master was started: a transfer that waits for it goes on.
    void dma_started();

    /// EXECUTE DEVICE DIAGNOSTIC reaches both drives.
    void diagnose();

    void visit_state(StateVisitor& visitor);

protected:
    /// What the timer does next.
    enum class Step : u8 { none, execute, data_in, data_out_done, dma, finish_reset };

    struct TaskFile {
        u8 error = 1;
        u8 features = 0;
        u8 count = 1;
        u8 sector = 1;
        u8 low = 0;
        u8 high = 0;
        u8 device = 0;
        u8 status = 0;
        u8 command = 0;
        // The bytes written before the latest, for 48-bit commands (ATA-6 6.20).
        u8 features_high = 0;
        u8 count_high = 0;
        u8 sector_high = 0;
        u8 low_high = 0;
        u8 high_high = 0;
    };

    virtual void put_signature() = 0;
    virtual u8 idle_status() const = 0; // after reset
    virtual void reset_drive() = 0;
    virtual void visit_drive(StateVisitor& visitor) = 0;

    /// The command register was written: forgets an earlier command's progress and says how long
    /// until execute() (nanoseconds). Nothing when the drive already takes the command's data.
    virtual std::optional<u64> begin_command() = 0;
    virtual void execute() = 0;

    /// A PIO buffer was emptied (filled) by the host; what comes after it?
    virtual void data_in_drained() = 0;
    virtual void data_out_filled() = 0;

    /// Steps armed by the drive itself.
    virtual void next_data_in() = 0;
    virtual void data_out_done() = 0;
    virtual void run_dma() = 0;

    void schedule(Step step, u64 delay_ns);
    void raise_interrupt();

    /// Command over, with or without an error; `error_bits` zero means success.
    void complete(u8 error_bits, u8 extra_status = 0);
    void abort() { complete(error::abrt); }

    /// DRQ with `buffer_` (whole) for the host to read or write.
    void offer_data_in();
    void request_data_out(u32 bytes);

    /// BSY until the engine runs; then run_dma() is called.
    void wait_for_dma(u64 delay_ns);
    bool has_dma() const { return wiring_.dma != nullptr; }
    DmaEngine& dma() { return *wiring_.dma; }
    void log(std::string_view what) const;

    TaskFile task_;
    std::vector<u8> buffer_; // the PIO block in flight

private:
    void fire();
    void write_task_byte(u8& latest, u8& previous, u8 value);

    std::string name_;
    Wiring wiring_;
    u32 position_ = 0;     // bytes of buffer_ already moved
    bool reading_ = false; // DRQ is for the host to read
    bool interrupt_ = false;
    bool in_reset_ = false;
    bool dma_waiting_ = false;
    Step step_ = Step::none;
    Timer timer_;
};

/// Stores a string as IDENTIFY data wants it: space-padded, the two bytes of each word swapped.
void put_ata_string(std::span<u8> words, std::string_view text);
void put_word(std::span<u8> words, unsigned index, u16 value);

} // namespace emu::devices::block
