// All ISA-era devices together under a guest that writes nonsense: nothing crashes, and a restored
// machine goes on exactly as the saved one.
#include "emulator/devices/debugport/system_ports.hpp"
#include "emulator/devices/dma/i8237.hpp"
#include "emulator/devices/firmware/fw_cfg.hpp"
#include "emulator/devices/floppy/fdc.hpp"
#include "emulator/devices/input/i8042.hpp"
#include "emulator/devices/input/key_codes.hpp"
#include "emulator/devices/input/ps2_keyboard.hpp"
#include "emulator/devices/input/ps2_mouse.hpp"
#include "emulator/devices/intc/i8259.hpp"
#include "emulator/devices/intc/io_apic.hpp"
#include "emulator/devices/intc/local_apic.hpp"
#include "emulator/devices/nvram/pc_cmos.hpp"
#include "emulator/devices/parallel/parallel_port.hpp"
#include "emulator/devices/serial/uart16550.hpp"
#include "emulator/devices/timer/i8254.hpp"
#include "emulator/machine/port_space.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace {

using namespace emu;
using namespace emu::devices;

/// A disk of zeroes that takes writes and forgets them.
class BlankFloppy : public img::Disk {
public:
    u64 size() const override { return 1'474'560; }
    bool read_only() const override { return false; }
    base::Status read(u64, std::span<u8> into) override
    {
        std::ranges::fill(into, u8{0});
        return base::ok();
    }
    base::Status write(u64, std::span<const u8>) override { return base::ok(); }
    base::Status write_zeroes(u64, u64) override { return base::ok(); }
    base::Status flush() override { return base::ok(); }
    base::Status visit_written(const std::function<base::Status(u64, u64)>&) override
    {
        return base::ok();
    }
};

class Saver : public StateVisitor {
public:
    void section(std::string_view) override {}
    void integer(std::string_view name, u64& value) override
    {
        words.push_back(value);
        names.emplace_back(name);
    }
    void bytes(std::string_view name, std::span<u8> value) override
    {
        words.insert(words.end(), value.begin(), value.end());
        names.resize(words.size(), std::string{name});
    }
    std::vector<u64> words;
    std::vector<std::string> names;
};

/// The name of the first field that differs, or nothing.
std::string difference(const Saver& a, const Saver& b)
{
    for (std::size_t i = 0; i < std::min(a.words.size(), b.words.size()); ++i) {
        if (a.words[i] != b.words[i]) {
            return a.names[i] + " (word " + std::to_string(i) + ")";
        }
    }
    return a.words.size() == b.words.size() ? "" : "sizes";
}

class Loader : public StateVisitor {
public:
    explicit Loader(std::vector<u64> saved) : words{std::move(saved)} {}
    bool restoring() const override { return true; }
    void section(std::string_view) override {}
    void integer(std::string_view, u64& value) override { value = next(); }
    void bytes(std::string_view, std::span<u8> value) override
    {
        for (u8& byte : value) {
            byte = static_cast<u8>(next());
        }
    }
    u64 next() { return at < words.size() ? words[at++] : 0; }
    std::vector<u64> words;
    std::size_t at = 0;
};

constexpr u64 kRamBytes = 64 << 10;

struct Machine {
    Clock clock{1'000'000'000};
    RamBlock ram{"ram", kRamBytes};
    AddressSpace memory;
    PortSpace ports;
    BlankFloppy floppy;

    I8259Pair pic{Wire{[this](bool level) { lapic.set_lint0(level); }}};
    LocalApic lapic{{.clock = clock,
                     .memory = memory,
                     .intr = {},
                     .nmi = {},
                     .smi = {},
                     .init = {},
                     .pic_acknowledge = [this] { return pic.acknowledge(); },
                     .end_of_interrupt = [this](u8 vector) { ioapic.end_of_interrupt(vector); }}};
    IoApic ioapic{memory, [this](const ApicMessage& m) { return lapic.deliver(m); }};
    I8254 pit{{.clock = clock, .irq0 = irq(0)}};
    Mc146818 rtc{{.clock = clock, .irq8 = irq(8)}, {}};
    I8237Pair dma{memory};
    A20Gate a20{memory};
    Ps2Keyboard keyboard;
    Ps2Mouse mouse;
    I8042 kbc{{.clock = clock,
               .irq1 = irq(1),
               .irq12 = irq(12),
               .a20 = a20.input(),
               .reset = {},
               .keyboard = &keyboard,
               .mouse = &mouse}};
    Uart16550 com1{"com1", {.clock = clock, .irq = irq(4), .line = nullptr}};
    ParallelPort lpt1{{.clock = clock, .irq = irq(7), .printer = nullptr}};
    FloppyController fdc{{.clock = clock, .irq6 = irq(6), .dma = dma.channel(2)}, {true, false}};
    SystemControlA port92{
        {.a20 = a20.input(), .reset = {}, .a20_now = [this] { return a20.open(); }}};
    SystemControlB port61{{.clock = clock,
                           .gate2 = Wire{[this](bool level) { pit.set_gate2(level); }},
                           .output2 = [this] { return pit.output2(); }}};
    CheckpointPort checkpoint;
    FwCfg fw_cfg{memory};

    Machine()
    {
        memory.map_ram(0, kRamBytes, ram, 0, AddressSpace::Access::read_write);
        REQUIRE(fdc.insert(0, floppy, false));
        for (Device* device : devices()) {
            device->reset();
        }
        ports.map(0x00, 16, dma, "dma1", PortBus::isa);
        ports.map(0x81, 15, dma, "dma-pages", PortBus::isa);
        ports.map(0xc0, 32, dma, "dma2", PortBus::isa);
        ports.map(0x20, 2, pic, "pic1", PortBus::isa);
        ports.map(0xa0, 2, pic, "pic2", PortBus::isa);
        ports.map(0x4d0, 2, pic, "elcr", PortBus::isa);
        ports.map(0x40, 4, pit, "pit", PortBus::isa);
        ports.map(0x60, 1, kbc, "kbc-data", PortBus::isa);
        ports.map(0x64, 1, kbc, "kbc-command", PortBus::isa);
        ports.map(0x61, 1, port61, "port61", PortBus::isa);
        ports.map(0x70, 4, rtc, "rtc", PortBus::isa);
        ports.map(0x80, 1, checkpoint, "checkpoint", PortBus::isa);
        ports.map(0x92, 1, port92, "port92", PortBus::isa);
        ports.map(0x378, 3, lpt1, "lpt1", PortBus::isa);
        ports.map(0x3f0, 6, fdc, "fdc", PortBus::isa);
        ports.map(0x3f7, 1, fdc, "fdc-dir", PortBus::isa);
        ports.map(0x3f8, 8, com1, "com1", PortBus::isa);
        ports.map(0x510, 2, fw_cfg, "fw-cfg", PortBus::isa);
        ports.map(0x514, 8, fw_cfg, "fw-cfg-dma", PortBus::isa);
    }
    Wire irq(unsigned number)
    {
        return Wire{[this, number](bool level) {
            pic.set_irq(number, level);
            ioapic.set_pin(number == 0 ? 2 : number, level);
        }};
    }
    void visit(StateVisitor& v)
    {
        clock.visit_state(v);
        v.bytes("ram", ram.bytes());
        for (Device* device : devices()) {
            device->visit_state(v);
        }
    }
    std::vector<Device*> devices()
    {
        return {&pic, &lapic, &ioapic, &pit, &rtc,    &dma,    &a20,        &keyboard, &mouse,
                &kbc, &com1,  &lpt1,   &fdc, &port92, &port61, &checkpoint, &fw_cfg};
    }
    Saver saved()
    {
        Saver saver;
        visit(saver);
        return saver;
    }
};

struct Random { // a fixed sequence (Knuth's MMIX generator)
    u64 state;
    u32 next(u32 limit)
    {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return static_cast<u32>(state >> 33) % limit;
    }
};

void drive(Machine& m, Random& random, int steps)
{
    static constexpr std::array<u16, 40> kPorts{
        0x00,  0x05,  0x08,  0x0a,  0x0b,  0x0f,  0x20,  0x21,  0x40,  0x42,
        0x43,  0x60,  0x61,  0x64,  0x70,  0x71,  0x73,  0x81,  0x92,  0xa0,
        0xa1,  0xc4,  0xd4,  0xd6,  0x378, 0x37a, 0x3f2, 0x3f4, 0x3f5, 0x3f5,
        0x3f5, 0x3f7, 0x3f8, 0x3f9, 0x3fa, 0x3fc, 0x4d0, 0x510, 0x511, 0x518};
    for (int i = 0; i < steps; ++i) {
        const u16 port = kPorts[random.next(kPorts.size())];
        const unsigned size = 1u << random.next(3);
        const u32 value = random.next(0x7fff'ffff);
        const auto key = static_cast<u8>(random.next(256));
        switch (random.next(12)) {
        case 0:
        case 1:
        case 2:
            m.ports.read(port, size);
            break;
        case 3:
            m.memory.write_int(0xfee0'0000 + (value & 0x3f0), 4, random.next(1u << 20));
            break;
        case 4:
            m.memory.write_int(0xfec0'0000 + (value & 0x10), 4, random.next(1u << 17));
            break;
        case 5:
            m.keyboard.deliver(keyboard_payload(key, (value & 1) != 0));
            break;
        case 6:
            m.mouse.deliver(mouse_payload(static_cast<base::i16>(value), 5, 1, key));
            break;
        case 7:
            m.com1.deliver(std::span{&key, 1});
            break;
        case 8:
            if (m.lapic.interrupt_pending()) {
                m.lapic.acknowledge();
            }
            break;
        default:
            m.ports.write(port, size, value);
            break;
        }
        m.clock.skip_to_ns(m.clock.now_ns() + random.next(20'000));
        m.clock.run_due_timers();
    }
}

} // namespace

TEST_CASE("isa devices: a restored machine goes on as the saved one under any guest", "[isa]")
{
    for (const u64 seed : {1u, 2u, 3u, 4u}) {
        Random random{seed};
        Machine first;
        drive(first, random, 20'000);
        const auto saved = first.saved();

        Machine second;
        Loader loader{saved.words};
        second.visit(loader);
        CHECK(loader.at == saved.words.size());
        CHECK(difference(saved, second.saved()) == "");

        Random same = random;
        drive(first, random, 5'000);
        drive(second, same, 5'000);
        CHECK(difference(first.saved(), second.saved()) == "");
    }
}

TEST_CASE("isa devices: a garbage snapshot is survived", "[isa]")
{
    for (const u64 seed : {11u, 12u, 13u}) {
        Machine donor;
        auto words = donor.saved().words;
        Random random{seed};
        for (std::size_t i = 2 + kRamBytes; i < words.size(); ++i) { // after clock and RAM
            if (random.next(4) == 0) {
                words[i] = random.next(300);
            }
        }
        Machine victim;
        Loader loader{words};
        victim.visit(loader);
        const auto made_of_it = victim.saved();

        // Whatever was made of it is a state like any other: it is kept and goes on the same.
        Machine twin;
        Loader again{made_of_it.words};
        twin.visit(again);
        CHECK(again.at == made_of_it.words.size());
        CHECK(difference(made_of_it, twin.saved()) == "");
        Random same = random;
        drive(victim, random, 5'000);
        drive(twin, same, 5'000);
        CHECK(difference(victim.saved(), twin.saved()) == "");
    }
}
