// The machine as monitors and control sockets see it. Everything here is used on the machine's
// thread only.
#pragma once

#include "base/result.hpp"
#include "emulator/devices/display/display_source.hpp"
#include "emulator/hostio/guest_input.hpp"
#include "emulator/machine/machine.hpp"
#include "emulator/memory/address_space.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace emu {
class PortSpace;
}

namespace emu::debug {

/// A drive that a medium may be in.
struct BlockSlot {
    std::string id;     // "ide0-hd0", "ide1-cd0", "floppy0"
    std::string driver; // "ide-hd", "ide-cd", "floppy"
    bool removable = false;

    // The medium; empty file: none.
    std::string file;
    std::string format;
    bool read_only = false;
    u64 size = 0;

    /// Empty for fixed drives. Errors say why (locked by the guest, cannot open).
    std::function<base::Status(bool force)> eject;
    std::function<base::Status(const std::string& file, const std::string& format, bool read_only)>
        change;
    std::function<bool()> locked;
    std::function<bool()> inserted;  // whether the medium is still in the drive
    std::function<bool()> tray_open; // empty: the drive's never is

    bool empty() const { return file.empty() || (inserted && !inserted()); }
    bool has_open_tray() const { return tray_open && tray_open(); }
};

struct CharSlot {
    std::string label;
    std::string description;
};

/// What only the board can tell, as text.
enum class BoardReport : u8 { pci, pic, irq, qtree };

struct Target {
    std::string name; // of the machine, may be empty
    Machine* machine = nullptr;
    AddressSpace* memory = nullptr;
    PortSpace* ports = nullptr;
    DisplaySource* display = nullptr; // null: no display adapter
    hostio::GuestInput* input = nullptr;
    std::vector<BlockSlot*> blocks;
    std::function<std::vector<CharSlot>()> chars;
    std::function<std::string(BoardReport report)> board_report;

    BlockSlot* find_block(const std::string& id) const
    {
        for (BlockSlot* slot : blocks) {
            if (slot->id == id) {
                return slot;
            }
        }
        return nullptr;
    }
};

// What the monitor and QMP do alike. Errors are ready to be shown.

enum class PictureFormat : u8 { ppm, png };
base::Status screendump(const Target& target, const std::string& file, PictureFormat format);

/// Writes guest memory to a file. Physical, or through the CPU's address translation.
enum class Addressing : u8 { physical, linear };
base::Status save_memory(const Target& target, u64 address, u64 size, const std::string& file,
                         Addressing addressing);
base::Status read_memory(const Target& target, u64 address, std::span<u8> into,
                         Addressing addressing);

/// Presses the machine's NMI button, as recorded input. Error: a replay is running.
base::Status inject_nmi(const Target& target);

/// Presses the keys in order, and releases them in reverse after `hold_ms` of guest time.
class KeySender {
public:
    explicit KeySender(const Target& target) : target_{target} {}
    void send(std::vector<hostio::KeyCode> keys, u64 hold_ms);

private:
    void release();

    const Target& target_;
    std::optional<Timer> timer_; // host side: not part of the guest's state
    std::vector<hostio::KeyCode> held_;
};

} // namespace emu::debug
