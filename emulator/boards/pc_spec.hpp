// The PC boards as data.
//
// Sources: IBM "Personal Computer AT Technical Reference" (6280070), "I/O Address Map" and "System
// Interrupts"; Intel "82371SB (PIIX3)" (290550), section 2.5, and "82441FX" (290549), section 4.1.
#pragma once

#include "emulator/boards/board_spec.hpp"

namespace emu::boards {

inline constexpr std::array kPcMemories{
    MemorySpec{"conventional", 0x0000'0000, 0xa'0000},
    MemorySpec{"video", 0x000a'0000, 0x2'0000},
    MemorySpec{"option-roms", 0x000c'0000, 0x2'0000},
    MemorySpec{"bios", 0x000e'0000, 0x2'0000},
    MemorySpec{"extended", 0x0010'0000, 0xdff0'0000}, // as much of it as there is
    MemorySpec{"io-apic", 0xfec0'0000, 0x1000},
    MemorySpec{"local-apic", 0xfee0'0000, 0x1000},
    MemorySpec{"firmware", 0xff00'0000, 0x100'0000}, // ends at 4 GiB, as long as it is
};

/// 82371SB, section 2.2.8 (XBCS): the chipset decodes less; boards for larger flash decode 16 MiB.
inline constexpr u64 kPcLargestBios = 0x100'0000;
static_assert(kPcMemories.back().size == kPcLargestBios);

/// RAM ends here at the latest: above it PCI has its windows.
inline constexpr u64 kPcHighestRam = 0xe000'0000;
static_assert(kPcMemories[4].base + kPcMemories[4].size == kPcHighestRam);

/// What a port access costs the CPU, whoever answers.
/// ISA: the PC AT's 8-bit bus operation is 6 clocks at 6 MHz with its four wait states, a 16-bit
/// one 3 clocks ("Personal Computer AT Technical Reference", section 1, "System Performance");
/// drivers of the time count on the microsecond. PCI: ten clocks at 33 MHz, for arbitration,
/// address, decoding and a target that takes its time but less than the 16 clocks it may ("PCI
/// Local Bus Specification", revision 2.1, 3.5.1.1).
inline constexpr BusCycles kPcBusCycles{{
    {.ns = 1000, .bytes = 1}, // isa
    {.ns = 500, .bytes = 2},  // isa16
    {.ns = 300, .bytes = 4},  // pci
}};

// Ports of devices that map themselves (PCI configuration, IDE, VGA, ACPI) are not repeated here.
// What no real PC has, for firmware and debugging, takes no longer than it must.
inline constexpr std::array kPcPorts{
    PortSpec{"i8237", 0x000, 0x10},
    PortSpec{"i8259", 0x020, 2},
    PortSpec{"i8254", 0x040, 4},
    PortSpec{"i8042", 0x060, 1},
    PortSpec{"port61", 0x061, 1},
    PortSpec{"i8042", 0x064, 1},
    PortSpec{"mc146818", 0x070, 4},
    PortSpec{"checkpoint", 0x080, 1},
    PortSpec{"i8237", 0x081, 0x0f},
    PortSpec{"port92", 0x092, 1},
    PortSpec{"i8259", 0x0a0, 2},
    PortSpec{"i8237", 0x0c0, 0x20},
    PortSpec{"debug-e9", 0x0e9, 1, PortBus::pci},
    PortSpec{"fpu-error", 0x0f0, 2},
    PortSpec{"serial1", 0x2f8, 8},
    PortSpec{"parallel0", 0x378, 3},
    PortSpec{"fdc", 0x3f0, 6},
    PortSpec{"fdc", 0x3f7, 1},
    PortSpec{"serial0", 0x3f8, 8},
    PortSpec{"debug-402", 0x402, 1, PortBus::pci},
    PortSpec{"i8259", 0x4d0, 2},
    PortSpec{"fw-cfg", 0x510, 0x0c, PortBus::pci},
};

inline constexpr std::array kPcIrqs{
    IrqSpec{"timer", 0},  IrqSpec{"keyboard", 1},   IrqSpec{"serial1", 3}, IrqSpec{"serial0", 4},
    IrqSpec{"fdc", 6},    IrqSpec{"parallel0", 7},  IrqSpec{"rtc", 8},     IrqSpec{"acpi", 9},
    IrqSpec{"mouse", 12}, IrqSpec{"fpu-error", 13}, IrqSpec{"ide0", 14},   IrqSpec{"ide1", 15},
};

inline constexpr BoardSpec kPc{
    .name = "pc",
    .description = "PC with Intel 440FX and PIIX3 (PCI)",
    .default_cpu = "pentium3",
    .memories = kPcMemories,
    .ports = kPcPorts,
    .irqs = kPcIrqs,
};
static_assert(!find_fault(kPc));

inline constexpr BoardSpec kIsaPc{
    .name = "isapc",
    .description = "PC with an ISA bus only",
    .default_cpu = "486",
    .memories = kPcMemories,
    .ports = kPcPorts,
    .irqs = kPcIrqs,
};
static_assert(!find_fault(kIsaPc));

} // namespace emu::boards
