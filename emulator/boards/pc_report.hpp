// What monitors show of a PC's chips, in the words of QEMU's monitor. Looking changes nothing.
#pragma once

#include <string>

namespace emu::boards {

class PcBoard;

/// `info pci`: functions, base addresses and interrupt pins. Empty without PCI.
std::string pci_report(const PcBoard& board);

/// `info pic`: the I/O APIC's pins and both 8259s.
std::string pic_report(const PcBoard& board);

/// `info irq`: how often each ISA interrupt line rose since power-on.
std::string irq_report(const PcBoard& board);

/// `info qtree`: buses and what is on them.
std::string qtree_report(PcBoard& board);

} // namespace emu::boards
