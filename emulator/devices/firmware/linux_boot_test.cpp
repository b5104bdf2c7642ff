#include "emulator/devices/firmware/linux_boot.hpp"

#include "base/endian.hpp"

#include <catch2/catch.hpp>

#include <iterator>
#include <numeric>

namespace {

using namespace emu;
using namespace emu::devices;

/// A bzImage of protocol 2.12 with one set-up sector more than the boot sector.
std::vector<u8> small_kernel()
{
    std::vector<u8> image(0x400 + 0x1000, 0x90);
    image[0x1f1] = 1;
    base::store_le<u16>(image, 0x1fe, 0xaa55);
    base::store_le<u32>(image, 0x202, 0x53726448);
    base::store_le<u16>(image, 0x206, 0x020c);
    image[0x211] = 1;
    base::store_le<u32>(image, 0x22c, 0x7fff'ffff);
    base::store_le<u32>(image, 0x238, 2047);
    base::store_le<u32>(image, 0x260, 0x20'0000);
    return image;
}

constexpr u64 k64MiB = 64 << 20;

base::Status add(FwCfg& fw, std::vector<u8> kernel, std::size_t initrd = 0, std::string line = "")
{
    return add_linux_boot(fw, {.kernel = std::move(kernel),
                               .initrd = std::vector<u8>(initrd, 0x11),
                               .command_line = std::move(line),
                               .ram_below_4g = k64MiB});
}

u32 number(const FwCfg& fw, u16 key)
{
    return base::load_le<u32>(*fw.item(key), 0);
}

} // namespace

TEST_CASE("linux_boot: the parts are placed and the header filled in", "[firmware]")
{
    AddressSpace memory;
    FwCfg fw{memory};
    REQUIRE(add(fw, small_kernel(), 5000, "console=ttyS0 vga=0x317"));
    CHECK(number(fw, FwCfg::setup_address) == 0x1'0000);
    CHECK(number(fw, FwCfg::setup_size) == 0x400);
    CHECK(number(fw, FwCfg::kernel_address) == 0x10'0000);
    CHECK(number(fw, FwCfg::kernel_size) == 0x1000);
    CHECK(number(fw, FwCfg::initrd_address) == (63 << 20) - 8192);
    CHECK(number(fw, FwCfg::initrd_size) == 5000);
    CHECK(number(fw, FwCfg::command_line_size) == 24);
    const auto& setup = *fw.item(FwCfg::setup_data);
    CHECK(setup[0x210] == 0xff);
    CHECK(setup[0x211] == 0x81);
    CHECK(base::load_le<u32>(setup, 0x228) == 0x2'0000);
    CHECK(base::load_le<u32>(setup, 0x218) == (63 << 20) - 8192);
    CHECK(base::load_le<u32>(setup, 0x21c) == 5000);
    CHECK(base::load_le<u16>(setup, 0x224) == 0xfe00);
    CHECK(base::load_le<u16>(setup, 0x1fa) == 0x317);
    CHECK(fw.file("genroms/linuxboot.bin") != nullptr);
}

TEST_CASE("linux_boot: hostile and unfitting kernels are refused", "[firmware]")
{
    AddressSpace memory;
    FwCfg fw{memory};
    CHECK_FALSE(add(fw, {}));
    CHECK_FALSE(add(fw, std::vector<u8>(100'000)));
    auto kernel = small_kernel();
    kernel.resize(0x400);
    CHECK_FALSE(add(fw, kernel));
    kernel = small_kernel();
    kernel[0x1f1] = 0xff;
    CHECK_FALSE(add(fw, kernel));
    kernel = small_kernel();
    kernel[0x207] = 1;
    CHECK_FALSE(add(fw, kernel));
    kernel = small_kernel();
    base::store_le<u32>(kernel, 0x260, 0xffff'ffff); // init_size beyond RAM
    CHECK_FALSE(add(fw, kernel));
    CHECK_FALSE(add(fw, small_kernel(), 63 << 20));
    CHECK_FALSE(add(fw, small_kernel(), 0, std::string(3000, 'x')));
    CHECK(fw.file("genroms/linuxboot.bin") == nullptr);
}

TEST_CASE("linux_boot: the option ROM's checksums are right", "[firmware]")
{
    const auto rom = linux_boot_rom();
    REQUIRE(rom.size() == 512);
    CHECK(rom[0] == 0x55);
    CHECK(rom[1] == 0xaa);
    CHECK(rom[2] == 1);
    CHECK((std::accumulate(rom.begin(), rom.end(), 0u) & 0xff) == 0);
    CHECK((std::accumulate(rom.begin() + 0x20, rom.begin() + 0x40, 0u) & 0xff) == 0);
}
