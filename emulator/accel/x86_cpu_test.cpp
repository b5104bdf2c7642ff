#include "emulator/accel/bare_machine.hpp"

#include <catch2/catch.hpp>

using namespace emu;
using namespace emu::accel;

namespace {

using base::u8;

constexpr u64 kRam = 0x10'0000;
constexpr u64 kProgram = 0x1000;

/// From the reset vector to 0000:1000.
std::vector<u8> rom()
{
    std::vector<u8> bytes(4096, 0x90);
    constexpr std::array<u8, 5> kFarJump{0xea, 0x00, 0x10, 0x00, 0x00};
    std::ranges::copy(kFarJump, bytes.end() - 16);
    return bytes;
}

/// A program in real mode; each port access takes a microsecond.
struct Program {
    BareMachine machine;
    std::vector<u64> fired_at; // instructions
    Timer timer{machine.clock, "test",
                [this] { fired_at.push_back(machine.clock.instructions_now()); }};

    Program(Tier tier, std::initializer_list<u8> code)
        : machine{{.model = "pentium3", .tier = tier}, kRam, rom()}
    {
        std::ranges::copy(code, machine.ram.data() + kProgram);
        machine.on_read = [this](base::u16, unsigned) {
            machine.clock.stall(1000);
            return 0x5au;
        };
        machine.on_write = [this](base::u16, unsigned, base::u32) { machine.clock.stall(1000); };
    }

    /// As a machine does, in slices of at most so many instructions.
    void run(u64 instructions, u64 slice)
    {
        while (machine.cpu->instructions() < instructions) {
            machine.clock.run_due_timers();
            const u64 now = machine.cpu->instructions();
            const u64 deadline = std::max(machine.clock.next_deadline_instructions(), now + 1);
            const auto stop = machine.cpu->run(std::min({instructions, now + slice, deadline}));
            machine.clock.set_retired(machine.cpu->instructions());
            if (stop == Cpu::Stop::halted) {
                return;
            }
        }
    }
    bool shows(const std::string& text) const
    {
        return machine.cpu->registers_text().find(text) != std::string::npos;
    }
    bool translator_shows(const std::string& text) const
    {
        return machine.cpu->translator_text().find(text) != std::string::npos;
    }
};

constexpr std::array kTiers{Tier::interpret, Tier::compile, Tier::automatic};

} // namespace

TEST_CASE("x86 cpu: the time stamp counter shows what a port access took", "[accel]")
{
    const Tier tier = GENERATE(from_range(kTiers));
    Program program{tier,
                    {0x0f, 0x31,       // rdtsc
                     0x66, 0x89, 0xc6, // mov esi, eax
                     0xe4, 0x40,       // in al, 40h
                     0x0f, 0x31,       // rdtsc
                     0x66, 0x29, 0xf0, // sub eax, esi
                     0xf4}};           // hlt

    program.run(100, 100);

    CHECK(program.shows("EAX=000003eb")); // 1000 ns at 1 GHz, and three instructions
    CHECK(program.machine.clock.now_ns() == 1007);
}

TEST_CASE("x86 cpu: what becomes due during a port access happens behind it", "[accel]")
{
    const Tier tier = GENERATE(from_range(kTiers));
    const u64 slice = GENERATE(1, 2, 7, 1000);
    Program program{tier,
                    {0xe4, 0x40,   // in al, 40h
                     0x41,         // inc cx
                     0xeb, 0xfb}}; // jmp back
    program.timer.arm(10'500);

    program.run(1000, slice);

    // The far jump, ten rounds of 1003 ns and the eleventh IN: 1 + 10 * 3 + 1.
    CHECK(program.fired_at == std::vector<u64>{32});
    CHECK(program.machine.clock.now_ns() == 1000 + 333 * 1000);
}

TEST_CASE("x86 cpu: a repeated port instruction stops between the accesses", "[accel]")
{
    const Tier tier = GENERATE(from_range(kTiers));
    const u64 slice = GENERATE(1, 3, 1000);
    Program program{tier,
                    {0xbf, 0x00, 0x20, // mov di, 2000h
                     0xb9, 0x08, 0x00, // mov cx, 8
                     0xf3, 0x6c,       // rep insb
                     0xf3, 0x6e,       // rep outsb: cx is 0
                     0x6e,             // outsb
                     0xf4}};           // hlt
    program.timer.arm(2'900);

    program.run(100, slice);

    CHECK(program.fired_at == std::vector<u64>{6}); // behind the third of the eight
    CHECK(program.machine.clock.now_ns() == 9000 + 14);
    CHECK(program.machine.ram.data()[0x2007] == 0x5a);
}

TEST_CASE("x86 cpu: code that is written as it is stays translated", "[accel]")
{
    const Tier tier = GENERATE(from_range(kTiers));
    Program program{tier,
                    {0xb2, 0x00,             // mov dl, 0
                     0xb9, 0x64, 0x00,       // mov cx, 100
                     0xb3, 0x05,             // mov bl, 5
                     0x88, 0x1e, 0x0c, 0x10, // mov [100ch], bl: the operand of the next one
                     0xb0, 0x05,             // mov al, 5
                     0x00, 0xc2,             // add dl, al
                     0x49,                   // dec cx
                     0x75, 0xf5,             // jnz to the store
                     0xf4}};                 // hlt

    program.run(10'000, 10'000);

    CHECK(program.shows("EDX=000006f4")); // 100 * 5 = 1f4h
    CHECK(program.translator_shows("blocks invalidated  0\n"));
}

TEST_CASE("x86 cpu: code that is written anew is translated anew", "[accel]")
{
    const Tier tier = GENERATE(from_range(kTiers));
    Program program{tier, {0xb2, 0x00,             // mov dl, 0
                           0xb9, 0x64, 0x00,       // mov cx, 100
                           0xb3, 0x05,             // mov bl, 5
                           0x88, 0x1e, 0x0c, 0x10, // mov [100ch], bl
                           0xb0, 0x05,             // mov al, 5 and more
                           0x00, 0xc2,             // add dl, al
                           0xfe, 0xc3,             // inc bl
                           0x49,                   // dec cx
                           0x75, 0xf3,             // jnz to the store
                           0xf4}};                 // hlt

    program.run(10'000, 10'000);

    CHECK(program.shows("EDX=0000064a")); // 5 + 6 + … + 104 = 154ah
    CHECK_FALSE(program.translator_shows("blocks invalidated  0\n"));
}

TEST_CASE("x86 cpu: data beside code in a page is counted up in place", "[accel]")
{
    const Tier tier = GENERATE(from_range(kTiers));
    Program program{tier,
                    {0xb9, 0x2c, 0x01,       // mov cx, 300
                     0xff, 0x06, 0x00, 0x18, // inc word [1800h]
                     0x49,                   // dec cx
                     0x75, 0xf9,             // jnz to the inc
                     0xf4}};                 // hlt

    program.run(10'000, 10'000);

    CHECK(program.machine.ram.data()[0x1800] == 0x2c);
    CHECK(program.machine.ram.data()[0x1801] == 0x01);
    CHECK(program.machine.clock.instructions_now() == 1 + 1 + 300 * 3 + 1);
}

TEST_CASE("x86 cpu: halted with interrupts off, no line wakes it any more", "[accel]")
{
    const Tier tier = GENERATE(from_range(kTiers));
    Program off{tier, {0xfa, 0xf4}}; // cli; hlt
    Program on{tier, {0xfb, 0xf4}};  // sti; hlt
    CHECK_FALSE(off.machine.cpu->halted_for_good());

    off.run(100, 100);
    on.run(100, 100);

    CHECK(off.machine.cpu->halted_for_good());
    CHECK_FALSE(on.machine.cpu->halted_for_good());
}

TEST_CASE("x86 cpu: an interrupt waits for the instruction behind STI", "[accel]")
{
    const Tier tier = GENERATE(from_range(kTiers));
    const u64 slice = GENERATE(1, 1000);
    Program program{tier,
                    {0xbc, 0x00, 0x20, // mov sp, 2000h
                     0xfb,             // sti
                     0x43,             // inc bx: still runs
                     0x43,             // inc bx: the handler comes before
                     0xf4}};           // hlt
    constexpr std::array<u8, 5> kHandler{0x89, 0xde, 0xfa, 0xf4, 0x90}; // mov si, bx; cli; hlt
    std::ranges::copy(kHandler, program.machine.ram.data() + 0x3000);
    program.machine.ram.data()[0x20 * 4 + 1] = 0x30; // 0000:3000
    program.machine.pending_vector = 0x20;
    program.machine.cpu->set_interrupt_line(true);

    program.run(100, slice);

    CHECK(program.shows("ESI=00000001"));
}

TEST_CASE("x86 cpu: monitors see each register by its name, and the x87's", "[accel]")
{
    Program program{Tier::automatic,
                    {0x66, 0xb8, 0x78, 0x56, 0x34, 0x12, // mov eax, 12345678h
                     0xbb, 0x00, 0x20,                   // mov bx, 2000h
                     0x8e, 0xdb,                         // mov ds, bx
                     0xdb, 0xe3,                         // fninit
                     0xd9, 0xe8,                         // fld1
                     0xf4}};                             // hlt

    program.run(100, 100);

    Cpu& cpu = *program.machine.cpu;
    CHECK(cpu.register_value("eax") == 0x12345678u);
    CHECK(cpu.register_value("ax") == 0x5678u);
    CHECK(cpu.register_value("ah") == 0x56u);
    CHECK(cpu.register_value("ds") == 0x2000u);
    CHECK(cpu.register_value("ds.base") == 0x20000u);
    CHECK(cpu.register_value("ds.limit") == 0xffffu);
    CHECK(cpu.register_value("eip") == 0x1010u);
    CHECK_FALSE(cpu.register_value("rax"));
    CHECK_FALSE(cpu.register_value("ds.foo"));
    CHECK_FALSE(cpu.register_value(""));
    CHECK(cpu.code_bits() == 16);
    CHECK(program.shows("FCW=037f FSW=3800 [ST=7] FTW=80\n"));
    CHECK(program.shows("FPR7=8000000000000000 3fff\n"));
}
