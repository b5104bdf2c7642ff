// The firmware configuration interface by which SeaBIOS learns about a virtual machine.
//
// Source: QEMU documentation, "QEMU Firmware Configuration (fw_cfg) Device" (docs/specs/fw_cfg).
// Ports 510h (selector, 16 bits), 511h (data) and 514h-51Bh (DMA address, big-endian).
// Not modelled: writable items; a DMA write answers with the error bit.
#pragma once

#include "base/result.hpp"
#include "emulator/machine/device.hpp"
#include "emulator/memory/address_space.hpp"

#include <map>
#include <string>
#include <vector>

namespace emu::devices {

class FwCfg final : public Device, public IoHandler {
public:
    /// Item keys with a fixed meaning.
    enum Key : u16 {
        signature = 0x00,
        interface_version = 0x01,
        ram_size = 0x03,
        no_graphics = 0x04,
        cpu_count = 0x05,
        kernel_address = 0x07,
        kernel_size = 0x08,
        initrd_address = 0x0a,
        initrd_size = 0x0b,
        numa = 0x0d,
        boot_menu = 0x0e,
        max_cpus = 0x0f,
        kernel_data = 0x11,
        initrd_data = 0x12,
        command_line_address = 0x13,
        command_line_size = 0x14,
        command_line_data = 0x15,
        setup_address = 0x16,
        setup_size = 0x17,
        setup_data = 0x18,
        file_directory = 0x19,
        first_file = 0x20,
        irq0_override = 0x8002
    };

    explicit FwCfg(AddressSpace& memory);

    std::string_view name() const override { return "fw-cfg"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    // The contents, set up by the board before the machine runs; they are configuration, not state.
    void add_item(u16 key, std::vector<u8> data);
    void add_integer(u16 key, u64 value, unsigned bytes);
    /// Refuses names longer than 55 bytes and repeated names.
    base::Status add_file(const std::string& name, std::vector<u8> data);
    const std::vector<u8>* item(u16 key) const;
    const std::vector<u8>* file(const std::string& name) const;

    u32 io_read(u64 port, unsigned size) override;
    void io_write(u64 port, unsigned size, u32 value) override;

private:
    void select(u16 key);
    u8 next_byte();
    void run_dma();
    void rebuild_directory();

    AddressSpace& memory_;
    std::map<u16, std::vector<u8>> items_;
    std::vector<std::pair<std::string, u16>> files_;

    u16 selected_ = 0;
    u32 offset_ = 0; // of the next byte in the selected item
    u64 dma_address_ = 0;
};

struct E820Entry {
    enum Type : u32 { usable = 1, reserved = 2 };
    u64 base;
    u64 size; // bytes
    Type type;
};

struct PcFirmwareConfig {
    u64 ram_below_4g = 0; // bytes
    u64 ram_above_4g = 0;
    u16 cpus = 1;
    bool irq0_to_pin2 = true; // the timer reaches the I/O APIC at pin 2
    bool show_boot_menu = false;
    u32 boot_menu_wait_ms = 0;
    std::vector<E820Entry> reserved;     // besides RAM
    std::vector<std::string> boot_order; // device paths, first choice first
};

/// Adds the items and files SeaBIOS asks for.
base::Status fill_pc_firmware(FwCfg& fw_cfg, const PcFirmwareConfig& config);

} // namespace emu::devices
