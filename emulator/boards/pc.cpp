#include "emulator/boards/pc.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace emu::boards {

namespace {

using namespace base;

constexpr u64 kFourGiB = u64{1} << 32;
constexpr u64 kLowBios = 0x2'0000; // bytes of the BIOS that also show below 1 MiB
constexpr u64 kVramSize = 16 << 20;
constexpr u64 kIsaFrameBuffer = 0xe000'0000; // where the DISPI interface's ISA flavour has it
constexpr int kRomPriority = 1;
constexpr u64 kTimerDelayNs = 2000;     // two pulses of the timer's clock
constexpr unsigned kTimerIoApicPin = 2; // interrupt 0; pin 0 is the 8259 pair's

// Slots and functions as PCs with these chips have them.
constexpr u8 kIsaBridgeSlot = 1;
constexpr u8 kDisplaySlot = 2;

Status check(const PcConfig& config)
{
    if (config.ram_bytes < 1_MiB) {
        return fail(Errc::invalid_argument, "a PC needs at least 1 MiB of memory");
    }
    if (config.ram_bytes > kPcHighestRam) {
        return fail(Errc::unsupported, "more than 3584 MiB of memory (it would lie above 4 GiB)");
    }
    if (config.ram_bytes % kPageSize != 0) {
        return fail(Errc::invalid_argument, "the memory size must be a multiple of 4 KiB");
    }
    const u64 bios = config.bios.size();
    if (bios < 64_KiB || bios > kPcLargestBios || bios % 64_KiB != 0) {
        return fail(Errc::invalid_argument,
                    "the BIOS file must be a multiple of 64 KiB, at most 16 MiB");
    }
    if (config.vga_rom.size() > 256_KiB) {
        return fail(Errc::invalid_argument, "the VGA BIOS file is larger than 256 KiB");
    }
    if (config.vga == VgaKind::pci && !config.has_pci) {
        return fail(Errc::invalid_argument, "a PCI display adapter on a board without PCI");
    }
    return ok();
}

} // namespace

PcBoard::PcBoard(PcConfig config)
    : config_{std::move(config)}, clock_{config_.instructions_per_second},
      init_{clock_, "init", [this] {
                if (cpu_ != nullptr) {
                    cpu_->reset();
                }
            }}
{}

PcBoard::~PcBoard() = default;

Result<std::unique_ptr<PcBoard>> PcBoard::create(PcConfig config)
{
    if (auto status = check(config); !status) {
        return std::move(status).error().in("pc board");
    }
    auto board = std::unique_ptr<PcBoard>{new PcBoard{std::move(config)}};
    try {
        board->build_memory();
        board->build_interrupts();
        if (board->config_.has_pci) {
            board->build_pci();
        }
        board->build_isa();
        board->build_display();
    } catch (const std::bad_alloc&) {
        return fail(Errc::io, "pc board: the host has too little memory");
    }
    for (auto build : {&PcBoard::build_ide, &PcBoard::build_floppies, &PcBoard::build_firmware}) {
        if (auto status = (board.get()->*build)(); !status) {
            return std::move(status).error().in("pc board");
        }
    }
    board->build_inputs();
    board->reset();
    return board;
}

void PcBoard::map_ports(std::string_view device, IoHandler& handler)
{
    for (const PortSpec& row : kPc.ports) {
        if (row.device == device) {
            ports_.map(row.first, row.count, handler, std::string{device}, row.bus);
        }
    }
}

Wire PcBoard::irq(std::string_view source)
{
    const auto row = std::ranges::find(kPcIrqs, source, &IrqSpec::source);
    return row == kPcIrqs.end() ? Wire{} : interrupts_->source(row->irq);
}

// --- construction ---------------------------------------------------------------------------

void PcBoard::build_memory()
{
    using Access = AddressSpace::Access;
    ram_ = std::make_unique<RamBlock>("ram", config_.ram_bytes);
    memory_.map_ram(0, 0xa'0000, *ram_, 0, Access::read_write);
    if (config_.ram_bytes > 1_MiB) {
        memory_.map_ram(1_MiB, config_.ram_bytes - 1_MiB, *ram_, 1_MiB, Access::read_write);
    }
    const u64 size = config_.bios.size();
    bios_ = std::make_unique<RamBlock>("bios", size);
    std::ranges::copy(config_.bios, bios_->data());
    memory_.map_ram(kFourGiB - size, size, *bios_, 0, Access::read_only, kRomPriority);
    // With A20 closed the reset vector is fetched 1 MiB lower. Firmware that does not reach so far
    // down answers there as well; larger firmware has its own bytes there.
    const u64 low = std::min(size, kLowBios);
    memory_.map_ram(kFourGiB - 1_MiB - low, low, *bios_, size - low, Access::read_only,
                    kRomPriority - 1);

    if (config_.has_pci) {
        memory_.map_ram(1_MiB - low, low, *bios_, size - low, Access::read_only, kRomPriority);
        return;
    }
    // Without a host bridge nothing can shadow the BIOS, which wants to write its own segment.
    isa_bios_ = std::make_unique<RamBlock>("isa bios", low);
    memory_.map_ram(1_MiB - low, low, *isa_bios_, 0, Access::read_write, kRomPriority);
    memory_.map_ram(0xc'0000, 0x2'0000, *ram_, 0xc'0000, Access::read_write);
}

void PcBoard::build_interrupts()
{
    interrupts_ = std::make_unique<IsaInterrupts>(
        [this](unsigned line, bool level) { set_isa_line(line, level); });
    const Wire to_cpu{[this](bool level) {
        if (cpu_ != nullptr) {
            cpu_->set_interrupt_line(level);
        }
    }};
    if (config_.has_pci) {
        const auto on_rise = [this](void (Cpu::*pin)()) {
            return Wire{[this, pin](bool level) {
                if (level && cpu_ != nullptr) {
                    (cpu_->*pin)();
                }
            }};
        };
        local_apic_ = std::make_unique<devices::LocalApic>(
            devices::LocalApic::Wiring{.clock = clock_,
                                       .memory = memory_,
                                       .intr = to_cpu,
                                       .nmi = on_rise(&Cpu::raise_nmi),
                                       .smi = on_rise(&Cpu::raise_smi),
                                       .init = Wire{[this](bool level) {
                                           if (level) {
                                               init_.arm_in(0);
                                           }
                                       }},
                                       .pic_acknowledge = [this] { return pic_->acknowledge(); },
                                       .end_of_interrupt =
                                           [this](u8 vector) {
                                               if (io_apic_) {
                                                   io_apic_->end_of_interrupt(vector);
                                               }
                                           }});
        io_apic_ = std::make_unique<devices::IoApic>(
            memory_, [this](const devices::ApicMessage& m) { return local_apic_->deliver(m); });
    }
    pic_ = std::make_unique<devices::I8259Pair>(local_apic_ ? local_apic_->lint0_input() : to_cpu);
    map_ports("i8259", *pic_);
    fpu_error_ = std::make_unique<FpuErrorLatch>(irq("fpu-error"));
    map_ports("fpu-error", *fpu_error_);
    // Interrupt lines are dropped before the controllers forget, so both end up idle.
    add(*interrupts_);
    add(*pic_);
    if (local_apic_) {
        add(*local_apic_);
        add(*io_apic_);
    }
    add(*fpu_error_);
}

void PcBoard::set_isa_line(unsigned line, bool level)
{
    if (pic_) {
        pic_->set_irq(line, level);
    }
    if (io_apic_) {
        io_apic_->set_pin(line == 0 ? kTimerIoApicPin : line, level);
    }
}

void PcBoard::build_pci()
{
    const devices::pci::PciDevice::Fabric fabric{memory_, ports_};
    pci_ = std::make_unique<devices::pci::PciBus>(ports_);
    host_bridge_ = std::make_unique<devices::pci::I440fx>(fabric, *ram_);
    devices::pci::Piix3::Wiring bridge;
    for (unsigned line = 0; line < bridge.isa_irqs.size(); ++line) {
        bridge.isa_irqs[line] = interrupts_->source(line);
    }
    bridge.hard_reset = Wire{[this](bool level) {
        if (level) {
            request(PcEvent::machine_reset);
        }
    }};
    bridge.soft_reset = Wire{[this](bool level) {
        if (level) {
            request_cpu_reset();
        }
    }};
    isa_bridge_ = std::make_unique<devices::pci::Piix3>(fabric, std::move(bridge));
    pci_ide_ = std::make_unique<devices::block::Piix3Ide>(
        fabric, devices::block::Piix3Ide::Wiring{
                    .clock = clock_, .irqs = {irq("ide0"), irq("ide1")}, .log = config_.log});
    power_ = std::make_unique<devices::power::Piix4Pm>(
        fabric,
        devices::power::Piix4Pm::Wiring{.clock = clock_,
                                        .sci = irq("acpi"),
                                        .smi = Wire{[this](bool level) {
                                            if (level && cpu_ != nullptr) {
                                                cpu_->raise_smi();
                                            }
                                        }},
                                        .smi_connected = config_.smm,
                                        .power_off = [this] { request(PcEvent::power_off); },
                                        .log = config_.log});
    pci_->attach(0, 0, *host_bridge_);
    pci_->attach(kIsaBridgeSlot, 0, *isa_bridge_);
    pci_->attach(kIsaBridgeSlot, 1, *pci_ide_);
    pci_->attach(kIsaBridgeSlot, 3, *power_);
    pci_->connect_reset_control(*isa_bridge_);
    std::array<Wire, 4> lines;
    for (unsigned i = 0; i < lines.size(); ++i) {
        lines[i] = Wire{[this, i](bool level) { isa_bridge_->set_pirq(i, level); }};
    }
    pci_->connect_interrupts(std::move(lines));
    for (Device* device : std::initializer_list<Device*>{
             pci_.get(), host_bridge_.get(), isa_bridge_.get(), pci_ide_.get(), power_.get()}) {
        add(*device);
    }
}

void PcBoard::build_isa()
{
    using namespace devices;
    const Wire cpu_reset{[this](bool level) {
        if (level) {
            request_cpu_reset();
        }
    }};
    a20_ = std::make_unique<A20Gate>(memory_);
    port92_ = std::make_unique<SystemControlA>(SystemControlA::Wiring{
        .a20 = a20_->input(), .reset = cpu_reset, .a20_now = [this] { return a20_->open(); }});
    timer_irq_ = std::make_unique<DelayedRise>(clock_, kTimerDelayNs, irq("timer"));
    timer_ = std::make_unique<I8254>(I8254::Wiring{.clock = clock_, .irq0 = timer_irq_->input()});
    port61_ = std::make_unique<SystemControlB>(
        SystemControlB::Wiring{.clock = clock_,
                               .gate2 = Wire{[this](bool level) { timer_->set_gate2(level); }},
                               .output2 = [this] { return timer_->output2(); }});
    rtc_ = std::make_unique<Mc146818>(Mc146818::Wiring{.clock = clock_, .irq8 = irq("rtc")},
                                      Mc146818::Config{config_.rtc_start_seconds});
    dma_ = std::make_unique<I8237Pair>(memory_);
    keyboard_controller_ = std::make_unique<I8042>(I8042::Wiring{.clock = clock_,
                                                                 .irq1 = irq("keyboard"),
                                                                 .irq12 = irq("mouse"),
                                                                 .a20 = a20_->input(),
                                                                 .reset = cpu_reset,
                                                                 .keyboard = &keyboard_,
                                                                 .mouse = &mouse_});
    for (unsigned i = 0; i < 2; ++i) {
        const std::string name = "serial" + std::to_string(i);
        uarts_[i] = std::make_unique<Uart16550>(
            name, Uart16550::Wiring{.clock = clock_, .irq = irq(name), .line = config_.serial[i]});
        map_ports(name, *uarts_[i]);
    }
    parallel_ = std::make_unique<ParallelPort>(ParallelPort::Wiring{
        .clock = clock_, .irq = irq("parallel0"), .printer = config_.parallel});
    debug_e9_ = std::make_unique<DebugConsole>(config_.debug_e9);
    debug_402_ = std::make_unique<DebugConsole>(config_.debug_402);
    map_ports("port92", *port92_);
    map_ports("i8254", *timer_);
    map_ports("port61", *port61_);
    map_ports("mc146818", *rtc_);
    map_ports("i8237", *dma_);
    map_ports("i8042", *keyboard_controller_);
    map_ports("parallel0", *parallel_);
    map_ports("checkpoint", checkpoint_);
    map_ports("debug-e9", *debug_e9_);
    map_ports("debug-402", *debug_402_);
    for (Device* device : std::initializer_list<Device*>{
             a20_.get(), port92_.get(), timer_irq_.get(), timer_.get(), port61_.get(), rtc_.get(),
             dma_.get(), &keyboard_, &mouse_, keyboard_controller_.get(), uarts_[0].get(),
             uarts_[1].get(), parallel_.get(), &checkpoint_, debug_e9_.get(), debug_402_.get()}) {
        add(*device);
    }
}

void PcBoard::build_display()
{
    if (config_.vga == VgaKind::none) {
        return;
    }
    vram_ = std::make_unique<RamBlock>("vram", kVramSize);
    vga_ = std::make_unique<devices::display::Vga>(
        devices::display::Vga::Wiring{.clock = clock_,
                                      .memory = memory_,
                                      .ports = ports_,
                                      .bus = config_.vga == VgaKind::pci ? PortBus::pci
                                                                         : PortBus::isa},
        *vram_);
    add(*vga_);
    if (config_.vga == VgaKind::isa) {
        memory_.map_ram(kIsaFrameBuffer, kVramSize, *vram_, 0, AddressSpace::Access::read_write,
                        -1);
        return;
    }
    if (!config_.vga_rom.empty()) {
        vga_rom_ = std::make_unique<RamBlock>("vga rom", std::bit_ceil(config_.vga_rom.size()));
        std::ranges::copy(config_.vga_rom, vga_rom_->data());
    }
    pci_vga_ = std::make_unique<devices::display::PciVga>(
        devices::pci::PciDevice::Fabric{memory_, ports_}, *vga_, *vram_, vga_rom_.get());
    pci_->attach(kDisplaySlot, 0, *pci_vga_);
    add(*pci_vga_);
}

// --- resets and power -----------------------------------------------------------------------

void PcBoard::reset()
{
    event_ = PcEvent::none;
    init_.cancel();
    if (isa_bios_) {
        const std::size_t low = isa_bios_->size();
        std::copy_n(config_.bios.end() - static_cast<std::ptrdiff_t>(low), low, isa_bios_->data());
        memory_.notify_code_write(*isa_bios_, 0, low);
    }
    for (Device* device : devices_) {
        device->reset();
    }
    if (started_ && !config_.boot_once.empty()) {
        config_.boot_once.clear();
        static_cast<void>(fill_cmos(config_.boot_order)); // was checked at construction
    }
    if (cpu_ != nullptr) {
        started_ = true;
        cpu_->reset();
    }
}

void PcBoard::send_remaining_output() const
{
    for (const auto& uart : uarts_) {
        uart->send_remaining();
    }
}

void PcBoard::request(PcEvent event)
{
    event_ = std::max(event_, event); // power-off wins over a reset
    if (cpu_ != nullptr) {
        cpu_->request_stop();
    }
    if (event_listener_) {
        event_listener_(event);
    }
}

/// Keyboard controller, port 92h and shutdown pulse INIT: the CPU starts over and everything else
/// stays. Deviation: when CMOS byte 0Fh holds no "return to" code, nobody expects to get control
/// back, so the board resets as a whole instead of leaving half-programmed devices to the BIOS.
void PcBoard::request_cpu_reset()
{
    constexpr u8 kShutdownStatus = 0x0f;
    const bool returns = rtc_ && rtc_->byte(kShutdownStatus) != 0;
    if (returns) {
        init_.arm_in(0);
    } else {
        request(PcEvent::machine_reset);
    }
}

PcEvent PcBoard::take_event()
{
    return std::exchange(event_, PcEvent::none);
}

// --- the CPU's side -------------------------------------------------------------------------

// The device acts first, so that all it sees of the time is from before the next deadline; what
// becomes due while the bus is busy happens behind the instruction.

u32 PcBoard::port_read(u16 port, unsigned size)
{
    const u32 taken_ns = ports_.access_ns(port, size);
    const u32 value = ports_.read(port, size);
    clock_.stall(taken_ns);
    return value;
}

void PcBoard::port_write(u16 port, unsigned size, u32 value)
{
    const u32 taken_ns = ports_.access_ns(port, size); // the write may move the ports
    ports_.write(port, size, value);
    clock_.stall(taken_ns);
}

int PcBoard::acknowledge_interrupt()
{
    return local_apic_ ? local_apic_->acknowledge() : pic_->acknowledge();
}

u64 PcBoard::apic_base() const
{
    return local_apic_ ? local_apic_->base_msr() : 0;
}

bool PcBoard::set_apic_base(u64 value)
{
    return local_apic_ && local_apic_->set_base_msr(value);
}

bool PcBoard::apic_enabled() const
{
    constexpr u64 kGlobalEnable = 1u << 11;
    return (apic_base() & kGlobalEnable) != 0;
}

void PcBoard::set_smm_active(bool active)
{
    if (host_bridge_) {
        host_bridge_->set_smm_active(active);
    }
}

} // namespace emu::boards
