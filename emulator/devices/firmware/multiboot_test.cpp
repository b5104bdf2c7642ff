#include "emulator/devices/firmware/multiboot.hpp"

#include "base/endian.hpp"
#include "emulator/devices/firmware/multiboot_image.hpp"

#include <catch2/catch.hpp>

#include <numeric>

namespace {

using namespace emu;
using namespace emu::devices;

constexpr u32 kMagic = 0x1bad'b002;

void put(std::vector<u8>& file, std::size_t at, std::initializer_list<u32> values)
{
    for (const u32 value : values) {
        base::store_le<u32>(file, at, value);
        at += 4;
    }
}

void put_header(std::vector<u8>& file, std::size_t at, u32 flags)
{
    put(file, at, {kMagic, flags, 0u - kMagic - flags});
}

/// A flat image: header at 20h, loaded at 2 MiB, code behind it, 1000h bytes of bss.
std::vector<u8> flat_kernel(u32 flags = 0x1'0000)
{
    std::vector<u8> file(0x200, 0x90);
    put_header(file, 0x20, flags);
    put(file, 0x2c, {0x20'0020, 0x20'0000, 0x20'0200, 0x20'1200, 0x20'0050});
    return file;
}

/// ELF with one segment: 100h bytes of the file from 200h, 300h in memory; linked at C0000000h.
std::vector<u8> elf_kernel()
{
    std::vector<u8> file(0x300, 0);
    put(file, 0, {0x464c'457f, 0x0001'0101});
    put(file, 16, {0x0003'0002, 1, 0xc010'0040, 52});
    base::store_le<u16>(file, 42, 32);
    base::store_le<u16>(file, 44, 1);
    put(file, 52, {1, 0x200, 0xc010'0000, 0x0010'0000, 0x100, 0x300, 7, 0x1000});
    put_header(file, 0x200, 3);
    file[0x240] = 0xf4;
    return file;
}

base::Errc refusal(std::span<const u8> file)
{
    const auto parsed = parse_multiboot(file);
    REQUIRE_FALSE(parsed);
    return parsed.error().code;
}

base::Status add(FwCfg& fw, std::vector<u8> kernel, std::vector<BootModule> modules = {},
                 std::string line = "kernel a=1")
{
    return add_multiboot(fw, {.kernel = std::move(kernel),
                              .command_line = std::move(line),
                              .modules = std::move(modules),
                              .ram_below_4g = 16 << 20});
}

u32 word(const std::vector<u8>& bytes, std::size_t at)
{
    return base::load_le<u32>(bytes, at);
}

std::string text(const std::vector<u8>& block, u32 address)
{
    return reinterpret_cast<const char*>(block.data() + (address - 0x8'0000));
}

} // namespace

TEST_CASE("multiboot: address fields say what of a flat file goes where", "[firmware]")
{
    const auto file = flat_kernel();
    const auto parsed = parse_multiboot(file);

    REQUIRE(parsed);
    const MultibootImage& image = parsed.value();
    REQUIRE(image.segments.size() == 1);
    CHECK(image.segments[0].address == 0x20'0000);
    CHECK(image.segments[0].memory_size == 0x1200);
    CHECK(image.segments[0].bytes.data() == file.data());
    CHECK(image.segments[0].bytes.size() == 0x200);
    CHECK(image.entry == 0x20'0050);
    CHECK_FALSE(image.video);
}

TEST_CASE("multiboot: zero as the load end means all of the file, as the bss end no bss",
          "[firmware]")
{
    auto file = flat_kernel();
    put(file, 0x2c, {0x20'0010, 0x20'0000, 0, 0, 0x20'0050}); // 10h bytes of the file come before
    const auto parsed = parse_multiboot(file);

    REQUIRE(parsed);
    CHECK(parsed.value().segments[0].memory_size == 0x1f0);
    CHECK(parsed.value().segments[0].bytes.data() == file.data() + 0x10);
}

TEST_CASE("multiboot: ELF segments go to physical addresses, and so does the entry", "[firmware]")
{
    const auto file = elf_kernel();
    const auto parsed = parse_multiboot(file);

    REQUIRE(parsed);
    const MultibootImage& image = parsed.value();
    REQUIRE(image.segments.size() == 1);
    CHECK(image.segments[0].address == 0x10'0000);
    CHECK(image.segments[0].memory_size == 0x300);
    CHECK(image.segments[0].bytes.size() == 0x100);
    CHECK(image.segments[0].bytes[0x40] == 0xf4);
    CHECK(image.entry == 0x10'0040);
}

TEST_CASE("multiboot: address fields count before ELF, so that 64-bit files with them start",
          "[firmware]")
{
    auto file = elf_kernel();
    file[4] = 2; // 64 bits
    CHECK(refusal(file) == base::Errc::unsupported);

    put_header(file, 0x200, 0x1'0003);
    put(file, 0x20c, {0x20'0200, 0x20'0000, 0, 0, 0x20'0240});
    REQUIRE(parse_multiboot(file));
}

TEST_CASE("multiboot: the header is looked for at all multiples of 4 below 8192", "[firmware]")
{
    std::vector<u8> file(0x3000, 0);
    put_header(file, 8192 - 12, 0);
    CHECK(is_multiboot_kernel(file));

    file.assign(0x3000, 0);
    put_header(file, 8192 - 8, 0); // does not lie in them as a whole
    CHECK_FALSE(is_multiboot_kernel(file));

    file.assign(0x3000, 0);
    put_header(file, 0x102, 0);
    CHECK_FALSE(is_multiboot_kernel(file));

    put_header(file, 0x100, 0);
    CHECK(is_multiboot_kernel(file));
    put(file, 0x108, {0});
    CHECK_FALSE(is_multiboot_kernel(file));
    CHECK_FALSE(is_multiboot_kernel({}));
    CHECK(refusal({}) == base::Errc::wrong_format);
}

TEST_CASE("multiboot: what a kernel requires and Multiboot 0.6.96 has not is refused", "[firmware]")
{
    const auto file = flat_kernel(0x1'0008);
    CHECK(refusal(file) == base::Errc::unsupported);
}

TEST_CASE("multiboot: damaged kernels are refused", "[firmware]")
{
    auto file = flat_kernel();
    put(file, 0x30, {0x20'0030}); // loaded from behind the header
    CHECK(refusal(file) == base::Errc::corrupt);
    put(file, 0x30, {0x1f'ffc0}); // from before the file
    CHECK(refusal(file) == base::Errc::corrupt);
    file = flat_kernel();
    put(file, 0x34, {0x20'0201}); // beyond the file's end
    CHECK(refusal(file) == base::Errc::corrupt);
    put(file, 0x34, {0x1f'ffff});
    CHECK(refusal(file) == base::Errc::corrupt);
    put(file, 0x34, {0x20'0200, 0x20'01ff}); // bss ends inside the data
    CHECK(refusal(file) == base::Errc::corrupt);
    file = flat_kernel();
    put(file, 0x2c, {0xffff'ff20, 0xffff'ff00, 0, 0});
    CHECK(refusal(file) == base::Errc::corrupt);

    file = elf_kernel();
    put(file, 52 + 16, {0x101}); // the file's bytes
    CHECK(refusal(file) == base::Errc::corrupt);
    put(file, 52 + 16, {0x100, 0xff}); // more of them than memory
    CHECK(refusal(file) == base::Errc::corrupt);
    put(file, 52 + 12, {0xffff'ff00, 0x100, 0x300});
    CHECK(refusal(file) == base::Errc::corrupt);
    file = elf_kernel();
    put(file, 28, {0x2f0}); // program headers over the end
    CHECK(refusal(file) == base::Errc::corrupt);
    put(file, 28, {0xffff'fff0});
    CHECK(refusal(file) == base::Errc::corrupt);
    file = elf_kernel();
    put(file, 52, {2}); // nothing to load
    CHECK(refusal(file) == base::Errc::corrupt);
    file = elf_kernel();
    file[18] = 40; // ARM
    CHECK(refusal(file) == base::Errc::unsupported);
    file = elf_kernel();
    file[0] = 0;
    CHECK(refusal(file) == base::Errc::unsupported);
}

TEST_CASE("multiboot: a kernel's wish for a video mode is read", "[firmware]")
{
    auto file = flat_kernel(0x1'0004);
    put(file, 0x40, {0, 800, 600, 32});
    const auto parsed = parse_multiboot(file);

    REQUIRE(parsed);
    REQUIRE(parsed.value().video);
    CHECK_FALSE(parsed.value().video->text);
    CHECK(parsed.value().video->width == 800);
    CHECK(parsed.value().video->height == 600);
    CHECK(parsed.value().video->depth == 32);
}

TEST_CASE("multiboot: the block has boot information, rows, modules and strings", "[firmware]")
{
    AddressSpace memory;
    FwCfg fw{memory};
    REQUIRE(add(fw, flat_kernel(), {{"one x y", std::vector<u8>(5, 1)}, {"two", {}}}));

    const auto& block = *fw.item(0x8101);
    CHECK(word(*fw.item(0x8100), 0) == block.size());
    CHECK(word(block, 0) == 0x0000'024d);
    CHECK(text(block, word(block, 16)) == "kernel a=1");
    CHECK(text(block, word(block, 64)) == "Menagerie");
    CHECK(word(block, 48) == 0x8'0400);
    CHECK(word(block, 0x80) == 0x20'0050);
    CHECK(word(block, 0x88) == 0);

    REQUIRE(word(block, 0x84) == 3); // file, bss, the first module
    CHECK(word(block, 0x1004) == 0x20'0000);
    CHECK(word(block, 0x1008) == 0x200);
    CHECK(fw.item(static_cast<u16>(word(block, 0x1000)))->size() == 0x200);
    CHECK(word(block, 0x1010) == 0x20'0200);
    CHECK(word(block, 0x1014) == 0x1000);
    CHECK(fw.item(static_cast<u16>(word(block, 0x100c)))->empty());
    CHECK(word(block, 0x101c) == 0x20'2000);
    CHECK(word(block, 0x1020) == 5);

    REQUIRE(word(block, 20) == 2);
    const std::size_t modules = word(block, 24) - 0x8'0000;
    CHECK(word(block, modules) == 0x20'2000);
    CHECK(word(block, modules + 4) == 0x20'2005);
    CHECK(text(block, word(block, modules + 8)) == "one x y");
    CHECK(word(block, modules + 16) == 0x20'3000);
    CHECK(word(block, modules + 20) == 0x20'3000);
    CHECK(text(block, word(block, modules + 24)) == "two");
    CHECK(fw.file("genroms/multiboot.bin") != nullptr);
}

TEST_CASE("multiboot: a text mode is there already, a graphics mode is left to the ROM",
          "[firmware]")
{
    auto file = flat_kernel(0x1'0004);
    put(file, 0x40, {1, 80, 25, 0});
    AddressSpace memory;
    FwCfg text_mode{memory};
    REQUIRE(add(text_mode, file));
    const auto& with_text = *text_mode.item(0x8101);
    CHECK(word(with_text, 0) == 0x0000'124d);
    CHECK(word(with_text, 88) == 0xb'8000);
    CHECK(word(with_text, 100) == 80);
    CHECK(with_text[109] == 2);

    put(file, 0x40, {0, 0, 0, 0});
    FwCfg graphics{memory};
    REQUIRE(add(graphics, file));
    const auto& wanting = *graphics.item(0x8101);
    CHECK(word(wanting, 0) == 0x0000'024d);
    CHECK(word(wanting, 0x88) == 1);
    CHECK(word(wanting, 0x8c) == 1024);
    CHECK(word(wanting, 0x90) == 768);
    CHECK(word(wanting, 0x94) == 32);
}

TEST_CASE("multiboot: what has no place in memory is refused", "[firmware]")
{
    AddressSpace memory;
    FwCfg fw{memory};
    auto file = flat_kernel();
    put(file, 0x38, {0xf0'0001}); // bss into the firmware's megabyte at the end of 16 MiB
    CHECK(add(fw, file).error().message == "the Multiboot kernel does not fit into guest RAM");
    put(file, 0x38, {0xf0'0000});
    CHECK(add(fw, file));

    FwCfg second{memory};
    CHECK(add(second, flat_kernel(), {{"big", std::vector<u8>(13 << 20)}}).error().message ==
          "the module 'big' does not fit into guest RAM");
    CHECK(add(second, flat_kernel(), {}, std::string(0x1'0000, 'x')).error().message ==
          "the kernel's and its modules' command lines are too long together");
    file = flat_kernel();
    put(file, 0x2c, {0x7'ff20, 0x7'ff00, 0, 0, 0x7'ff50}); // into the block
    CHECK_FALSE(add(second, file));
    put(file, 0x2c, {0x7c20, 0x7c00, 0, 0, 0x7c50}); // the ROM's stack
    CHECK_FALSE(add(second, file));
    put(file, 0x2c, {0x8020, 0x8000, 0, 0, 0x8050});
    CHECK(add(second, file));
}

TEST_CASE("multiboot: segments that are larger than RAM together are refused", "[firmware]")
{
    auto file = elf_kernel();
    file.resize(0x400, 0);
    put(file, 28, {0x300});
    base::store_le<u16>(file, 44, 2);
    for (const std::size_t at : {0x300, 0x320}) {
        put(file, at, {1, 0x200, 0xc010'0000, 0x0010'0000, 0x100, 8 << 20, 7, 0x1000});
    }
    AddressSpace memory;
    FwCfg fw{memory};

    CHECK(add(fw, file).error().code == base::Errc::corrupt);

    base::store_le<u16>(file, 44, 1);
    CHECK(add(fw, file));
}

TEST_CASE("multiboot: Linux kernels are Linux kernels whatever else is in them", "[firmware]")
{
    std::vector<u8> file(0x1000, 0);
    put_header(file, 0x300, 0);
    CHECK(starts_by_multiboot(file));

    file[0x1fe] = 0x55;
    file[0x1ff] = 0xaa;
    put(file, 0x202, {0x5372'6448});
    CHECK_FALSE(starts_by_multiboot(file));
}

TEST_CASE("multiboot: the option ROM's checksums are right", "[firmware]")
{
    const auto rom = multiboot_rom();
    REQUIRE(rom.size() == 1024);
    CHECK(rom[0] == 0x55);
    CHECK(rom[1] == 0xaa);
    CHECK(rom[2] == 2);
    CHECK((std::accumulate(rom.begin(), rom.end(), 0u) & 0xff) == 0);
    CHECK((std::accumulate(rom.begin() + 0x20, rom.begin() + 0x40, 0u) & 0xff) == 0);
}
