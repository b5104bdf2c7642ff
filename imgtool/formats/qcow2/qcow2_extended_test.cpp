// Images with extended L2 entries: clusters that are there in part.
#include "base/endian.hpp"
#include "imgtool/filter/compression.hpp"
#include "imgtool/formats/qcow2/l2_entry.hpp"
#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::qcow2;
using img::test::need;

namespace {

using Bytes = std::shared_ptr<std::vector<u8>>;

constexpr u64 kL1 = 3 * 65536; // of a new image with 64 KiB clusters
constexpr u64 kL2 = 4 * 65536; // its first L2 table

Bytes make_image(u64 size, const std::string& backing = {})
{
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource file{bytes};
    REQUIRE(qcow2::create(file, {.size = size,
                                 .extended_l2 = true,
                                 .backing_name = backing,
                                 .backing_format = backing.empty() ? "" : "raw"}));
    return bytes;
}

std::unique_ptr<Image> open_image(const Bytes& bytes)
{
    return need(open_alone(kDriver, std::make_unique<MemorySource>(bytes)));
}

/// The image over a second one, which is all ones.
std::unique_ptr<ChainDisk> open_over_ones(const Bytes& bytes)
{
    auto below = std::make_shared<std::vector<u8>>();
    MemorySource file{below};
    REQUIRE(qcow2::create(file, {.size = 65536 * 4}));
    std::vector<Layer> base;
    base.push_back({.image = open_image(below), .path = "base", .format = "qcow2"});
    REQUIRE(ChainDisk(std::move(base), false).write(0, std::vector<u8>(65536 * 4, 1)));

    std::vector<Layer> layers;
    layers.push_back({.image = open_image(bytes), .path = "top", .format = "qcow2"});
    layers.push_back({.image = open_image(below), .path = "base", .format = "qcow2"});
    return std::make_unique<ChainDisk>(std::move(layers), false);
}

CheckReport check(const Bytes& bytes)
{
    auto image = need(open_alone(kDriver, std::make_unique<MemorySource>(bytes), OpenFor::check));
    return need(image->check(Repair::none, [](const std::string&) {}));
}

/// The bitmap of the first cluster.
u64 first_bitmap(const Bytes& bytes)
{
    return base::load_be<u64>(*bytes, kL2 + 8);
}

std::string why_not_readable(const Bytes& bytes)
{
    auto extent = open_image(bytes)->map(GuestOffset{0}, 65536, MapDetail::fast);
    return extent ? "readable" : extent.error().message;
}

} // namespace

TEST_CASE("qcow2 subclusters: a small write takes only the subclusters it touches")
{
    const Bytes bytes = make_image(65536 * 4, "base");
    auto disk = open_over_ones(bytes);
    REQUIRE(disk->write(3000, std::vector<u8>(3000, 7))); // of 2 KiB: the second and the third
    REQUIRE(disk->flush());

    CHECK(first_bitmap(bytes) == 0b110);
    std::vector<u8> expected(65536 * 4, 1);
    std::fill_n(expected.begin() + 3000, 3000, u8{7});
    CHECK(test::read_all(*disk) == expected);
    CHECK(check(bytes).corruptions == 0);
    CHECK(check(bytes).leaks == 0);
}

TEST_CASE("qcow2 subclusters: zeroes hide the backing file one subcluster at a time")
{
    const Bytes bytes = make_image(65536 * 4, "base");
    auto disk = open_over_ones(bytes);
    REQUIRE(disk->write(0, std::vector<u8>(6144, 7)));
    REQUIRE(disk->write_zeroes(2048, 8192));
    REQUIRE(disk->flush());

    CHECK(first_bitmap(bytes) == 0x0000'001e'0000'0001);
    std::vector<u8> expected(65536 * 4, 1);
    std::fill_n(expected.begin(), 2048, u8{7});
    std::fill_n(expected.begin() + 2048, 8192, u8{0});
    CHECK(test::read_all(*disk) == expected);
}

TEST_CASE("qcow2 subclusters: random writes and zeroes over a backing file read as written")
{
    const Bytes bytes = make_image(65536 * 4, "base");
    std::vector<u8> mirror;
    {
        auto disk = open_over_ones(bytes);
        mirror = test::scribble(*disk, 5, 80, 9000);
        CHECK(test::read_all(*disk) == mirror);
    }
    CHECK(test::read_all(*open_over_ones(bytes)) == mirror);
    CHECK(check(bytes).corruptions == 0);
    CHECK(check(bytes).leaks == 0);
}

TEST_CASE("qcow2 subclusters: a compressed cluster has no bitmap and is replaced as a whole")
{
    const Bytes bytes = make_image(65536 * 2, "base");
    auto disk = open_over_ones(bytes);
    Packer packer{Codec::raw_deflate};
    std::vector<u8> packed(65535);
    const std::size_t n = packer.pack(std::vector<u8>(65536, 9), packed);
    REQUIRE(disk->layers()[0].image->write_packed(GuestOffset{0}, std::span{packed}.first(n)));
    REQUIRE(disk->flush());
    CHECK(first_bitmap(bytes) == 0);
    CHECK(check(bytes).compressed_clusters == 1);

    REQUIRE(disk->write(100, std::vector<u8>{5}));
    REQUIRE(disk->flush());

    CHECK(first_bitmap(bytes) == 0xffff'ffff);
    std::vector<u8> expected(65536, 9);
    expected[100] = 5;
    expected.resize(65536 * 2, 1);
    CHECK(test::read_all(*disk) == expected);
    CHECK(check(bytes).leaks == 0);
}

TEST_CASE("qcow2 subclusters: a cluster shared with a snapshot keeps what it holds")
{
    const Bytes bytes = make_image(65536 * 4, "base");
    {
        auto disk = open_over_ones(bytes);
        REQUIRE(disk->write(4096, std::vector<u8>(2048, 7)));
    }
    // As after a snapshot: not to be written in place (the count stays behind, which check sees).
    base::store_be<u64>(*bytes, kL2, base::load_be<u64>(*bytes, kL2) & ~entry::copied);
    base::store_be<base::u16>(*bytes, 2 * 65536 + 5 * 2, 2);

    auto disk = open_over_ones(bytes);
    REQUIRE(disk->write(10240, std::vector<u8>(2048, 8)));
    REQUIRE(disk->flush());

    CHECK((base::load_be<u64>(*bytes, kL2) & entry::offset_mask) == 6 * 65536);
    CHECK(first_bitmap(bytes) == 0b111100);
    std::vector<u8> expected(65536 * 4, 1);
    std::fill_n(expected.begin() + 4096, 2048, u8{7});
    std::fill_n(expected.begin() + 10240, 2048, u8{8});
    CHECK(test::read_all(*disk) == expected);
}

TEST_CASE("qcow2 subclusters: bitmaps that make no sense are errors, and check tells them")
{
    const Bytes bytes = make_image(65536 * 4);
    {
        std::vector<Layer> layers;
        layers.push_back({.image = open_image(bytes), .path = "top", .format = "qcow2"});
        REQUIRE(ChainDisk(std::move(layers), false).write(0, std::vector<u8>(65536, 7)));
    }
    SECTION("both data and zero")
    {
        base::store_be<u64>(*bytes, kL2 + 8, 0x0000'0001'0000'0001);
        CHECK(why_not_readable(bytes) == "qcow2: Invalid cluster entry found (guest offset: 0x0, "
                                         "subcluster bitmap: 0x100000001)");
        CHECK(check(bytes).corruptions == 1);
    }
    SECTION("data without a cluster")
    {
        base::store_be<u64>(*bytes, kL2, 0);
        CHECK(why_not_readable(bytes) == "qcow2: Invalid cluster entry found (guest offset: 0x0, "
                                         "subcluster bitmap: 0xffffffff)");
        CHECK(check(bytes).corruptions == 1);
        CHECK(check(bytes).leaks == 1);
    }
    SECTION("a bitmap of a compressed cluster")
    {
        base::store_be<u64>(*bytes, kL2, entry::compressed | 5 * 65536);
        CHECK(check(bytes).corruptions == 1);
    }
}

TEST_CASE("qcow2 subclusters: they need version 3 and clusters of at least 16 KiB")
{
    CHECK(check_parameters({.size = 1, .version = 2, .extended_l2 = true}).error().message ==
          "Extended L2 entries are only supported with compatibility level 1.1 and above (use "
          "version=v3 or greater)");
    CHECK(
        check_parameters({.size = 1, .cluster_size = 8192, .extended_l2 = true}).error().message ==
        "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes");
    CHECK(check_parameters({.size = 1, .cluster_size = 16384, .extended_l2 = true}));
    CHECK(base::load_be<u64>(*make_image(65536), kL1) == 0);
}
