#include "emulator/cpu/x86/test_cpu.hpp"

using namespace emu;
using namespace emu::x86;
using namespace emu::x86::test;

namespace {

struct Device : MmioHandler {
    u64 last = 0;
    u64 mmio_read(u64 offset, unsigned) override { return 0xd0 + offset; }
    void mmio_write(u64, unsigned, u64 value) override { last = value; }
};

} // namespace

TEST_CASE("paging: a load sets accessed bits and a store sets dirty")
{
    Cpu cpu;
    cpu.protect();
    cpu.enable_paging();
    cpu.poke(0x20'0010, 0xcafe);
    u64 value = 0;

    REQUIRE(load(cpu.state, 0x20'0010, 4, false, value));
    CHECK(value == 0xcafe);
    CHECK(cpu.peek(Cpu::page_entry(0x20'0000)) == 0x20'0027);
    CHECK(cpu.peek(0x10'0000) == 0x10'1027);

    REQUIRE(store(cpu.state, 0x20'0010, 4, false, 1));
    CHECK(cpu.peek(Cpu::page_entry(0x20'0000)) == 0x20'0067);
    CHECK(cpu.peek(0x20'0010) == 1);
}

TEST_CASE("paging: error codes tell presence, write and privilege")
{
    Cpu cpu;
    cpu.protect();
    cpu.enable_paging();
    u64 value = 0;
    cpu.poke(Cpu::page_entry(0x20'0000), 0);         // not present
    cpu.poke(Cpu::page_entry(0x20'1000), 0x20'1003); // supervisor
    cpu.poke(Cpu::page_entry(0x20'2000), 0x20'2005); // read-only

    CHECK_FALSE(load(cpu.state, 0x20'0123, 1, false, value));
    CHECK(cpu.faulted(kPageFault, 0));
    CHECK(cpu.state.fault_address == 0x20'0123);
    CHECK_FALSE(store(cpu.state, 0x20'0123, 1, true, 0));
    CHECK(cpu.faulted(kPageFault, 6));
    CHECK_FALSE(load(cpu.state, 0x20'1000, 1, true, value));
    CHECK(cpu.faulted(kPageFault, 5));
    CHECK_FALSE(store(cpu.state, 0x20'2000, 1, true, 0));
    CHECK(cpu.faulted(kPageFault, 7));
    CHECK(cpu.peek(Cpu::page_entry(0x20'2000)) == 0x20'2005); // no accessed bit from a fault

    CHECK(store(cpu.state, 0x20'2000, 1, false, 0)); // the supervisor may, until WP
    cpu.call("mov_to_cr", 0, cpu.state.cr0 | kCr0Wp);
    CHECK_FALSE(store(cpu.state, 0x20'2000, 1, false, 0));
    CHECK(cpu.faulted(kPageFault, 3));
}

TEST_CASE("paging: a store across pages changes nothing when the second page faults")
{
    Cpu cpu;
    cpu.protect();
    cpu.enable_paging();
    cpu.poke(Cpu::page_entry(0x20'1000), 0);

    CHECK_FALSE(store(cpu.state, 0x20'0ffe, 4, false, 0x11223344));

    CHECK(cpu.faulted(kPageFault, 2));
    CHECK(cpu.state.fault_address == 0x20'1000);
    CHECK(cpu.peek(0x20'0ffe, 2) == 0);
}

TEST_CASE("paging: translations are kept until INVLPG or a CR3 load, global ones until INVLPG")
{
    Cpu cpu;
    cpu.protect();
    cpu.enable_paging();
    cpu.call("mov_to_cr", 4, kCr4Pge);
    cpu.poke(0x20'0000, 0xa);
    cpu.poke(0x20'1000, 0xb);
    cpu.poke(Cpu::page_entry(0x20'0000), 0x20'0107); // global
    u64 value = 0;
    REQUIRE(load(cpu.state, 0x20'0000, 1, false, value));
    cpu.poke(Cpu::page_entry(0x20'0000), 0x20'1007);

    REQUIRE(load(cpu.state, 0x20'0000, 1, false, value));
    CHECK(value == 0xa);
    cpu.call("mov_to_cr", 3, 0x10'0000);
    REQUIRE(load(cpu.state, 0x20'0000, 1, false, value));
    CHECK(value == 0xa);
    cpu.call("invlpg", 0x20'0000);
    REQUIRE(load(cpu.state, 0x20'0000, 1, false, value));
    CHECK(value == 0xb);

    cpu.poke(Cpu::page_entry(0x20'0000), 0x20'0007);
    cpu.call("mov_to_cr", 3, 0x10'0000);
    REQUIRE(load(cpu.state, 0x20'0000, 1, false, value));
    CHECK(value == 0xa);
}

TEST_CASE("paging: more pages than the flush list holds are all flushed")
{
    Cpu cpu;
    cpu.protect();
    cpu.enable_paging();
    u64 value = 0;
    for (u32 page = 0x20'0000; page < 0x30'0000; page += 0x1000) {
        REQUIRE(load(cpu.state, page, 1, false, value));
    }
    cpu.call("mov_to_cr", 3, 0x10'0000);
    for (u32 page = 0x20'0000; page < 0x30'0000; page += 0x1000) {
        CHECK(cpu.state.tlb[0][ir::tlb_index(page)].read_tag == ir::TlbEntry::kInvalid);
    }
}

TEST_CASE("paging: 4 MiB pages need CR4.PSE")
{
    Cpu cpu;
    cpu.protect();
    cpu.enable_paging();
    cpu.call("mov_to_cr", 4, kCr4Pse);
    cpu.poke(0x10'0004, 0x0000'0083); // 4 MiB and up is the first 4 MiB again
    cpu.poke(0x30'0000, 0x77);
    u64 value = 0;

    REQUIRE(load(cpu.state, 0x70'0000, 1, false, value));
    CHECK(value == 0x77);
    REQUIRE(store(cpu.state, 0x70'0000, 1, false, 0x78));
    CHECK(cpu.peek(0x10'0004) == 0xe3);
}

TEST_CASE("paging: PAE walks three levels and refuses reserved bits")
{
    Cpu cpu;
    cpu.protect();
    cpu.poke(0x11'0000, 0x11'1001);   // PDPTE 0
    cpu.poke(0x11'1000, 0x11'2007);   // PDE 0: table
    cpu.poke(0x11'1008, 0x0000'00e7); // PDE 1: 2 MiB page at 0
    for (u32 n = 0; n < 512; ++n) {
        cpu.poke(0x11'2000 + n * 8, n << 12 | 7);
    }
    cpu.call("mov_to_cr", 3, 0x11'0000);
    cpu.call("mov_to_cr", 4, kCr4Pae);
    cpu.call("mov_to_cr", 0, cpu.state.cr0 | kCr0Pg);
    REQUIRE_FALSE(cpu.state.fault_pending);
    cpu.poke(0x5'5000, 0x99);
    u64 value = 0;

    REQUIRE(load(cpu.state, 0x25'5000, 1, false, value));
    CHECK(value == 0x99);
    REQUIRE(load(cpu.state, 0x05'5000, 1, false, value));
    CHECK(value == 0x99);
    CHECK(cpu.peek(0x11'2000 + 0x55 * 8) == 0x5'5027);
    cpu.poke(0x11'2000 + 0x56 * 8 + 4, 0x8000'0000); // no NX here
    CHECK_FALSE(load(cpu.state, 0x5'6000, 1, false, value));
    CHECK(cpu.faulted(kPageFault, 9));
    cpu.poke(0x12'0000, 0x1e7);
    cpu.call("mov_to_cr", 3, 0x12'0000);
    CHECK(cpu.faulted(kGeneralProtection, 0));
}

TEST_CASE("tlb: stores to ROM are dropped, to devices arrive, and code pages are slow")
{
    Cpu cpu;
    RamBlock rom{"rom", 0x1000};
    Device device;
    cpu.memory.map_ram(0xf'0000, 0x1000, rom, 0, AddressSpace::Access::read_only, 1);
    cpu.memory.map_mmio(0xf'1000, 0x1000, device, "device", 1);
    u64 value = 0;

    REQUIRE(store(cpu.state, 0xf'0000, 1, false, 5));
    CHECK(rom.bytes()[0] == 0);
    REQUIRE(store(cpu.state, 0xf'1004, 4, false, 5));
    CHECK(device.last == 5);
    REQUIRE(load(cpu.state, 0xf'1004, 4, false, value));
    CHECK(value == 0xd4);
    CHECK(cpu.state.tlb[0][ir::tlb_index(0xf'1000)].read_tag == 0xf'1800);

    REQUIRE(store(cpu.state, 0x5'0000, 1, false, 5));
    CHECK(cpu.state.tlb[0][0x50].write_tag == 0x5'0000);
    cpu.ram.code_lines()[0x50] = 1;
    protect_code_page(cpu.state, cpu.ram.data() + 0x5'0000);
    CHECK(cpu.state.tlb[0][0x50].write_tag == 0x5'0800);
    CHECK(cpu.state.tlb[0][0x50].read_tag == 0x5'0000);
    REQUIRE(store(cpu.state, 0x5'0000, 1, false, 6));
    CHECK(cpu.peek(0x5'0000) == 6);
}

TEST_CASE("tlb: instruction fetches set the accessed bit once per flush")
{
    Cpu cpu;
    cpu.protect();
    cpu.enable_paging();
    u64 physical = 0;
    const u32 entry = Cpu::page_entry(0x20'0000);

    REQUIRE(fetch_page(cpu.state, 0x20'0123, physical));
    CHECK(physical == 0x20'0123);
    CHECK(cpu.peek(entry) == 0x20'0027);
    cpu.poke(entry, 0x20'1007);
    REQUIRE(fetch_page(cpu.state, 0x20'0123, physical));
    CHECK(physical == 0x20'0123);
    CHECK(cpu.peek(entry) == 0x20'1007);
    cpu.call("mov_to_cr", 3, 0x10'0000);
    REQUIRE(fetch_page(cpu.state, 0x20'0123, physical));
    CHECK(physical == 0x20'1123);
}
