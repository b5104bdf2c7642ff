#include "emulator/boards/pc.hpp"
#include "emulator/boards/pc_report.hpp"

#include "emulator/devices/block/memory_disk.hpp"

#include <catch2/catch.hpp>

using namespace emu;
using namespace emu::boards;
using devices::block::MemoryDisk;

namespace {

/// Records what happens at the CPU's pins.
class Pins final : public Cpu {
public:
    Stop run(u64) override { return Stop::budget; }
    u64 instructions() const override { return 0; }
    void request_stop() override { ++stops; }
    void set_interrupt_line(bool level) override { interrupt = level; }
    void raise_nmi() override { ++nmis; }
    void raise_smi() override { ++smis; }
    std::string registers_text() override { return {}; }
    std::string translator_text() override { return {}; }
    std::optional<u64> virtual_to_physical(u64) override { return std::nullopt; }
    u64 program_counter() override { return 0; }
    std::string_view name() const override { return "pins"; }
    void reset() override { ++resets; }
    void visit_state(StateVisitor&) override {}

    bool interrupt = false;
    int stops = 0;
    int nmis = 0;
    int smis = 0;
    int resets = 0;
};

/// Saves every field, or loads them back in the same order.
class Recorder final : public StateVisitor {
public:
    void section(std::string_view) override {}
    void integer(std::string_view, u64& value) override { words.push_back(value); }
    void bytes(std::string_view, std::span<u8> value) override
    {
        for (const u8 byte : value) {
            words.push_back(byte);
        }
    }
    std::vector<u64> words;
};

PcConfig small_pc()
{
    PcConfig config;
    config.ram_bytes = 16 << 20;
    config.bios.assign(0x4'0000, 0xee);
    config.bios[0x3'fff0] = 0xea;
    config.bios[0x2'0000] = 0x11;
    config.vga_rom.assign(0x8000, 0x55);
    return config;
}

struct Machine {
    explicit Machine(PcConfig config = small_pc())
    {
        auto made = PcBoard::create(std::move(config));
        REQUIRE(made);
        board = std::move(made).value();
        board->attach_cpu(cpu);
        board->reset();
    }
    u32 in(u16 port, unsigned size = 1) { return board->port_read(port, size); }
    void out(u16 port, u32 value, unsigned size = 1) { board->port_write(port, size, value); }
    u8 cmos(u8 index)
    {
        out(0x70, index);
        return static_cast<u8>(in(0x71));
    }
    u32 pci(u32 slot, u32 function, u32 offset)
    {
        out(0xcf8, 0x8000'0000 | slot << 11 | function << 8 | offset, 4);
        return in(0xcfc, 4);
    }
    void pci_write(u32 slot, u32 function, u32 offset, u32 value)
    {
        out(0xcf8, 0x8000'0000 | slot << 11 | function << 8 | offset, 4);
        out(0xcfc, value, 4);
    }
    u8 peek(u64 address) { return static_cast<u8>(board->memory().read_int(address, 1)); }
    void advance(u64 ns)
    {
        Clock& clock = board->clock();
        const u64 end = clock.now_ns() + ns;
        while (clock.next_deadline_ns() <= end) {
            clock.skip_to_ns(clock.next_deadline_ns());
            clock.run_due_timers();
        }
        clock.skip_to_ns(end);
    }
    /// Both 8259s as the BIOS programs them, only `irq` unmasked.
    void program_pics(unsigned irq)
    {
        const u16 mask = static_cast<u16>(~(1u << irq | 1u << 2));
        out(0x20, 0x11);
        out(0x21, 0x08);
        out(0x21, 0x04);
        out(0x21, 0x01);
        out(0xa0, 0x11);
        out(0xa1, 0x70);
        out(0xa1, 0x02);
        out(0xa1, 0x01);
        out(0x21, mask & 0xff);
        out(0xa1, mask >> 8);
    }

    Pins cpu;
    std::unique_ptr<PcBoard> board;
};

std::string refusal(PcConfig config)
{
    auto made = PcBoard::create(std::move(config));
    return made ? std::string{} : made.error().message;
}

} // namespace

TEST_CASE("pc: the BIOS is at the top of 4 GiB and its last 128 KiB below 1 MiB")
{
    Machine m;
    CHECK(m.peek(0xffff'fff0) == 0xea);
    CHECK(m.peek(0xf'fff0) == 0xea);
    CHECK(m.peek(0xe'0000) == 0x11);
    CHECK(m.peek(0xfffe'0000) == 0x11);

    m.board->memory().write_int(0xf'fff0, 1, 0);
    CHECK(m.peek(0xf'fff0) == 0xea);
}

TEST_CASE("pc: firmware of up to 16 MiB is whole below 4 GiB, its end below 1 MiB")
{
    PcConfig config = small_pc();
    config.bios.assign(0x100'0000, 0);
    for (std::size_t i = 0; i < config.bios.size(); i += 0x1'0000) {
        config.bios[i] = static_cast<u8>(i >> 16);
    }
    Machine m{std::move(config)};

    CHECK(m.peek(0xff00'0000) == 0x00);
    CHECK(m.peek(0xff01'0000) == 0x01);
    CHECK(m.peek(0xffdf'0000) == 0xdf);
    CHECK(m.peek(0xffef'0000) == 0xef);
    CHECK(m.peek(0xffff'0000) == 0xff);
    CHECK(m.peek(0xe'0000) == 0xfe);
    CHECK(m.peek(0xf'0000) == 0xff);
}

TEST_CASE("pc: with A20 closed the BIOS answers at the address that the reset vector becomes")
{
    Machine m;
    CHECK(m.peek(0xffef'fff0) == 0xea);
}

TEST_CASE("pc: floppies are looked at for 55AA before they are booted, unless that is not wanted")
{
    Machine checks;
    CHECK((checks.cmos(0x38) & 1) == 0);

    PcConfig config = small_pc();
    config.check_floppy_signature = false;
    Machine boots_all{std::move(config)};
    CHECK((boots_all.cmos(0x38) & 1) == 1);
}

TEST_CASE("pc: the chips are where firmware looks for them")
{
    Machine m;
    CHECK(m.pci(0, 0, 0) == 0x1237'8086);
    CHECK(m.pci(1, 0, 0) == 0x7000'8086);
    CHECK(m.pci(1, 1, 0) == 0x7010'8086);
    CHECK(m.pci(1, 3, 0) == 0x7113'8086);
    CHECK(m.pci(2, 0, 0) == 0x1111'1234);
    CHECK(m.pci(3, 0, 0) == 0xffff'ffff);
}

TEST_CASE("pc: the PCI display's ROM can be read through its BAR")
{
    Machine m;
    m.pci_write(2, 0, 0x30, 0xfebf'0001);
    m.pci_write(2, 0, 0x04, 0x0002);

    CHECK(m.peek(0xfebf'0000) == 0x55);
}

TEST_CASE("pc: CMOS tells memory, floppies and the boot order")
{
    PcConfig config = small_pc();
    config.floppies[0].emplace();
    config.floppies[0]->disk = std::make_unique<MemoryDisk>(2880);
    config.boot_order = "dca";
    Machine m{std::move(config)};

    CHECK(m.cmos(0x10) == 0x40);
    CHECK(m.cmos(0x17) == 0x00);
    CHECK(m.cmos(0x18) == 0x3c); // 15 MiB above the first
    CHECK(m.cmos(0x3d) == 0x23);
    CHECK((m.cmos(0x38) >> 4) == 0x1);
}

TEST_CASE("pc: hard disks are in CMOS with geometry and translation")
{
    PcConfig config = small_pc();
    config.ide[0].emplace();
    config.ide[0]->disk = std::make_unique<MemoryDisk>(20160);
    config.ide[3].emplace();
    config.ide[3]->cdrom = true;
    Machine m{std::move(config)};

    CHECK(m.cmos(0x12) == 0xf0);
    CHECK(m.cmos(0x19) == 47);
    CHECK(m.cmos(0x1b) == 20);
    CHECK(m.cmos(0x1d) == 16);
    CHECK(m.cmos(0x23) == 63);
    CHECK(m.cmos(0x39) == 0);
    const auto drives = m.board->drives();
    REQUIRE(drives.size() == 2);
    CHECK(drives[0].name == "ide0-hd0");
    CHECK(drives[1].name == "ide1-cd1");
}

TEST_CASE("pc: fw_cfg answers with its signature")
{
    Machine m;
    m.out(0x510, 0x0000, 2);
    std::string text;
    for (int i = 0; i < 4; ++i) {
        text += static_cast<char>(m.in(0x511));
    }
    CHECK(text == "QEMU");
}

TEST_CASE("pc: the timer interrupts through the 8259 pair")
{
    Machine m;
    m.out(0x43, 0x34);
    m.out(0x40, 0x00);
    m.out(0x40, 0x10); // 4096 pulses: 3.4 ms
    m.program_pics(0); // forgets the edge that setting the mode made
    CHECK_FALSE(m.cpu.interrupt);

    m.advance(4'000'000);

    CHECK(m.cpu.interrupt);
    CHECK(m.board->acknowledge_interrupt() == 0x08);
}

TEST_CASE("pc: a disk interrupt arrives as vector 76h")
{
    PcConfig config = small_pc();
    config.ide[0].emplace();
    config.ide[0]->disk = std::make_unique<MemoryDisk>(20160);
    Machine m{std::move(config)};
    m.program_pics(14);
    m.pci_write(1, 1, 0x40, 0x8000'8000);
    m.pci_write(1, 1, 0x04, 0x0005);

    m.out(0x1f6, 0xa0);
    m.out(0x1f7, 0xec);
    m.advance(1'000'000);

    CHECK(m.cpu.interrupt);
    CHECK(m.board->acknowledge_interrupt() == 0x76);
    CHECK(m.in(0x1f7) == 0x58);
}

TEST_CASE("pc: keys typed at the recorded input reach port 60h")
{
    Machine m;
    m.program_pics(1);
    m.out(0x64, 0x60);
    m.out(0x60, 0x65); // translate, interrupt
    m.advance(10'000'000);
    const std::array<u8, 2> press_a{0x1e, 1};

    m.board->inputs().at("keyboard")->deliver(press_a);
    m.advance(10'000'000);

    CHECK(m.cpu.interrupt);
    CHECK(m.in(0x60) == 0x1e);
}

TEST_CASE("pc: CF9h asks for a full reset, the keyboard controller for one that suits CMOS 0Fh")
{
    Machine m;
    m.out(0xcf9, 0x02);
    m.out(0xcf9, 0x06);
    CHECK(m.cpu.stops == 1);
    CHECK(m.board->take_event() == PcEvent::machine_reset);
    CHECK(m.board->take_event() == PcEvent::none);

    m.out(0x64, 0xfe);
    CHECK(m.board->take_event() == PcEvent::machine_reset);

    m.out(0x70, 0x0f);
    m.out(0x71, 0x0a);
    const int resets = m.cpu.resets;
    m.out(0x64, 0xfe);
    CHECK(m.board->take_event() == PcEvent::none);
    m.advance(0);
    CHECK(m.cpu.resets == resets + 1);
    CHECK(m.cmos(0x0f) == 0x0a);
}

TEST_CASE("pc: ACPI soft-off is an event for the machine's owner")
{
    Machine m;
    m.pci_write(1, 3, 0x40, 0x0000'b001);
    m.pci_write(1, 3, 0x80, 0x0000'0001);
    m.out(0xb004, 0x2000, 2);
    CHECK(m.board->take_event() == PcEvent::power_off);
}

TEST_CASE("pc: without system management the firmware is told so, with it SMI reaches the CPU")
{
    Machine without;
    CHECK((without.pci(1, 3, 0x58) & 0x0200'0000) != 0);

    PcConfig config = small_pc();
    config.smm = true;
    Machine with{std::move(config)};
    with.pci_write(1, 3, 0x58, 0x0200'0000);
    with.out(0xb2, 0);
    CHECK(with.cpu.smis == 1);
}

TEST_CASE("pc: A20 closes through the keyboard controller, opens through port 92h")
{
    Machine m;
    m.out(0x92, 0x02); // as firmware leaves it
    m.out(0x64, 0xd1); // the keyboard controller's output port
    m.out(0x60, 0xdd);
    CHECK_FALSE(m.board->memory().a20());

    m.out(0x92, 0x02);
    CHECK(m.board->memory().a20());
}

TEST_CASE("pc: discs come and go as recorded input")
{
    PcConfig config = small_pc();
    config.ide[2].emplace();
    config.ide[2]->cdrom = true;
    std::string error;
    config.open_medium = [](const std::string& path) {
        return base::Result<std::unique_ptr<img::Disk>>{
            std::make_unique<MemoryDisk>(path == "big.iso" ? 100 : 10, 2048)};
    };
    config.media_error = [&](const base::Error& e) { error = e.message; };
    Machine m{std::move(config)};
    InputSink& media = *m.board->inputs().at("media");
    CHECK(m.board->drives()[0].disk == nullptr);

    media.deliver(insert_payload("ide1-cd0", "big.iso"));
    REQUIRE(m.board->drives()[0].disk != nullptr);
    CHECK(m.board->drives()[0].disk->size() == 100 * 2048);

    media.deliver(eject_payload("ide1-cd0", false));
    CHECK(m.board->drives()[0].disk == nullptr);

    media.deliver(eject_payload("floppy7", false));
    CHECK(error == "floppy7: no drive with a removable medium");
}

TEST_CASE("pc: the power button and NMI are switches of the \"system\" input")
{
    Machine m;
    const std::string_view nmi = "nmi";
    m.board->inputs().at("system")->deliver({reinterpret_cast<const u8*>(nmi.data()), nmi.size()});
    CHECK(m.cpu.nmis == 1);
}

TEST_CASE("pc: a board that cannot be is refused with a reason")
{
    PcConfig config = small_pc();
    config.ram_bytes = u64{4} << 30;
    CHECK(refusal(std::move(config)) ==
          "pc board: more than 3584 MiB of memory (it would lie above 4 GiB)");

    config = small_pc();
    config.bios.resize(1000);
    CHECK(refusal(std::move(config)) ==
          "pc board: the BIOS file must be a multiple of 64 KiB, at most 16 MiB");

    config = small_pc();
    config.bios.resize(0x101'0000);
    CHECK(refusal(std::move(config)) ==
          "pc board: the BIOS file must be a multiple of 64 KiB, at most 16 MiB");

    config = small_pc();
    config.boot_order = "cx";
    CHECK(refusal(std::move(config)) == "pc board: boot order: no device is called 'x'");

    config = small_pc();
    config.ide[1].emplace();
    CHECK(refusal(std::move(config)) == "pc board: ide0-hd1: a hard disk without an image");
}

TEST_CASE("pc: isapc has no PCI, a writable BIOS and the disk at its ISA ports")
{
    PcConfig config = small_pc();
    config.has_pci = false;
    config.vga = VgaKind::isa;
    config.ide[0].emplace();
    config.ide[0]->disk = std::make_unique<MemoryDisk>(20160);
    Machine m{std::move(config)};

    CHECK(m.in(0xcfc, 4) == 0xffff'ffff);
    CHECK(m.in(0x1f7) == 0x50);
    CHECK(m.peek(0xf'fff0) == 0xea);
    m.board->memory().write_int(0xf'fff0, 1, 0x12);
    CHECK(m.peek(0xf'fff0) == 0x12);
    CHECK(m.board->apic_base() == 0);
    CHECK_FALSE(m.board->set_apic_base(0xfee0'0800));

    m.board->reset();
    CHECK(m.peek(0xf'fff0) == 0xea);
}

TEST_CASE("pc: state can be walked, and walking does not change it")
{
    Machine m;
    Recorder first;
    Recorder second;
    for (Device* device : m.board->devices()) {
        device->visit_state(first);
    }
    for (Device* device : m.board->devices()) {
        device->visit_state(second);
    }
    CHECK(first.words == second.words);
    CHECK(first.words.size() > (16u << 20)); // video memory is part of it
}

TEST_CASE("pc: the order of boot_once holds until the first reset")
{
    PcConfig config = small_pc();
    config.boot_order = "c";
    config.boot_once = "d";
    Machine m{std::move(config)};
    CHECK(m.cmos(0x3d) == 0x03);

    m.board->reset();

    CHECK(m.cmos(0x3d) == 0x02);
}

TEST_CASE("pc: a port access takes the time of its bus")
{
    Machine pc;
    const auto taken = [&](u16 port, unsigned size) {
        const u64 before = pc.board->clock().now_ns();
        pc.in(port, size);
        return pc.board->clock().now_ns() - before;
    };

    CHECK(taken(0x61, 1) == 1000);  // ISA
    CHECK(taken(0x40, 2) == 2000);  // two bytes over it
    CHECK(taken(0x300, 1) == 1000); // nobody
    CHECK(taken(0x80, 1) == 1000);  // what drivers wait with
    CHECK(taken(0xcf8, 4) == 300);  // PCI
    CHECK(taken(0x3da, 1) == 300);  // the PCI display adapter
    const u64 before = pc.board->clock().now_ns();
    pc.out(0x80, 0);
    CHECK(pc.board->clock().now_ns() - before == 1000);
}

TEST_CASE("pc: the refresh bit of port 61h toggles while a loop does nothing but read it")
{
    Machine pc;
    int toggles = 0;
    u32 last = pc.in(0x61) & 0x10;
    for (int reads = 0; reads < 3000; ++reads) { // three milliseconds
        const u32 now = pc.in(0x61) & 0x10;
        toggles += now != last ? 1 : 0;
        last = now;
    }

    CHECK(toggles == 198); // one in 15.085 us
}

TEST_CASE("pc: reports for monitors name functions, pins and lines")
{
    Machine pc;
    pc.out(0xcf8, 0x8000'0000 | 1 << 11 | 1 << 8 | 0x20, 4); // the IDE's bus master BAR
    pc.out(0xcfc, 0xc001, 4);
    pc.out(0xcf8, 0x8000'0000 | 1 << 11 | 1 << 8 | 0x04, 4);
    pc.out(0xcfc, 1, 2);
    pc.out(0x20, 0x11); // ICW1 to 4, then a mask
    pc.out(0x21, 0x08);
    pc.out(0x21, 0x04);
    pc.out(0x21, 0x01);
    pc.out(0x21, 0xb8);

    const std::string pci = pci_report(*pc.board);
    CHECK(pci.find("  Bus  0, device   0, function 0:\n    Host bridge: PCI device 8086:1237\n") !=
          std::string::npos);
    CHECK(pci.find("    IDE controller: PCI device 8086:7010\n") != std::string::npos);
    CHECK(pci.find("      BAR4: I/O at 0xc000 [0xc00f].\n") != std::string::npos);
    CHECK(pci.find("      BAR0: 32 bit prefetchable memory not mapped (16777216 bytes).\n") !=
          std::string::npos);

    CHECK(pic_report(*pc.board).find(
              "pic0: irr=00 imr=b8 isr=00 hprio=0 irq_base=08 rr_sel=0 elcr=00 fnm=0\n") !=
          std::string::npos);
    CHECK(pic_report(*pc.board).find("  pin 23 0x0000000000010000 ") != std::string::npos);

    CHECK(irq_report(*pc.board) == "IRQ statistics for isa-i8259:\n");

    const std::string tree = qtree_report(*pc.board);
    CHECK(tree.find("    dev: piix3-ide, id \"\"\n      addr = 01.1\n") != std::string::npos);
    CHECK(
        tree.find("      dev: serial0, id \"\"\n        isa ports 03f8-03ff\n        irq = 4\n") !=
        std::string::npos);
}

TEST_CASE("pc: interrupt lines are counted as they rise")
{
    Machine pc;
    pc.out(0x43, 0x34); // the timer's counter 0: a rate generator
    pc.out(0x40, 100);
    pc.out(0x40, 0);

    for (int i = 0; i < 1000; ++i) { // a millisecond: the count takes 83.8 us
        pc.in(0x61);
        pc.board->clock().run_due_timers();
    }

    // Eleven periods, and the output goes high when the mode is set.
    CHECK(irq_report(*pc.board) == "IRQ statistics for isa-i8259:\n 0: 12\n");
}
