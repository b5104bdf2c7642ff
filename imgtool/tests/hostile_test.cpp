// The published attacks on readers of formats other than qcow2 (qcow2_hostile_test.cpp has those):
// each is a small good image with one field forged as the advisory says, and what must come of it.
#include "base/endian.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/open.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

#include <fstream>
#include <iterator>

using namespace img;
using img::test::need;

namespace {

std::vector<u8> sample(const std::string& name)
{
    std::ifstream file{"tests/fuzz/corpus/" + name, std::ios::binary};
    REQUIRE(file.good());
    return {std::istreambuf_iterator<char>{file}, {}};
}

std::vector<u8> created(const char* format, CreateSettings settings)
{
    const FormatDriver* driver = find_format(format);
    REQUIRE(driver != nullptr);
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource file{bytes};
    CreateContext context{.identity = &Identity::reproducible()};
    REQUIRE(driver->create(file, need(complete_settings(*driver, settings)), context));
    return *bytes;
}

/// What opening says, with the limit of memory and time that the test has anyway.
std::string outcome(const char* format, const std::vector<u8>& bytes)
{
    auto file = std::make_unique<MemorySource>(bytes);
    file->set_read_only();
    auto image = open_alone(*find_format(format), std::move(file));
    return image ? "opened" : image.error().message;
}

template <class T>
std::vector<u8> big(std::vector<u8> bytes, std::size_t at, T value)
{
    base::store_be<T>(bytes, at, value);
    return bytes;
}
template <class T>
std::vector<u8> little(std::vector<u8> bytes, std::size_t at, T value)
{
    base::store_le<T>(bytes, at, value);
    return bytes;
}

std::size_t find_text(const std::vector<u8>& bytes, std::string_view text)
{
    const auto at = std::search(bytes.begin(), bytes.end(), text.begin(), text.end());
    REQUIRE(at != bytes.end());
    return static_cast<std::size_t>(at - bytes.begin());
}

} // namespace

TEST_CASE("hostile: CVE-2014-0142, sizes of nothing that others are divided by")
{
    const auto bochs = sample("bochs/v2");
    CHECK(outcome("bochs", bochs) == "opened");
    CHECK(outcome("bochs", little<u32>(bochs, 80, 0)) == "Extent size must be at least 512");
    CHECK(outcome("bochs", little<u32>(bochs, 80, 511)) == "Extent size must be at least 512");

    const auto parallels = created("parallels", {{"size", "100k"}, {"cluster_size", "4k"}});
    CHECK(outcome("parallels", parallels) == "opened");
    CHECK(outcome("parallels", little<u32>(parallels, 28, 0)) ==
          "Invalid image: Zero sectors per track");

    const auto vpc = created("vpc", {{"size", "100k"}});
    CHECK(outcome("vpc", vpc) == "opened");
    CHECK(outcome("vpc", big<u32>(vpc, 512 + 32, 0)) == "Invalid block size 0");
}

TEST_CASE("hostile: CVE-2014-0143, tables whose sizes overflow")
{
    const auto bochs = sample("bochs/v2");
    CHECK(outcome("bochs", little<u32>(bochs, 72, 0x4000'0001)) == "Catalog size is too large");
    CHECK(outcome("bochs", little<u32>(bochs, 72, 0xffff'ffff)) == "Catalog size is too large");

    const auto cloop = sample("cloop/three");
    CHECK(outcome("cloop", cloop) == "opened");
    CHECK(outcome("cloop", big<u32>(cloop, 132, 0xffff'ffff)) ==
          "n_blocks 4294967295 must be 536870911 or less");

    const auto parallels = created("parallels", {{"size", "100k"}, {"cluster_size", "4k"}});
    CHECK(outcome("parallels", little<u32>(parallels, 32, 0x4000'0001)) == "Catalog too large");
}

TEST_CASE("hostile: CVE-2014-0144, headers that ask for more memory than there is")
{
    const auto cloop = sample("cloop/three");
    CHECK(outcome("cloop", big<u32>(cloop, 128, 0)) == "block_size cannot be zero");
    CHECK(outcome("cloop", big<u32>(cloop, 128, 0x8000'0000)) ==
          "block_size 2147483648 must be 64 MB or less");
    CHECK(outcome("cloop", big<u32>(cloop, 132, 0x0800'0000)) ==
          "image requires too many offsets, try increasing block size");
    CHECK(outcome("cloop", big<u64>(cloop, 136, ~u64{0})) ==
          "offsets not monotonically increasing at index 1, image file is corrupt");

    const auto vpc = created("vpc", {{"size", "100k"}});
    CHECK(outcome("vpc", big<u32>(vpc, 512 + 28, 0x4000'0000)) ==
          "Max Table Entries too large (1073741824)");
    CHECK(outcome("vpc", big<u32>(vpc, 512 + 28, 0)) == "Page table too small");

    const auto vdi = created("vdi", {{"size", "3M"}});
    CHECK(outcome("vdi", vdi) == "opened");
    CHECK(outcome("vdi", little<u32>(vdi, 0x180, 0xffff'ffff)) ==
          "unsupported VDI image (too many blocks 4294967295, max is 536870784)");
    CHECK(outcome("vdi", little<u64>(vdi, 0x170, ~u64{0} - 511)) ==
          "Unsupported VDI image size (size is 0xfffffffffffffe00, max supported is "
          "0x1fffff8000000)");
}

TEST_CASE("hostile: CVE-2014-0145, chunks that are larger than the memory for them")
{
    const auto dmg = sample("dmg/fork");
    CHECK(outcome("dmg", dmg) == "opened");
    const std::size_t runs = find_text(dmg, "mish") + 204;
    CHECK(outcome("dmg", big<u64>(dmg, runs + 16, 0x20001)).find("is larger than max (131072)") !=
          std::string::npos);
    CHECK(outcome("dmg", big<u64>(dmg, runs + 32, 0x400'0001)).find("is larger than max") !=
          std::string::npos);
    CHECK(outcome("dmg", big<u64>(dmg, runs + 8, ~u64{0})).find("out of range") !=
          std::string::npos);
}

TEST_CASE("hostile: CVE-2014-0147, offsets that become negative")
{
    auto bochs = sample("bochs/v2");
    base::store_le<u32>(bochs, 512 + 4, 0x7fff'fffe); // the catalog's second extent
    auto file = std::make_unique<MemorySource>(bochs);
    file->set_read_only();
    std::vector<Layer> layers;
    layers.push_back({.image = need(open_alone(*find_format("bochs"), std::move(file))),
                      .path = "memory",
                      .format = "bochs"});
    ChainDisk disk{std::move(layers), true};
    std::vector<u8> bytes(disk.size());
    // Its bitmap is past the end of the file, where there is nothing: zeroes.
    REQUIRE(disk.read(0, bytes));
    CHECK(std::ranges::all_of(std::span{bytes}.subspan(4096, 4096),
                              [](u8 byte) { return byte == 0; }));
}

TEST_CASE("hostile: CVE-2014-0148, VHDX block and sector sizes that are nothing or huge")
{
    const auto vhdx = created("vhdx", {{"size", "3M"}, {"block_size", "1M"}});
    CHECK(outcome("vhdx", vhdx) == "opened");
    const std::size_t metadata = find_text(vhdx, "metadata");
    const auto item = [&](std::size_t i) {
        return metadata + base::load_le<u32>(vhdx, metadata + 32 + i * 32 + 16);
    };
    for (const u32 size : {0u, 1u, 3u << 20, 0x8000'0000u, 0xffff'ffffu}) {
        CHECK(outcome("vhdx", little<u32>(vhdx, item(0), size)) ==
              "VHDX block size " + std::to_string(size));
    }
    constexpr u32 kLogicalSector = 0x8141'bf1d; // its ID begins so
    std::size_t i = 1;
    while (base::load_le<u32>(vhdx, metadata + 32 + i * 32) != kLogicalSector) {
        REQUIRE(++i < 5);
    }
    for (const u32 size : {0u, 511u, 0x1000'0000u, 0xffff'ffffu}) {
        CHECK(outcome("vhdx", little<u32>(vhdx, item(i), size)) ==
              "VHDX logical sector size " + std::to_string(size));
    }
}

TEST_CASE("hostile: CVE-2022-47951, a VMDK descriptor that names a file of the host's")
{
    const test::TempDir dir;
    REQUIRE(test::run("mkdir " + (dir / "uploads")).code == 0);
    test::write_file(dir / "secret", std::vector<u8>(1024, 's'));
    const auto write = [&](const std::string& name) {
        const std::string text = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
                                 "createType=\"monolithicFlat\"\nRW 2 FLAT \"" +
                                 name + "\" 0\n";
        test::write_file(dir / "uploads/image", std::vector<u8>{text.begin(), text.end()});
    };
    OpenOptions options{.path = dir / "uploads/image", .format = "vmdk"};
    options.backing.allow = only_inside({dir / "uploads"});
    for (const std::string& name :
         {dir / "secret", std::string{"../secret"}, std::string{"json:{\"driver\":\"null-co\"}"},
          std::string{"nbd:unix:/tmp/s"}, std::string{"/dev/null"},
          std::string{"/proc/self/mem"}}) {
        write(name);
        CHECK_FALSE(open_disk(options));
    }
    options.backing.allow = only_inside({dir.path()});
    write("../secret");
    CHECK(open_disk(options));
}

TEST_CASE("hostile: CVE-2008-2004, a guest that writes an image's header into its raw disk")
{
    const test::TempDir dir;
    test::write_file(dir / "disk", std::vector<u8>(65536, 0));
    OpenOptions options{.path = dir / "disk", .read_only = false}; // probed
    auto disk = need(open_disk(options));
    for (const char* format : {"qcow2", "qcow", "qed", "vdi", "vhdx", "parallels"}) {
        INFO(format);
        const auto image = created(format, {{"size", "1M"}});
        CHECK_FALSE(disk->write(0, std::span{image}.first(512)));
    }
    CHECK(disk->write(0, std::vector<u8>(512, 1)));
    disk.reset();
    options.format = "raw"; // said to be one, it may hold anything
    disk = need(open_disk(options));
    const auto image = created("qcow2", {{"size", "1M"}});
    CHECK(disk->write(0, std::span{image}.first(512)));
}
