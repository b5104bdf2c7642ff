#include "emulator/accel/differential_rig.hpp"

#include "base/endian.hpp"

#include <algorithm>
#include <initializer_list>

namespace emu::accel {

namespace {

constexpr u32 kIdt = 0x1000;
constexpr u32 kGdt = 0x2000;
constexpr u32 kTss = 0x2800;
constexpr u32 kHandlers = 0x3000; // 16 bytes a vector
constexpr u32 kPageDirectory = 0x4000;
constexpr u32 kPageTable = 0x5000;
constexpr u32 kCode = 0x10000;
constexpr u32 kData = 0x20000;
constexpr u32 kStack = 0x30000;

// Selectors.
constexpr u32 kCode32 = 0x08;
constexpr u32 kData32 = 0x10;
constexpr u32 kUserCode = 0x1b;
constexpr u32 kUserData = 0x23;
constexpr u32 kCode16 = 0x28;
constexpr u32 kData16 = 0x30;
constexpr u32 kStack16 = 0x38;
constexpr u32 kAlias16 = 0x40;
constexpr u32 kHandlers16 = 0x48;
constexpr u32 kTask = 0x50;

constexpr u8 kFirstExternal = 0x20;
constexpr int kInterrupt = 0x40;

bool has_error_code(unsigned vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

class SceneMaker {
public:
    SceneMaker(const Fields& reset, Start start, Dice& dice) : start_{start}, dice_{dice}
    {
        scene_.fields = reset;
        scene_.ram.resize(Rig::kRam);
    }

    Scene run()
    {
        for (u32 at = kData; at < kData + 0x2000; ++at) {
            scene_.ram[at] = static_cast<u8>(dice_.next());
        }
        make_handlers();
        if (start_ == Start::real) {
            real_mode();
        } else {
            descriptors();
            protected_mode();
        }
        registers();
        program();
        return std::move(scene_);
    }

private:
    bool code32() const { return start_ >= Start::protected32; }
    bool user() const { return start_ == Start::user; }

    void set(std::string_view name, u64 value) { scene_.fields.set(name, value); }
    void put32(u32 at, u32 value) { base::store_le<u32>(scene_.ram, at, value); }
    void put(u32 at, std::initializer_list<u8> bytes)
    {
        std::ranges::copy(bytes, scene_.ram.begin() + at);
    }

    /// A fault's handler goes on one byte behind its instruction's start.
    void make_handlers()
    {
        for (u32 vector = 0; vector < 256; ++vector) {
            const u32 at = kHandlers + 16 * vector;
            const bool error = start_ != Start::real && has_error_code(vector);
            if (vector >= kFirstExternal || vector == 2) {
                put(at, {0xcf});   // iret
            } else if (code32()) { // [add esp, 4;] inc dword [esp]; iret
                error ? put(at, {0x83, 0xc4, 4, 0xff, 0x04, 0x24, 0xcf})
                      : put(at, {0xff, 0x04, 0x24, 0xcf});
            } else if (error) { // push bp; mov bp, sp; inc word [bp+4]; pop bp; add sp, 2; iret
                put(at, {0x55, 0x89, 0xe5, 0xff, 0x46, 4, 0x5d, 0x83, 0xc4, 2, 0xcf});
            } else {
                put(at, {0x55, 0x89, 0xe5, 0xff, 0x46, 2, 0x5d, 0xcf});
            }
            if (start_ == Start::real) {
                put32(4 * vector, at);
            } else if (code32()) {
                put32(kIdt + 8 * vector, kCode32 << 16 | at);
                put32(kIdt + 8 * vector + 4, 0xee00);
            } else {
                put32(kIdt + 8 * vector, kHandlers16 << 16 | at);
                put32(kIdt + 8 * vector + 4, 0xe600);
            }
        }
    }

    void segment(std::string_view name, u32 selector, u32 base, u32 limit, u32 type, u32 dpl,
                 bool big)
    {
        const std::string s{name};
        set(s + ".selector", selector);
        set(s + ".base", base);
        set(s + ".limit", limit);
        set(s + ".type", type);
        set(s + ".dpl", dpl);
        set(s + ".present", 1);
        set(s + ".big", big ? 1 : 0);
        set(s + ".valid", 1);
    }

    /// A descriptor and the register that holds it (SDM vol. 3, 3.4.5).
    void describe(u32 selector, u32 base, u32 limit, u32 type, bool big)
    {
        const u32 at = kGdt + (selector & ~7u);
        const bool pages = limit > 0xf'ffff;
        const u32 raw = pages ? limit >> 12 : limit;
        put32(at, base << 16 | (raw & 0xffff));
        put32(at + 4, (base & 0xff00'0000) | (pages ? 0x80'0000u : 0u) | (big ? 0x40'0000u : 0u) |
                          (raw & 0xf'0000) | 0x8000 | (selector & 3) << 13 | type << 8 |
                          (base >> 16 & 0xff));
    }

    void real_mode()
    {
        segment("cs", kCode >> 4, kCode, 0xffff, 0x13, 0, false);
        segment("ds", kData >> 4, kData, 0xffff, 0x13, 0, false);
        segment("es", kData >> 4, kData, 0xffff, 0x13, 0, false);
        segment("ss", kStack >> 4, kStack, 0xffff, 0x13, 0, false);
        segment("fs", kCode >> 4, kCode, 0xffff, 0x13, 0, false);
        segment("gs", Rig::kDevice >> 4, Rig::kDevice, 0xffff, 0x13, 0, false);
        set("system.idt_base", 0);
        set("system.idt_limit", 0x3ff);
    }

    void descriptors()
    {
        const u32 limit = dice_.one_in(3) ? 0x5'ffff : 0xffff'ffff;
        limit32_ = limit;
        describe(kCode32, 0, limit, 0x1b, true);
        describe(kData32, 0, limit, 0x13, true);
        describe(kUserCode, 0, limit, 0x1b, true);
        describe(kUserData, 0, limit, 0x13, true);
        describe(kCode16, kCode, 0xffff, 0x1b, false);
        describe(kData16, kData, 0xffff, 0x13, false);
        describe(kStack16, kStack, 0xffff, 0x13, false);
        describe(kAlias16, kCode, 0xffff, 0x13, false);
        describe(kHandlers16, 0, 0xffff, 0x1b, false);
        describe(kTask, kTss, 0x67, 0x0b, false);
        put32(kTss + 4, kStack + 0xf000);
        put32(kTss + 8, kData32);
        set("system.gdt_base", kGdt);
        set("system.gdt_limit", 0x57);
        set("system.idt_base", kIdt);
        set("system.idt_limit", 0x7ff);
        segment("tr", kTask, kTss, 0x67, 0x0b, 0, false);
    }

    void protected_mode()
    {
        const u32 dpl = user() ? 3 : 0;
        if (code32()) {
            const u32 data = user() ? kUserData : kData32;
            segment("cs", user() ? kUserCode : kCode32, 0, limit32_, 0x1b, dpl, true);
            for (const char* name : {"ds", "es", "ss", "fs", "gs"}) {
                segment(name, data, 0, limit32_, 0x13, dpl, true);
            }
        } else {
            segment("cs", kCode16, kCode, 0xffff, 0x1b, 0, false);
            segment("ds", kData16, kData, 0xffff, 0x13, 0, false);
            segment("es", kAlias16, kCode, 0xffff, 0x13, 0, false);
            segment("ss", kStack16, kStack, 0xffff, 0x13, 0, false);
            segment("fs", kAlias16, kCode, 0xffff, 0x13, 0, false);
            segment("gs", kData16, kData, 0xffff, 0x13, 0, false);
        }
        set("system.cpl", dpl);
        u32 cr0 = 0x6000'0031; // ET, NE, PE
        if (start_ >= Start::paged) {
            page_tables();
            cr0 |= 0x8000'0000 | (dice_.one_in(2) ? 0x1'0000u : 0u);
            set("system.cr3", kPageDirectory);
        }
        set("system.cr0", cr0);
    }

    /// The first 4 MiB to themselves, with some pages absent, read-only or the supervisor's.
    void page_tables()
    {
        put32(kPageDirectory, kPageTable | 7);
        for (u32 page = 0; page < 1024; ++page) {
            put32(kPageTable + 4 * page, page << 12 | 7);
        }
        for (u32 page = kData >> 12; page < (kData >> 12) + 4; ++page) {
            constexpr std::array<u32, 6> kRights{7, 7, 7, 0, 5, 3};
            put32(kPageTable + 4 * page, page << 12 | dice_.pick(kRights));
        }
        // Another address for the program's pages.
        put32(kPageTable + 4 * 0x80, kCode | 7);
        put32(kPageTable + 4 * 0x81, (kCode + 0x1000) | 7);
    }

    void registers()
    {
        for (std::size_t n = 0; n < scene_.fields.list.size(); ++n) {
            Fields::Field& field = scene_.fields.list[n];
            if (field.name == "registers.slot" && n < 8) {
                field.value = n == 4 ? (code32() ? kStack + 0x8000 : 0x8000) : dice_.next();
            }
        }
        u32 eflags = 2 | (dice_.next() & 0x8d5) | 0x200;
        eflags |= user() && dice_.one_in(2) ? 0x3000u : 0u; // IOPL
        eflags |= dice_.one_in(8) ? 0x400u : 0u;            // DF
        eflags |= dice_.one_in(12) ? 0x100u : 0u;           // TF
        set("registers.eflags", eflags);
    }

    void program()
    {
        Terrain terrain;
        terrain.code32 = code32();
        if (code32()) {
            terrain.places = {kData + 0x100, kData + 0x1000, kData + 0x2000,    kData + 0x3000,
                              kData + 0x800, kStack + 0x100, Rig::kDevice + 64, 0x80100};
        } else {
            terrain.places = {0x100, 0x1000, 0x2000, 0xffff, 0x40};
        }
        const u32 offset = dice_.one_in(2) ? 0x100 : 0xf00; // the second crosses into a page
        const u32 start = (code32() ? kCode : 0) + offset;
        if (dice_.one_in(3)) {
            terrain.places.push_back(start + 64); // itself
        }
        scene_.program = random_program(dice_, terrain, 512);
        scene_.program.push_back(0xe9); // back to the start
        const u32 length = static_cast<u32>(scene_.program.size()) + (code32() ? 4 : 2);
        for (unsigned i = 0; i < (code32() ? 4u : 2u); ++i) {
            scene_.program.push_back(static_cast<u8>((0 - length) >> (8 * i)));
        }
        std::ranges::copy(scene_.program, scene_.ram.begin() + kCode + offset);
        set("registers.pc", start);
    }

    Start start_;
    Dice& dice_;
    Scene scene_;
    u32 limit32_ = 0;
};

} // namespace

void Fields::capture(Cpu& cpu)
{
    list.clear();
    restoring_ = false;
    cpu.visit_state(*this);
}

void Fields::restore(Cpu& cpu)
{
    restoring_ = true;
    next_ = 0;
    cpu.visit_state(*this);
    restoring_ = false;
}

void Fields::set(std::string_view name, u64 value)
{
    const auto field = std::ranges::find(list, name, &Field::name);
    if (field == list.end()) {
        throw std::logic_error("no field " + std::string{name});
    }
    field->value = value;
}

void Fields::integer(std::string_view name, u64& value)
{
    if (restoring_) {
        value = list.at(next_++).value;
    } else {
        list.push_back({section_ + "." + std::string{name}, value});
    }
}

Rig::Rig(Tier tier, u64 code_cache_bytes)
    : machine_{{.model = "pentium3", .tier = tier, .code_cache_bytes = code_cache_bytes},
               kRam,
               {},
               kInstructionsPerSecond},
      tick_{machine_.clock, "tick", [this] {
                interrupt();
                tick_.arm_in(kTickNs);
            }}
{
    machine_.memory.map_mmio(kDevice, 0x1000, *this, "device");
    machine_.on_read = [this](base::u16 port, unsigned) {
        machine_.clock.stall(100 + port % 16);
        return port * 257u + ++accesses_;
    };
    machine_.on_acknowledge = [this] { machine_.cpu->set_interrupt_line(false); };
    tick_.arm_in(kTickNs);
    machine_.on_write = [this](base::u16 port, unsigned, u32 value) {
        machine_.clock.stall(200 + port % 16);
        ++accesses_;
        if ((value & 7) == 3) {
            interrupt();
        }
    };
    machine_.pending_vector = kInterrupt;
}

u64 Rig::mmio_read(u64 offset, unsigned)
{
    return offset * 0x0101'0101 + ++accesses_;
}

void Rig::mmio_write(u64, unsigned, u64 value)
{
    ++accesses_;
    machine_.cpu->set_interrupt_line((value & 1) != 0);
}

void Rig::load(const Fields& fields, std::span<const u8> ram)
{
    std::ranges::copy(ram, machine_.ram.data());
    Fields copy = fields;
    copy.restore(cpu());
    accesses_ = 0;
    down_ = false;
}

void Rig::run_to(u64 instructions, Dice& pieces)
{
    while (!down_ && cpu().instructions() < instructions) {
        machine_.clock.run_due_timers();
        const u64 now = cpu().instructions();
        const u64 most = pieces.one_in(3) ? 3 : 300;
        const u64 deadline = std::max(machine_.clock.next_deadline_instructions(), now + 1);
        const u64 until =
            std::min({instructions, deadline, now + 1 + pieces.below(static_cast<u32>(most))});
        const Cpu::Stop stop = cpu().run(until);
        machine_.clock.set_retired(cpu().instructions());
        if (stop == Cpu::Stop::shutdown) {
            down_ = true;
        } else if (stop == Cpu::Stop::halted) {
            cpu().raise_nmi();
        }
    }
}

Fields Rig::fields()
{
    Fields now;
    now.capture(cpu());
    return now;
}

Scene make_scene(const Fields& reset, Start start, Dice& dice)
{
    return SceneMaker{reset, start, dice}.run();
}

} // namespace emu::accel
