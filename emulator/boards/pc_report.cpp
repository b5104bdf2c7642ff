#include "emulator/boards/pc_report.hpp"

#include "emulator/boards/pc.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace emu::boards {

namespace {

using devices::pci::PciBus;
using devices::pci::PciDevice;
namespace header = devices::pci::header;

/// "PCI Local Bus Specification", revision 2.1, appendix D.
struct ClassName {
    u16 code; // base class << 8 | subclass
    std::string_view name;
};
constexpr std::array kClassNames{
    ClassName{0x0101, "IDE controller"}, ClassName{0x0300, "VGA controller"},
    ClassName{0x0600, "Host bridge"},    ClassName{0x0601, "ISA bridge"},
    ClassName{0x0680, "Bridge"},
};

std::string class_name(const PciDevice& device)
{
    const auto code = static_cast<u16>(device.config_read(header::class_code + 1, 2));
    const auto known = std::ranges::find(kClassNames, code, &ClassName::code);
    return known == kClassNames.end() ? fmt::format("Class {:04x}", code)
                                      : std::string{known->name};
}

/// In the order of their numbers.
std::vector<PciBus::Slot> sorted_slots(const PciBus& bus)
{
    std::vector<PciBus::Slot> slots = bus.slots();
    std::ranges::sort(slots, {}, &PciBus::Slot::devfn);
    return slots;
}

std::string bar_line(const PciDevice& device, const PciDevice::Bar& bar)
{
    const unsigned number =
        bar.register_offset == header::rom ? 6 : (bar.register_offset - header::bar0) / 4u;
    const bool prefetchable = number != 6 && (device.config_read(bar.register_offset, 1) & 8) != 0;
    const std::string kind =
        bar.io ? "I/O" : fmt::format("32 bit {}memory", prefetchable ? "prefetchable " : "");
    const int digits = bar.io ? 4 : 8;
    const std::string place = bar.mapped_at
                                  ? fmt::format("at 0x{:0{}x} [0x{:0{}x}]", *bar.mapped_at, digits,
                                                *bar.mapped_at + bar.size - 1, digits)
                                  : fmt::format("not mapped ({} bytes)", bar.size);
    return fmt::format("      BAR{}: {} {}.\n", number, kind, place);
}

std::string pci_function(const PciBus::Slot& slot)
{
    const PciDevice& device = *slot.device;
    std::string text =
        fmt::format("  Bus  0, device {:3}, function {}:\n", slot.devfn >> 3, slot.devfn & 7);
    text +=
        fmt::format("    {}: PCI device {:04x}:{:04x}\n", class_name(device),
                    device.config_read(header::vendor, 2), device.config_read(header::device, 2));
    if (device.config_read(header::subsystem_vendor, 4) != 0) {
        text += fmt::format("      PCI subsystem {:04x}:{:04x}\n",
                            device.config_read(header::subsystem_vendor, 2),
                            device.config_read(header::subsystem, 2));
    }
    if (device.interrupt_pin() != 0) {
        text += fmt::format("      IRQ {}, pin {}\n", device.config_read(header::interrupt_line, 1),
                            static_cast<char>('A' + device.interrupt_pin() - 1));
    }
    for (const PciDevice::Bar& bar : device.bars()) {
        text += bar_line(device, bar);
    }
    return text + "      id \"\"\n";
}

/// One pin's redirection entry (Intel "82093AA I/O APIC", 290566, 3.2.4).
std::string io_apic_pin(unsigned pin, u64 entry)
{
    static constexpr std::array<std::string_view, 8> kDelivery{"fixed", "lowpri", "smi", "...",
                                                               "nmi",   "init",   "...", "extint"};
    const auto bit = [entry](unsigned n) { return (entry >> n & 1) != 0; };
    return fmt::format("  pin {:<2} 0x{:016x} dest={} vec={:<3} {} {} {} {} {}\n", pin, entry,
                       entry >> 56, entry & 0xff, bit(13) ? "active-lo" : "active-hi",
                       bit(15) ? "level" : "edge ", bit(16) ? "masked" : "      ",
                       kDelivery[entry >> 8 & 7], bit(11) ? "logical" : "physical");
}

std::string pic_line(unsigned number, const devices::I8259& pic, u8 elcr)
{
    return fmt::format("pic{}: irr={:02x} imr={:02x} isr={:02x} hprio={} irq_base={:02x} rr_sel={} "
                       "elcr={:02x} fnm={}\n",
                       number, pic.requests(), pic.mask(), pic.in_service(), pic.highest_priority(),
                       pic.vector(0), pic.reads_in_service() ? 1 : 0, elcr,
                       pic.special_fully_nested() ? 1 : 0);
}

/// Each device behind 8-bit and 16-bit ISA ports once, with all of its ports.
std::string isa_devices(PcBoard& board, const std::string& indent)
{
    std::vector<std::string> names;
    for (const PortSpace::Mapping& mapping : board.ports().mappings()) {
        if (mapping.bus != PortBus::pci && std::ranges::count(names, mapping.name) == 0) {
            names.push_back(mapping.name);
        }
    }
    std::string text;
    for (const std::string& name : names) {
        text += fmt::format("{}dev: {}, id \"\"\n", indent, name);
        for (const PortSpace::Mapping& mapping : board.ports().mappings()) {
            if (mapping.name == name) {
                text += fmt::format("{}  isa ports {:04x}-{:04x}\n", indent, mapping.first,
                                    mapping.first + mapping.count - 1);
            }
        }
        for (const IrqSpec& row : kPcIrqs) {
            if (row.source == name) {
                text += fmt::format("{}  irq = {}\n", indent, row.irq);
            }
        }
    }
    return text;
}

std::string drives(PcBoard& board, const std::string& indent)
{
    std::string text;
    for (const PcDrive& drive : board.drives()) {
        text += fmt::format(
            "{}dev: drive, id \"{}\"\n{}  medium = {}\n", indent, drive.name, indent,
            drive.disk == nullptr ? "none" : fmt::format("{} bytes", drive.disk->size()));
    }
    return text;
}

} // namespace

std::string pci_report(const PcBoard& board)
{
    std::string text;
    if (const PciBus* bus = board.pci()) {
        for (const PciBus::Slot& slot : sorted_slots(*bus)) {
            text += pci_function(slot);
        }
    }
    return text;
}

std::string pic_report(const PcBoard& board)
{
    std::string text;
    if (const devices::IoApic* io_apic = board.io_apic()) {
        text += "ioapic0:\n";
        for (unsigned pin = 0; pin < devices::IoApic::kPins; ++pin) {
            text += io_apic_pin(pin, io_apic->redirection(pin));
        }
    }
    const devices::I8259Pair& pic = board.pic();
    const u16 elcr = pic.edge_level_control();
    return text + pic_line(1, pic.slave(), static_cast<u8>(elcr >> 8)) +
           pic_line(0, pic.master(), static_cast<u8>(elcr));
}

std::string irq_report(const PcBoard& board)
{
    std::string text = "IRQ statistics for isa-i8259:\n";
    for (unsigned irq = 0; irq < IsaInterrupts::kLines; ++irq) {
        if (const u64 count = board.interrupts().raised(irq); count != 0) {
            text += fmt::format("{:2}: {}\n", irq, count);
        }
    }
    return text;
}

std::string qtree_report(PcBoard& board)
{
    std::string text =
        fmt::format("bus: main-system-bus\n  type System\n  dev: {}, id \"\"\n", board.cpu_model());
    std::string indent = "  ";
    if (const PciBus* bus = board.pci()) {
        text += "  bus: pci.0\n    type PCI\n";
        for (const PciBus::Slot& slot : sorted_slots(*bus)) {
            text +=
                fmt::format("    dev: {}, id \"\"\n      addr = {:02x}.{}\n      class {}, "
                            "pci id {:04x}:{:04x}\n",
                            slot.device->name(), slot.devfn >> 3, slot.devfn & 7,
                            class_name(*slot.device), slot.device->config_read(header::vendor, 2),
                            slot.device->config_read(header::device, 2));
        }
        indent = "    ";
    }
    text += fmt::format("{}bus: isa.0\n{}  type ISA\n", indent, indent);
    return text + isa_devices(board, indent + "  ") + drives(board, indent + "  ");
}

} // namespace emu::boards
