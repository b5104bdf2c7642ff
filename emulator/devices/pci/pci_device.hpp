// One function on the PCI bus: its configuration space, base address registers and interrupt pin.
//
// Source: "PCI Local Bus Specification", revision 2.1, chapter 6 (configuration space).
// Modelled: type 0 headers, write masks, I/O and memory BARs, expansion ROM, INTx#.
// Not modelled: capabilities, parity and system errors, latency; those bits read as written.
#pragma once

#include "emulator/machine/device.hpp"
#include "emulator/machine/port_space.hpp"
#include "emulator/memory/address_space.hpp"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace emu::devices::pci {

/// Offsets of the type 0 header, specification section 6.1.
namespace header {
inline constexpr u8 vendor = 0x00;
inline constexpr u8 device = 0x02;
inline constexpr u8 command = 0x04;
inline constexpr u8 status = 0x06;
inline constexpr u8 revision = 0x08;
inline constexpr u8 class_code = 0x09;
inline constexpr u8 cache_line = 0x0c;
inline constexpr u8 latency = 0x0d;
inline constexpr u8 type = 0x0e;
inline constexpr u8 bar0 = 0x10;
inline constexpr u8 subsystem_vendor = 0x2c;
inline constexpr u8 subsystem = 0x2e;
inline constexpr u8 rom = 0x30;
inline constexpr u8 interrupt_line = 0x3c;
inline constexpr u8 interrupt_pin = 0x3d;
} // namespace header

namespace command {
inline constexpr u16 io = 0x0001;
inline constexpr u16 memory = 0x0002;
inline constexpr u16 master = 0x0004;
} // namespace command

struct PciIdentity {
    u16 vendor;
    u16 device;
    u32 class_code; // base class << 16 | subclass << 8 | programming interface
    u8 revision = 0;
    u16 subsystem_vendor = 0;
    u16 subsystem = 0;
    bool multifunction = false;
    u8 interrupt_pin = 0;  // 0 none, 1-4 INTA#-INTD#
    u16 command_mask = 0;  // writable bits of the command register
    u16 command_reset = 0; // its value after reset
    u16 status = 0;        // read-only
};

class PciDevice : public Device {
public:
    /// What decoded BARs are mapped into.
    struct Fabric {
        AddressSpace& memory;
        PortSpace& ports;
    };

    PciDevice(Fabric fabric, const PciIdentity& identity);
    ~PciDevice() override;
    PciDevice(const PciDevice&) = delete;
    PciDevice& operator=(const PciDevice&) = delete;

    /// `size` 1, 2 or 4, within one aligned dword.
    u32 config_read(u8 offset, unsigned size) const;
    void config_write(u8 offset, unsigned size, u32 value);

    void reset() final;
    void visit_state(StateVisitor& visitor) final;

    u8 interrupt_pin() const { return config_[header::interrupt_pin]; }
    bool interrupt_asserted() const { return interrupt_level_; }

    /// A base address register or the expansion ROM's, for monitors.
    struct Bar {
        u8 register_offset;
        u32 size; // bytes
        bool io;
        std::optional<u32> mapped_at; // nothing: not decoded now
    };
    std::vector<Bar> bars() const;

    /// The bus connects the pin when the device is attached.
    void connect_interrupt(Wire wire) { interrupt_ = std::move(wire); }

protected:
    // Once, in the constructor of the derived class.
    void add_io_bar(unsigned index, u32 size, IoHandler& handler);
    void add_mmio_bar(unsigned index, u32 size, MmioHandler& handler);
    void add_ram_bar(unsigned index, RamBlock& block);
    void add_rom(RamBlock& block);

    /// A register of the device's own: its value after reset and which bits software may write.
    void define(u8 offset, u8 reset_value, u8 writable_bits);

    void set_interrupt(bool level);

    /// After the header is reset; configuration bytes have their reset values.
    virtual void reset_device() = 0;
    virtual void visit_device(StateVisitor& visitor) = 0;

    /// Bytes [offset, offset + size) were written (masks applied), or everything was restored.
    virtual void config_changed(u8 offset, unsigned size);

    u8 byte(u8 offset) const { return config_[offset]; }
    u16 word(u8 offset) const
    {
        return static_cast<u16>(config_[offset] | (config_[offset + 1] << 8));
    }
    u32 dword(u8 offset) const { return word(offset) | (u32{word(offset + 2)} << 16); }
    void set_byte(u8 offset, u8 value) { config_[offset] = value; }

    AddressSpace& memory() { return fabric_.memory; }
    PortSpace& ports() { return fabric_.ports; }

private:
    /// Makes port numbers relative to the base address.
    struct IoWindow final : IoHandler {
        IoHandler* target = nullptr;
        u16 base = 0;
        u32 io_read(u64 offset, unsigned size) override
        {
            return target->io_read(offset - base, size);
        }
        void io_write(u64 offset, unsigned size, u32 value) override
        {
            target->io_write(offset - base, size, value);
        }
    };

    struct Window {
        u8 register_offset = 0;
        u32 size = 0; // bytes, a power of two
        IoWindow io;
        MmioHandler* mmio = nullptr;
        RamBlock* block = nullptr;
        bool rom = false;
        std::optional<u32> mapped_at;
        u32 mapping = 0;
    };

    Window& add_window(u8 register_offset, u32 size, u8 type_bits);
    std::optional<u32> decoded_base(const Window& window) const;
    void update_windows();
    void map_window(Window& window, u32 base);
    void unmap_window(Window& window);

    Fabric fabric_;
    Wire interrupt_;
    std::vector<std::unique_ptr<Window>> windows_;
    std::array<u8, 256> config_{};
    std::array<u8, 256> reset_values_{};
    std::array<u8, 256> writable_{};
    bool interrupt_level_ = false;
};

} // namespace emu::devices::pci
