// Intel 82441FX (440FX PMC): host bridge, DRAM shadowing and SMRAM.
//
// Source: "Intel 440FX PCIset 82441FX PCI and Memory Controller (PMC)", order number 290549,
// section 3.2: PAM[6:0] (59h-5Fh), DRB (60h-67h), SMRAM (72h).
// Modelled: the programmable attribute map over 0C0000h-0FFFFFh, compatible SMRAM at 0A0000h.
// Not modelled: DRAM timing and type registers (they read as written), D_CLS (in SMM, data and code
// both see SMRAM), error reporting.
#pragma once

#include "emulator/devices/pci/pci_device.hpp"

namespace emu::devices::pci {

class I440fx final : public PciDevice {
public:
    /// `ram` holds the machine's memory; its bytes 0A0000h-0FFFFFh are what PAM and SMRAM show.
    I440fx(Fabric fabric, RamBlock& ram);

    std::string_view name() const override { return "i440fx"; }

    /// The CPU's SMIACT# pin.
    void set_smm_active(bool active);

private:
    static constexpr unsigned kSegments = 13;

    /// Reads what lies below the shadow, writes the shadow (PAM attribute "write only").
    struct WriteThrough final : MmioHandler {
        I440fx* bridge = nullptr;
        u32 base = 0;
        u64 mmio_read(u64 offset, unsigned size) override;
        void mmio_write(u64 offset, unsigned size, u64 value) override;
    };

    struct Segment {
        u32 base;
        u32 size;
        AddressSpace::RegionId shadow;
        AddressSpace::RegionId write_through_region;
        WriteThrough write_through;
    };

    void reset_device() override;
    void visit_device(StateVisitor& visitor) override;
    void config_changed(u8 offset, unsigned size) override;
    u8 attributes(unsigned segment) const;
    void update_shadows();
    void update_smram();
    u8 read_below(u64 physical) const;

    RamBlock& ram_;
    std::array<Segment, kSegments> segments_{};
    AddressSpace::RegionId smram_region_ = 0;
    bool smm_active_ = false;
    bool smram_locked_ = false;
};

} // namespace emu::devices::pci
