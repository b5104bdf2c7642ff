#include "imgtool/formats/vhdx/parent.hpp"
#include "imgtool/formats/vhdx/parent_test_image.hpp"
#include "imgtool/formats/vhdx/vhdx.hpp"
#include "imgtool/open.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

#include "base/endian.hpp"

using namespace img;
using namespace img::vhdx;
using img::test::need;
using img::vhdx::test::locator_item;
using img::vhdx::test::make_child;

namespace {

constexpr u64 kBatAt = 2 << 20; // with a log of 1 MiB
constexpr Guid kLinkage{0xc3, 0x0e, 0xed, 0x83, 0xc8, 0x24, 0xa6, 0x49,
                        0xa9, 0x59, 0x5e, 0x4b, 0xf1, 0x28, 0x8b, 0xfb};
const std::string kLinkageText = "{83ed0ec3-24c8-49a6-a959-5e4bf1288bfb}";

std::string refusal(const std::vector<u8>& item)
{
    auto locator = parse_parent_locator(item);
    return locator ? "accepted" : locator.error().message;
}

/// A disk of three blocks of 1 MiB, each byte of which is the block's number and 1.
std::vector<u8> make_parent()
{
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource file{bytes};
    CreateContext context{.identity = &Identity::reproducible()};
    REQUIRE(kDriver.create(
        file, need(complete_settings(kDriver, {{"size", "3M"}, {"block_size", "1M"}})), context));
    {
        auto image = need(open_alone(kDriver, std::make_unique<MemorySource>(bytes)));
        std::vector<Layer> layers;
        layers.push_back({.image = std::move(image), .path = "memory", .format = "vhdx"});
        ChainDisk disk{std::move(layers), false};
        for (u8 block = 0; block < 3; ++block) {
            REQUIRE(disk.write(block * kMiB, std::vector<u8>(kMiB, block + 1)));
        }
        REQUIRE(disk.flush());
    }
    return *bytes;
}

Guid identity_of(const std::vector<u8>& image)
{
    std::vector<u8> bytes{image.begin() + kHeaderAt[0], image.begin() + kHeaderAt[0] + kHeaderSize};
    return need(parse_header(std::span{bytes}.first<kHeaderSize>())).data_write_guid;
}

} // namespace

TEST_CASE("vhdx: a parent locator's names and identities")
{
    const auto locator =
        need(parse_parent_locator(locator_item({{"parent_linkage", kLinkageText},
                                                {"relative_path", "..\\base\\p.vhdx"},
                                                {"absolute_win32_path", "\\\\?\\d:\\vm\\q.vhdx"},
                                                {"something", "else"}})));
    CHECK(locator.linkage == std::vector<Guid>{kLinkage});
    CHECK(locator.paths == std::vector<std::string>{"../base/p.vhdx", "q.vhdx"});

    CHECK(refusal(locator_item({{"parent_linkage", kLinkageText}})) ==
          "VHDX parent locator without the parent's identity or path");
    CHECK(refusal(locator_item({{"parent_linkage", "{83ed}"}, {"relative_path", "a"}})) ==
          "VHDX parent locator without the parent's identity or path");
    CHECK(refusal({}) == "VHDX parent locator of 0 bytes");
    auto item = locator_item({{"parent_linkage", kLinkageText}, {"relative_path", "a"}});
    base::store_le<u32>(item, 20 + 4, 0xffffff00); // where a value is
    CHECK(refusal(item) == "VHDX parent locator without the parent's identity or path");
    base::store_le<base::u16>(item, 18, 1000); // entries
    CHECK(refusal(item) == "VHDX parent locator with 1000 entries");
    item[0] ^= 1;
    CHECK(refusal(item) == "VHDX image whose parent is no VHDX file");
}

TEST_CASE("vhdx: runs of bits begin with the lowest one of a byte")
{
    const std::vector<u8> bits{0xf1, 0xff, 0x01, 0x00};
    CHECK((bit_run(bits, 0, 32).set && bit_run(bits, 0, 32).length == 1));
    CHECK((!bit_run(bits, 1, 32 - 1).set && bit_run(bits, 1, 31).length == 3));
    CHECK((bit_run(bits, 4, 28).set && bit_run(bits, 4, 28).length == 13));
    CHECK(bit_run(bits, 4, 6).length == 6);
    CHECK((!bit_run(bits, 17, 15).set && bit_run(bits, 17, 15).length == 15));
}

TEST_CASE("vhdx: a differencing disk reads its own sectors and its parent's")
{
    const img::test::TempDir dir;
    const auto parent = make_parent();
    img::test::write_file(dir / "p.vhdx", parent);
    auto child =
        make_child(parent, {{"parent_linkage", img::vhdx::test::guid_text(identity_of(parent))},
                            {"relative_path", ".\\gone.vhdx"},
                            {"absolute_win32_path", "\\\\?\\c:\\vm\\p.vhdx"}});
    // Block 0 is the parent's, block 1 partly its own, block 2 zero. The bits are in a block of
    // their own, whose table entry comes after those of 4096 blocks.
    child.resize(6 * kMiB);
    std::fill_n(child.begin() + 4 * kMiB, kMiB, u8{0x77});
    base::store_le<u64>(child, kBatAt + 8, 4 * kMiB | 7);
    base::store_le<u64>(child, kBatAt + 16, 2);
    base::store_le<u64>(child, kBatAt + 4096 * 8, 5 * kMiB | 6);
    const std::size_t bits = 5 * kMiB + 2048 / 8; // sector 2048 is the first of block 1
    child[bits] = 0x06;
    child[bits + 255] = 0x80; // the last sector
    img::test::write_file(dir / "c.vhdx", child);

    auto disk = need(open_disk({.path = dir / "c.vhdx", .read_only = true}));
    std::vector<u8> wanted(3 * kMiB);
    std::fill_n(wanted.begin(), kMiB, u8{1});
    std::fill_n(wanted.begin() + kMiB, kMiB, u8{2});
    std::fill_n(wanted.begin() + kMiB + 512, 1024, u8{0x77});
    std::fill_n(wanted.begin() + 2 * kMiB - 512, 512, u8{0x77});
    CHECK(img::test::read_all(*disk) == wanted);
    disk.reset();

    auto writable = need(open_disk({.path = dir / "c.vhdx", .read_only = false}));
    CHECK(writable->write(0, std::vector<u8>(512)).error().message ==
          "VHDX differencing images can be read, not written");
}

TEST_CASE("vhdx: a parent that has been changed is not read through")
{
    const img::test::TempDir dir;
    const auto parent = make_parent();
    img::test::write_file(dir / "p.vhdx", parent);
    img::test::write_file(dir / "c.vhdx", make_child(parent, {{"parent_linkage", kLinkageText},
                                                              {"relative_path", "p.vhdx"}}));
    auto disk = need(open_disk({.path = dir / "c.vhdx", .read_only = true}));
    std::vector<u8> bytes(512);
    CHECK(disk->read(0, bytes).error().message ==
          "the parent 'p.vhdx' is not the disk that this one was made from, or it has been changed "
          "since: its data may not fit");
}

TEST_CASE("vhdx: a block that is there in part needs its bits")
{
    const img::test::TempDir dir;
    const auto parent = make_parent();
    img::test::write_file(dir / "p.vhdx", parent);
    auto child =
        make_child(parent, {{"parent_linkage", img::vhdx::test::guid_text(identity_of(parent))},
                            {"relative_path", "p.vhdx"}});
    child.resize(5 * kMiB);
    base::store_le<u64>(child, kBatAt, 4 * kMiB | 7);
    img::test::write_file(dir / "c.vhdx", child);
    auto disk = need(open_disk({.path = dir / "c.vhdx", .read_only = true}));
    std::vector<u8> bytes(512);
    CHECK(disk->read(0, bytes).error().message == "VHDX block 0 has no sector bitmap");
    REQUIRE(disk->read(kMiB, bytes));
    CHECK(bytes == std::vector<u8>(512, u8{2}));
}
