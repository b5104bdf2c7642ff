#include "imgtool/formats/qcow/qcow.hpp"

#include "base/endian.hpp"
#include "imgtool/filter/compression.hpp"
#include "imgtool/formats/qcow/qcow_image.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::qcow;
using img::test::need;

namespace {

using Bytes = std::shared_ptr<std::vector<u8>>;

/// A correct header of a 1 MiB disk.
std::vector<u8> good_header()
{
    Header header;
    header.size = 1 << 20;
    header.l1_offset = 48;
    return encode_header(header);
}

std::string refusal(const std::vector<u8>& bytes)
{
    const auto header = parse_header(bytes);
    return header ? "accepted" : header.error().message;
}

template <class T>
std::string refusal_with(std::size_t offset, T value)
{
    auto bytes = good_header();
    base::store_be<T>(bytes, offset, value);
    return refusal(bytes);
}

/// An image of `size` bytes; `header` says how its clusters and tables are.
Bytes make_image(u64 size, Header header = {})
{
    header.size = size;
    header.l1_offset = 48;
    auto bytes = std::make_shared<std::vector<u8>>(encode_header(header));
    bytes->resize(header.l1_end());
    return bytes;
}

std::unique_ptr<ChainDisk> open_image(const Bytes& bytes)
{
    std::vector<Layer> layers;
    layers.push_back({.image = need(open_alone(kDriver, std::make_unique<MemorySource>(bytes))),
                      .path = "memory",
                      .format = "qcow"});
    return std::make_unique<ChainDisk>(std::move(layers), false);
}

CheckReport check(const Bytes& bytes, Repair repair = Repair::none)
{
    auto image = need(open_alone(kDriver, std::make_unique<MemorySource>(bytes), OpenFor::check));
    return need(image->check(repair, [](const std::string&) {}));
}

} // namespace

TEST_CASE("qcow header: what is encoded is parsed again")
{
    const Header header = need(parse_header(good_header()));

    CHECK(header.size == 1048576);
    CHECK(header.cluster_size() == 4096);
    CHECK(header.l2_bytes() == 4096);
    CHECK(header.l1_entries() == 1);
    CHECK(header.l1_end() == 56);
}

TEST_CASE("qcow header: each field that can lie is refused by name")
{
    CHECK(refusal({}) == "Image not in qcow format");
    CHECK(refusal_with<u32>(0, 0x5146'49fc) == "Image not in qcow format");
    CHECK(refusal_with<u32>(4, 5) == "qcow (v1) does not support qcow version 5");
    CHECK(refusal_with<u64>(24, 1) == "Image size is too small (must be at least 2 bytes)");
    CHECK(refusal_with<u64>(24, 0x7fff'ffff'ffff'ffff) == "Image too large");
    CHECK(refusal_with<u64>(24, 0xeeee'eeee'eeee'eeee) == "Image too large");
    CHECK(refusal_with<u8>(32, 8) == "Cluster size must be between 512 and 64k");
    CHECK(refusal_with<u8>(32, 17) == "Cluster size must be between 512 and 64k");
    CHECK(refusal_with<u8>(33, 5) == "L2 table size must be between 512 and 64k");
    CHECK(refusal_with<u8>(33, 14) == "L2 table size must be between 512 and 64k");
    CHECK(refusal_with<u32>(36, 2) == "invalid encryption method in qcow header");
    CHECK(refusal_with<u64>(40, 47) == "L1 table offset 0x2f is invalid");
    auto named = good_header();
    base::store_be<u64>(named, 8, 48);
    base::store_be<u32>(named, 16, 1024);
    CHECK(refusal(named) == "Backing file name too long");
}

TEST_CASE("qcow: tables and names past the end of the file are refused")
{
    auto bytes = make_image(1 << 30);
    bytes->resize(bytes->size() - 1);
    CHECK_FALSE(open_alone(kDriver, std::make_unique<MemorySource>(bytes)));

    auto named = make_image(1 << 20);
    base::store_be<u64>(*named, 8, 1 << 20);
    base::store_be<u32>(*named, 16, 5);
    CHECK_FALSE(open_alone(kDriver, std::make_unique<MemorySource>(named)));
}

TEST_CASE("qcow: an empty image of 4 GiB takes 16432 bytes")
{
    MemorySource file;
    CreateContext context;
    const auto settings = need(complete_settings(kDriver, {{"size", "4G"}}));

    REQUIRE(kDriver.create(file, settings, context));

    CHECK(file.size() == 16432);
}

TEST_CASE("qcow: what is written is read, whatever the sizes of clusters and tables")
{
    Header header;
    SECTION("4 KiB clusters") {}
    SECTION("512 byte clusters, large tables")
    {
        header.cluster_bits = 9;
        header.l2_bits = 12;
    }
    SECTION("64 KiB clusters, small tables")
    {
        header.cluster_bits = 16;
        header.l2_bits = 6;
    }
    const Bytes bytes = make_image(1'000'448, header);
    std::vector<u8> mirror;
    {
        auto disk = open_image(bytes);
        mirror = test::scribble(*disk, 1, 60, 40000);
        CHECK(test::read_all(*disk) == mirror);
    }

    CHECK(test::read_all(*open_image(bytes)) == mirror);
    CHECK(check(bytes).corruptions == 0);
    CHECK(check(bytes).leaks == 0);
}

TEST_CASE("qcow: compressed clusters lie side by side and are replaced when written")
{
    const Bytes bytes = make_image(4096 * 4);
    {
        auto disk = open_image(bytes);
        Packer packer{Codec::raw_deflate};
        std::vector<u8> packed(4095);
        const std::size_t n = packer.pack(std::vector<u8>(4096, 7), packed);
        REQUIRE(n > 0);
        for (const u64 block : {0, 4096, 8192}) {
            REQUIRE(disk->layers()[0].image->write_packed(GuestOffset{block},
                                                          std::span{packed}.first(n)));
        }
        REQUIRE(disk->flush());
    }
    CHECK(check(bytes).compressed_clusters == 3);

    auto disk = open_image(bytes);
    REQUIRE(disk->write(4096 + 5, std::vector<u8>{9}));
    REQUIRE(disk->flush());

    std::vector<u8> expected(4096 * 3, 7);
    expected.resize(4096 * 4);
    expected[4096 + 5] = 9;
    CHECK(test::read_all(*disk) == expected);
    CHECK(check(bytes).compressed_clusters == 2);
    CHECK(check(bytes).corruptions == 0);
}

TEST_CASE("qcow: an emptied image has nothing but its tables")
{
    const Bytes bytes = make_image(1 << 20);
    auto disk = open_image(bytes);
    REQUIRE(disk->write(5000, std::vector<u8>(30000, 1)));

    REQUIRE(need(disk->layers()[0].image->make_empty()));

    CHECK(bytes->size() == 56);
    CHECK(test::read_all(*disk) == std::vector<u8>(1 << 20));
    REQUIRE(disk->write(0, std::vector<u8>{1}));
    REQUIRE(disk->flush());
    CHECK(check(bytes).corruptions == 0);
}

TEST_CASE("qcow: a table that maps the guest onto the image's own header is not written through")
{
    const Bytes bytes = make_image(1 << 30); // its L1 table goes from 48 to 4144
    {
        auto disk = open_image(bytes);
        REQUIRE(disk->write(0, std::vector<u8>(4096, 1)));
        REQUIRE(disk->flush());
    }
    const u64 l2 = base::load_be<u64>(*bytes, 48);
    base::store_be<u64>(*bytes, l2, 512);
    base::store_be<u64>(*bytes, l2 + 8, 1 << 30);

    auto disk = open_image(bytes);

    CHECK_FALSE(disk->write(0, std::vector<u8>(512, 0xff)));
    CHECK_FALSE(disk->write(4096, std::vector<u8>(512, 0xff)));
}

TEST_CASE("qcow check: what is wrong is told and repaired")
{
    const Bytes bytes = make_image(1 << 20);
    {
        auto disk = open_image(bytes);
        REQUIRE(disk->write(0, std::vector<u8>(8192, 5)));
        REQUIRE(disk->flush());
    }
    const u64 l2 = base::load_be<u64>(*bytes, 48);
    std::vector<u8> expected(8192, 5);
    SECTION("a leak at the end")
    {
        bytes->resize(bytes->size() + 3 * 4096);
        CHECK(check(bytes).leaks == 3);
        CHECK(check(bytes, Repair::leaks).leaks_fixed == 3);
    }
    SECTION("a cluster that two guest offsets share gets a copy")
    {
        base::store_be<u64>(*bytes, l2 + 8, base::load_be<u64>(*bytes, l2));
        CHECK(check(bytes).corruptions == 1);
        CHECK(check(bytes, Repair::leaks).corruptions == 1);
        CHECK(check(bytes, Repair::all).corruptions_fixed == 1);
    }
    SECTION("an entry that leads out of the file is cleared")
    {
        base::store_be<u64>(*bytes, l2 + 8, 1 << 30);
        std::fill_n(expected.begin() + 4096, 4096, u8{0});
        CHECK(check(bytes).corruptions == 1);
        CHECK(check(bytes, Repair::all).corruptions_fixed == 1);
        CHECK(check(bytes, Repair::all).leaks_fixed == 1);
    }
    SECTION("an L2 table that is not there is forgotten")
    {
        base::store_be<u64>(*bytes, 48, 1 << 30);
        std::ranges::fill(expected, u8{0});
        CHECK(check(bytes).corruptions == 1);
        CHECK(check(bytes, Repair::all).corruptions_fixed == 1);
        CHECK(check(bytes, Repair::all).leaks_fixed > 0);
    }
    CHECK(check(bytes).corruptions == 0);
    CHECK(check(bytes).leaks == 0);
    std::vector<u8> first(8192);
    REQUIRE(open_image(bytes)->read(0, first));
    CHECK(first == expected);
}

TEST_CASE("qcow crash: killed at any write, an image is sound and has what was flushed")
{
    Header header;
    header.cluster_bits = 9;
    header.l2_bits = 6;
    const auto recording = test::record_writes(kDriver, *make_image(1'000'448, header), 4100, 1);

    CHECK(recording.log.size() > 500);
    CHECK(test::check_prefixes(recording, 11) > 50);
}

TEST_CASE("qcow crash: with writes between flushes lost at random, the same holds")
{
    Header header;
    header.cluster_bits = 9;
    header.l2_bits = 6;
    const auto recording = test::record_writes(kDriver, *make_image(1'000'448, header), 4100, 2);

    CHECK(test::check_losses(recording, 3) > 100);
}
